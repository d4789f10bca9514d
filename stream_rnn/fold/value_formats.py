"""The formats that the option ``value_format`` of a spec names, and records of another one."""

from collections.abc import Callable, Sequence
from typing import Any

from stream_rnn.errors import ConfigError, DecodeError
from stream_rnn.formats.frames import frame_of
from stream_rnn.model.event import Event
from stream_rnn.settings import Settings

SCHEMA_KINDS = {"avro": "AVRO", "protobuf": "PROTOBUF", "json_schema": "JSON"}
"""Kind of the schemas in the registry for each format that has schemas."""
_NAMES = {"AVRO": "Avro", "PROTOBUF": "Protobuf", "JSON": "JSON Schema"}


def check_registry(event: Event, settings: Settings) -> None:
    """Check that a worker can read records of the format that the spec names.

    Raises:
        ConfigError: The format needs a schema registry, and the settings name none.
    """
    if event.value_format in SCHEMA_KINDS and settings.schema_registry_url is None:
        raise ConfigError(
            f"event.value_format is {event.value_format}, which needs the schemas of a registry: "
            "set schema_registry_url"
        )


def check_kind(kind: str, value_format: str) -> None:
    """Check that a schema is of the format that the spec names.

    Raises:
        DecodeError: It is of another format.
    """
    if value_format in SCHEMA_KINDS and kind != SCHEMA_KINDS[value_format]:
        raise _wrong(f"the schema is one of {_NAMES.get(kind, kind)}", value_format)


def unframed(
    value: bytes, headers: Sequence[tuple[str, bytes | None]], value_format: str
) -> DecodeError | None:
    """Return the error of a value that is read without a schema; ``None`` if the format has none.

    Args:
        value: Value of the record.
        headers: Headers of the record.
        value_format: Format that the spec names.
    """
    if value_format not in SCHEMA_KINDS or frame_of(value, headers) is not None:
        return None  # what is framed is read without a schema only if there is no registry
    return _wrong("no schema registry has framed the value", value_format)


def framed_json(schema_id: str) -> DecodeError:
    """Return the error of a framed value where the spec wants JSON without a frame."""
    return _wrong(f"framed by a schema registry, schema id {schema_id}", "json")


def raiser(error: DecodeError) -> Callable[[bytes], Any]:
    """Return a function that raises an error in the place of one that reads a value."""

    def refuse(_value: bytes) -> Any:
        raise error

    return refuse


def _wrong(what: str, value_format: str) -> DecodeError:
    return DecodeError("wrong_format", f"{what}; event.value_format is {value_format}")
