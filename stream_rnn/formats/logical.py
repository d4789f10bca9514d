"""Logical types of the formats: moments and decimals as the numbers that the spec reads.

A logical time is a number of milliseconds since 1970, rounded down, whichever unit its writer
chose: a writer may change from milliseconds to microseconds without changing an event.  The event
time has the unit of the feature spec instead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from stream_rnn.formats.avro_schema import AvroType
from stream_rnn.model.event import Event
from stream_rnn.model.paths import split_path

DAY_S = 86_400
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a logical time becomes.

    Attributes:
        path: Path of the event time, from the record on; ``None`` if it is the record's timestamp.
        unit: Unit of the event time in the feature spec.
    """

    path: tuple[str, ...] | None = None
    unit: str = "ms"

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return what logical times become for a table ``[event]``."""
        if event.time is None:
            return cls()
        return cls(tuple(split_path(event.time.path)), event.time.unit)

    def converter(self, kind: AvroType, *, is_event_time: bool) -> Callable[[int], Any]:
        """Return the function that converts the number of a logical time.

        Args:
            kind: Type of the number.
            is_event_time: Whether the field is the event time.
        """
        unit = self.unit if is_event_time and kind.logical != "time" else "ms"
        if unit not in PER_SECOND:
            return lambda number: _iso8601(number, kind)
        multiply, divide = ratio(kind.unit, unit)
        if unit == "s":  # a float, of which an event time takes the nearest millisecond
            to_ms = ratio(kind.unit, "ms")
            return lambda number: number * to_ms[0] // to_ms[1] / 1000
        return lambda number: number * multiply // divide


def ratio(source: str, target: str) -> tuple[int, int]:
    """Return the factor and the divisor from one unit of time to another.

    Example:
        >>> ratio("us", "ms"), ratio("d", "s"), ratio("ms", "ns")
        ((1, 1000), (86400, 1), (1000000, 1))
    """
    if source == "d":
        return DAY_S * PER_SECOND[target], 1
    one, other = PER_SECOND[source], PER_SECOND[target]
    return max(1, other // one), max(1, one // other)


def decimal_value(unscaled: bytes, scale: int) -> int | float:
    """Return a decimal as an integer if its scale is 0, otherwise as the nearest float.

    Args:
        unscaled: Big-endian two's complement of the number without its decimal point.
        scale: Digits after the decimal point.

    Returns:
        The number; an infinite float if it is beyond the range of a float.
    """
    number = int.from_bytes(unscaled, "big", signed=True)
    try:
        exact = number / 10**scale
    except OverflowError:
        return -math.inf if number < 0 else math.inf
    return exact if scale else number


def _iso8601(number: int, kind: AvroType) -> Any:
    """Return a moment as a text; the number of milliseconds if it is outside of the calendar."""
    multiply, divide = ratio(kind.unit, "ms")
    time_ms = number * multiply // divide
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return time_ms
    text = moment.isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") if kind.logical == "local" else text
