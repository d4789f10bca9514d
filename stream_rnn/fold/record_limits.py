"""The limits of a record's key and value, and why a value is no JSON."""

from collections.abc import Sequence

from stream_rnn.errors import DecodeError
from stream_rnn.formats.frames import frame_of
from stream_rnn.settings import Settings

TICK_KEY = b"stream-rnn/tick"
"""Key of ticks (``fold/ticks.py``); its length has no limit, because every worker must accept it."""


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
    frame = frame_of(value, headers)
    if frame is None:
        return DecodeError("not_json", "the value is not JSON")
    return DecodeError(
        "framed",
        f"framed by a schema registry, schema id {frame.schema_id}; set schema_registry_url",
    )
