"""The format of a fold's predictions, and their decoder."""

from stream_rnn.errors import ConfigError
from stream_rnn.formats.schemas import Schemas
from stream_rnn.model.network import Model
from stream_rnn.predictions.decoder import PredictionDecoder
from stream_rnn.predictions.subject import open_subject
from stream_rnn.predictions.wire_schema import BundleHeads, Wire, output_fields
from stream_rnn.predictions.writer import JSON
from stream_rnn.settings import FoldSettings


def published_wire(settings: FoldSettings, model: Model) -> Wire:
    """Return the format in which workers of a fold publish; this may block.

    The id of the schema is that of the settings, or that of the same text at the registry.

    Raises:
        ConfigError: The schema is not registered, or a setting is missing.
        UnavailableError: The registry does not answer.
    """
    wire_format = settings.predictions_format
    if wire_format == "json":
        return JSON
    fields = output_fields(model.spec.heads)
    if settings.predictions_schema_id is not None:
        return Wire(wire_format, settings.predictions_schema_id)
    if settings.schema_registry_url is None and settings.schema_registry_config is None:
        raise ConfigError(
            f"predictions_format {wire_format} needs the id of a schema: give "
            "--schema-registry-url or --schema-registry-config, or --predictions-schema-id"
        )
    subject = open_subject(settings, fields)
    schema_id = subject.register() if settings.schema_auto_register else subject.find()
    if schema_id is None:
        raise ConfigError(
            f"the schema registry {subject.place} does not have the schema of these predictions "
            f"as a version of subject {subject.name}; run: stream-rnn schema register "
            f"--predictions {settings.predictions} --bundle {settings.bundle} "
            f"--predictions-format {wire_format}; or start the worker with --schema-auto-register"
        )
    return Wire(wire_format, schema_id)


def model_decoder(model: Model, schemas: Schemas | None = None) -> PredictionDecoder:
    """Return the decoder of a model's predictions in every format.

    Args:
        model: Model whose predictions need no registry.
        schemas: Schemas of the registry, for those of other models.
    """
    try:
        names = tuple(head.name for head in model.spec.heads)
        heads = BundleHeads(output_fields(model.spec.heads), model.fingerprint[:16], names)
    except ConfigError:  # no schema can have these names, so all predictions are JSON
        return PredictionDecoder(schemas=schemas)
    return PredictionDecoder(heads, schemas)
