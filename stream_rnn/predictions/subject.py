"""The subject of a predictions topic at the schema registry."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stream_rnn.errors import ConfigError
from stream_rnn.formats.open_schemas import open_registry
from stream_rnn.formats.schemas import Schema
from stream_rnn.predictions.wire_schema import REGISTRY_KINDS, OutputField, schema_text
from stream_rnn.settings import Settings

if TYPE_CHECKING:
    from stream_rnn.formats.subjects import Subject


def open_subject(settings: Settings, fields: Sequence[OutputField]) -> "Subject":
    """Return the subject of the predictions topic, and the schema to publish under it.

    Args:
        settings: Settings with the predictions topic, its format and the registry.
        fields: Outputs of the heads.

    Raises:
        ConfigError: A setting is missing, or the extra ``registry`` is not installed.
    """
    wire_format = settings.predictions_format
    if wire_format == "json":
        raise ConfigError("JSON has no schema at a registry; give --predictions-format")
    registry = open_registry(settings)
    if registry is None:
        raise ConfigError(
            "give --schema-registry-url or --schema-registry-config, or set "
            "STREAM_RNN_SCHEMA_REGISTRY_URL"
        )
    from stream_rnn.formats.subjects import Subject  # noqa: PLC0415  # of an extra

    schema = Schema(REGISTRY_KINDS[wire_format], schema_text(wire_format, fields))
    return Subject(registry, f"{settings.predictions}-value", schema)
