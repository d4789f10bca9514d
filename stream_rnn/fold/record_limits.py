"""The limits of a record's key and value, and why a value is no JSON."""

from collections.abc import Sequence
from uuid import UUID

from stream_rnn.errors import DecodeError
from stream_rnn.fold.value_formats import framed_json
from stream_rnn.formats.frames import frame_of
from stream_rnn.settings import Settings

TICK_KEY = b"stream-rnn/tick"
"""Key of ticks (``fold/ticks.py``); its length has no limit, because every worker must accept it."""
LONG_FRAME_BYTES = 9
"""Bytes before a value with a schema id in 8 bytes, which Apicurio Registry may write."""
GLUE_BYTES = 18
"""Bytes before a value of AWS Glue: version, compression, and the UUID of the schema version."""
GLUE_VERSIONS = (b"\x03\x00", b"\x03\x05")
BEGINNINGS = {
    b"\xef\xbb\xbf": "UTF-8 with a byte order mark; write JSON without the mark",
    b"\xff\xfe": "UTF-16; write JSON in UTF-8",
    b"\xfe\xff": "UTF-16; write JSON in UTF-8",
    b"{\0": "UTF-16; write JSON in UTF-8",
    b"\0{": "UTF-16; write JSON in UTF-8",
    b"\x1f\x8b": "gzip; let Kafka compress, by compression.type of the producer",
    b"\x28\xb5\x2f\xfd": "zstd; let Kafka compress, by compression.type of the producer",
    b"Obj\x01": "an Avro container; events are JSON",
}
"""First bytes of values that are not JSON, and what they show."""


def check_key(key: bytes | None, settings: Settings) -> None:
    """Check that a record has a key to which a hidden state can belong.

    Raises:
        DecodeError: The record has no key, or its key is too long.
    """
    if key is None:
        raise DecodeError("no_key", "the record has no key, so no hidden state belongs to it")
    limit = settings.key_bytes_max
    if len(key) > limit and key != TICK_KEY:
        message = f"the key has {len(key)} bytes; key_bytes_max is {limit}"
        raise DecodeError("key_too_large", message)


def check_size(value: bytes, settings: Settings) -> None:
    """Check the size of a value.

    Raises:
        DecodeError: The value is too long.
    """
    limit = settings.value_bytes_max
    if len(value) > limit:
        message = f"the value has {len(value)} bytes; value_bytes_max is {limit}"
        raise DecodeError("value_too_large", message)


def not_json(
    value: bytes, headers: Sequence[tuple[str, bytes | None]], value_format: str = "auto"
) -> DecodeError:
    """Return the error of a value that is not JSON; it names the schema id of a framed value.

    Args:
        value: Value of the record.
        headers: Headers of the record.
        value_format: Format that the spec names.
    """
    frame = frame_of(value, headers)
    if frame is None:
        return DecodeError("not_json", f"the value is not JSON{_describe(value)}")
    shown = frame.schema_id
    if shown == "0" and frame.skip and len(value) >= LONG_FRAME_BYTES:  # ids begin at 1
        shown = f"{int.from_bytes(value[1:LONG_FRAME_BYTES], 'big')} in 8 bytes"
    if value_format == "json":
        return framed_json(shown)
    return DecodeError(
        "framed",
        f"framed by a schema registry, schema id {shown}; set schema_registry_url",
    )


def _describe(value: bytes) -> str:
    """Return what a value that is not JSON begins with; empty if that is not known.

    Audits compare the code of a dead letter and not its reason, so this text may change.
    """
    if len(value) >= GLUE_BYTES and value[:2] in GLUE_VERSIONS:
        version = UUID(bytes=value[2:GLUE_BYTES])
        return f": framed by the AWS Glue schema registry, schema version {version}"
    for start, what in BEGINNINGS.items():
        if value.startswith(start):
            return f": it begins as {what}"
    return ""
