"""The limits of a record's key and value, and why a value is no JSON."""

from collections.abc import Sequence

from stream_rnn.errors import DecodeError
from stream_rnn.settings import Settings

TICK_KEY = b"stream-rnn/tick"
"""Key of ticks (``fold/ticks.py``); its length has no limit, because every worker must accept it."""
FRAME_BYTES = 5
"""Bytes before a value that a schema registry has framed: 0, and a schema id in 4 bytes."""
SCHEMA_HEADER = "__value_schema_id"
"""Header in which serializers of Confluent put the schema id instead."""
GUID_VERSION = 1
"""First byte of such a header whose schema id is a GUID of 16 bytes."""


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


def not_json(value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> DecodeError:
    """Return the error of a value that is not JSON; it names the schema id of a framed value."""
    schema_id = _schema_id(value, dict(headers).get(SCHEMA_HEADER))
    if schema_id is None:
        return DecodeError("not_json", "the value is not JSON")
    return DecodeError(
        "framed",
        f"framed by a schema registry, schema id {schema_id}; events are JSON without a frame",
    )


def _schema_id(value: bytes, header: bytes | None) -> str | None:
    for frame in (header or b"", value):
        if len(frame) >= FRAME_BYTES and frame[0] == 0:
            return str(int.from_bytes(frame[1:FRAME_BYTES], "big"))
        if frame is header and len(frame) == 17 and frame[0] == GUID_VERSION:
            return frame[1:].hex()
    return None
