"""The keys and the timestamps of rows, from JSON values and from texts.

A key is the file's own text: the text 007 is another key than 7, and a number is written as the
file writes it.  The parts of a key with several fields are joined by ``-``, after a backslash is
written before each ``-`` and each backslash inside of a part, so that different parts never make
one key.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from pydantic import TypeAdapter

from stream_rnn.errors import ConfigError, RecordError
from stream_rnn.fold.event_time import parse_time_ms
from stream_rnn.fold.event_times import NO_TIMESTAMP
from stream_rnn.fold.fields import key_element_getter
from stream_rnn.model.event import Event, EventTime
from stream_rnn.model.features import FeatureSpec

_ANY = TypeAdapter[Any](Any)
NAMES_MAX = 20  # columns that a message names


def needed_paths(spec: FeatureSpec) -> list[tuple[str, ...]]:
    """Return the alternative paths of each part of the key, and that of the event time."""
    paths = [(item,) if isinstance(item, str) else item for item in spec.event.key]
    return [*paths, (spec.event.time.path,)] if spec.event.time else paths


def missing_column(
    file: str, names: Sequence[str], paths: Sequence[str], hint: str = ""
) -> ConfigError:
    """Return the error about a file without a column of the key or of the event time.

    Args:
        file: Name of the file.
        names: Names of its columns.
        paths: Alternative paths of the field.
        hint: What may be the cause.
    """
    listed = ", ".join(names[:NAMES_MAX])
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return ConfigError(
        f"{file}: no column {' or '.join(paths)}, which event.key or event.time names; "
        f"the columns are {listed or 'none'}{more}{hint}"
    )


def join_key(parts: Sequence[str | None]) -> bytes | None:
    r"""Return the key of the texts of its parts; ``None`` if a part is missing.

    Example:
        >>> join_key(["1-2", "3"]), join_key(["1", "2-3"]), join_key(["2024-01-02"])
        (b'1\\-2-3', b'1-2\\-3', b'2024-01-02')
    """
    if None in parts:
        return None
    if len(parts) == 1:
        return str(parts[0]).encode()
    return "-".join(_escape(str(part)) for part in parts).encode()


def _escape(part: str) -> str:
    return part.replace("\\", "\\\\").replace("-", "\\-") if "-" in part or "\\" in part else part


def json_key_reader(
    event: Event, folders: dict[str, str | None]
) -> Callable[[dict[str, Any], bytes], bytes | None]:
    """Return a function that returns the key of an object of JSON, and of its text.

    A part that is an object, an array, NaN or infinite is missing, as null is.  The texts of floats,
    of integers beyond 64 bits, which are floats here, and of ``-0`` are read once more.

    Args:
        event: The table of the spec, with the fields of the key.
        folders: Texts of the columns that folders add to each row that lacks them.
    """
    getters = [key_element_getter(element) for element in event.key]

    def read(row: dict[str, Any], text: bytes) -> bytes | None:
        parts = [get(folders | row if folders else row) for get in getters]
        if any(isinstance(part, float) or (part == 0 and b"-0" in text) for part in parts):
            try:
                exact = json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_value)
            except RecursionError:  # nested deeper than the decoder reads
                return None
            parts = [get(folders | exact) for get in getters]
        return join_key([_as_text(part) for part in parts])

    return read


def _no_value(_: str) -> None:
    """Return the value of NaN and of the infinities."""


def _as_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if isinstance(part, bool):
        return "true" if part else "false"
    return str(part) if isinstance(part, int) else None


def time_reader(time: EventTime | None) -> Callable[[Any], int]:
    """Return a function that returns an event time in ms; ``NO_TIMESTAMP`` if it is invalid."""

    def read(raw: Any) -> int:
        if time is None:
            return NO_TIMESTAMP
        try:
            return parse_time_ms(raw, time)
        except RecordError:
            return NO_TIMESTAMP

    return read


def parse_json(text: bytes) -> Any:
    """Return the value of a JSON text, or ``None`` if it is not JSON.

    A text is JSON if it is to the decoder, whose parser also reads NaN, Infinity and 1e999, but is
    slower than orjson.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return _ANY.validate_json(text)
    except ValueError:
        return None
