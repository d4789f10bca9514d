"""Event times: numbers and texts as milliseconds since 1970.

A number of milliseconds or seconds is rounded to the nearest millisecond.  Microseconds,
nanoseconds and texts are rounded down, so that one moment has one event time in each of them;
integers are exact.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import FeatureError
from stream_rnn.model.event import EventTime
from stream_rnn.model.text_times import parse_iso8601, parse_text_time
from stream_rnn.model.values import read_number
from stream_rnn.model.zones import load_zone

TIME_MS_MIN = -62_135_596_800_000  # the year 1
TIME_MS_MAX = 253_402_300_799_999  # the year 9999
PER_MS = {"us": 1000, "ns": 1_000_000}
MS_PER = {"s": 1000, "ms": 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def latest_ms(year_max: int | None) -> int:
    """Return the last millisecond of a year since 1970; ``None`` is the year 9999.

    Example:
        >>> latest_ms(1970), latest_ms(None) == latest_ms(9999) == TIME_MS_MAX
        (31535999999, True)
    """
    if year_max is None or year_max == 9999:
        return TIME_MS_MAX
    return _milliseconds(datetime(year_max + 1, 1, 1, tzinfo=UTC), UTC) - 1


def parse_iso8601_ms(text: str, zone: tzinfo = UTC) -> int:
    """Return milliseconds since 1970, rounded down.

    Args:
        text: Time in ISO 8601.
        zone: Zone of a text that names none.

    Raises:
        ValueError: The text is not ISO 8601, or its hour is 24.

    Example:
        >>> parse_iso8601_ms("1970-01-02"), parse_iso8601_ms("1970-01-01T01:00:00.5004+01:00")
        (86400000, 500)
    """
    return _milliseconds(parse_iso8601(text), zone)


def parse_time_ms(raw: object, time: EventTime) -> int:
    """Return an event time in milliseconds since 1970.

    Args:
        raw: Value of the field.
        time: Event time of the spec.

    Raises:
        FeatureError: The time is missing, cannot be parsed, or lies outside the years 1 to 9999.
    """
    try:
        value = read_number(raw) if time.parse else raw
        if value is None:
            raise FeatureError("no_event_time", f"{time.path}: the event time is missing")
        moment_ms = _parse(value, time)
    except (ValueError, OverflowError, TypeError) as error:
        message = f"{time.path}: the event time is not {_expectation(time)}"
        raise FeatureError("bad_event_time", message) from error
    if not TIME_MS_MIN <= moment_ms <= TIME_MS_MAX:
        message = f"{time.path}: the event time lies outside of the years 1 to 9999"
        raise FeatureError("time_out_of_bounds", message)
    return moment_ms


def parse_numbers_ms(raws: Sequence[Any] | NDArray[Any], unit: str) -> NDArray[np.int64] | None:
    """Return :func:`parse_time_ms` of each value if all are valid numbers, else ``None``."""
    kinds: set[type]
    if isinstance(raws, np.ndarray):
        kinds = {int if raws.dtype.kind == "i" else float}
    else:
        kinds = set(map(type, raws))
    if unit in PER_MS and kinds == {int}:
        try:
            times = np.array(raws, np.int64) // PER_MS[unit]
        except OverflowError:  # an integer beyond int64
            return None
    elif unit in MS_PER and kinds == {float}:
        with np.errstate(over="ignore"):
            times = np.rint(np.array(raws, np.float64) * MS_PER[unit])
    else:
        return None
    # NaN fails both comparisons.
    if not ((times >= TIME_MS_MIN) & (times <= TIME_MS_MAX)).all():
        return None
    return times.astype(np.int64)


def _parse(value: Any, time: EventTime) -> int:
    if time.unit == "iso8601":
        return parse_iso8601_ms(str(value), load_zone(time.zone))
    if time.unit == "text":
        moment = parse_text_time(str(value).strip(), time.format or "")
        return _milliseconds(moment, load_zone(time.zone))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("only a number is a time since 1970")
    if time.unit in MS_PER:
        return round(value * MS_PER[time.unit])
    return math.floor(value) // PER_MS[time.unit]


def _milliseconds(moment: datetime, zone: tzinfo) -> int:
    """Return milliseconds since 1970.

    Of a local time that exists twice, the earlier moment counts; one that does not exist is taken
    as one hour later.  Both are what ``fold=0`` of PEP 495 gives.
    """
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (zoned - _EPOCH) // timedelta(milliseconds=1)


def _expectation(time: EventTime) -> str:
    """Return what an event time should be, to follow "the event time is not"."""
    if time.unit == "iso8601":
        return "ISO 8601"
    if time.unit == "text":
        return f"of the format {time.format}"
    return "finite"
