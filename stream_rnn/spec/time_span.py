"""The first and the last event time of a log, and the unit that would fit if theirs does not.

Seconds that are read as milliseconds lie in 1970, and milliseconds that are read as seconds lie in
the year 50,000: the fold takes the former as they are, and skips the latter.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from stream_rnn.errors import RecordError
from stream_rnn.fold.event_time import TIME_MS_MAX, TIME_MS_MIN, parse_time_ms
from stream_rnn.model.event import EventTime
from stream_rnn.model.values import read_number
from stream_rnn.spec.clocks import UNITS_PER_S, YEARS_S
from stream_rnn.spec.date_formats import SHARE_MIN, YEARS
from stream_rnn.text import format_time

YEAR_MS = 31_556_952_000
YEAR_1970 = 1970


class TimeSpan:
    """First and last event time of the records of a log, which are added one by one.

    Args:
        time: Event time of the spec.

    Attributes:
        first_ms: Earliest time in milliseconds since 1970; ``None`` before the first time.
        last_ms: Latest time; ``None`` before the first time.
        times: Number of times.
        outside: Number of times before 1990 or after 2100.
    """

    def __init__(self, time: EventTime) -> None:
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.times = self.outside = 0
        self._time = time
        self._is_number = time.unit in UNITS_PER_S
        self._bounds: tuple[float, float] = (math.inf, -math.inf)
        self._inside: Counter[str] = Counter()

    def add(self, raw: Any) -> None:
        """Add the value of a record; a value that is no time does not count."""
        time_ms = self._add_number(raw) if self._is_number else self._parse(raw)
        if time_ms is None:
            return
        self.times += 1
        self.outside += not _is_usual(time_ms / 1000)
        self.first_ms = time_ms if self.first_ms is None else min(self.first_ms, time_ms)
        self.last_ms = time_ms if self.last_ms is None else max(self.last_ms, time_ms)

    @property
    def line(self) -> str:
        """First and last time as a line; empty without any."""
        if self.first_ms is None or self.last_ms is None:
            return ""
        return f"event times: {_moment(self.first_ms)} to {_moment(self.last_ms)} UTC"

    @property
    def warning(self) -> str:
        """Which times lie outside of the usual years, and the remedy; empty for none."""
        if not self.outside:
            return ""
        path = self._time.path
        years = f"outside of the years {YEARS[0]} to {YEARS[1]}"
        start = f"{path}: {self.outside} of {self.times} event times lie {years}"
        if unit := self._fitting_unit():
            first, last = (_moment(round(n * 1000 / UNITS_PER_S[unit])) for n in self._bounds)
            was = self._time.unit
            return (
                f'{start}: they are read in {was}. With unit = "{unit}" in event.time, the times of '
                f"the log are {first} to {last} UTC"
            )
        counts = f", or {path} is a count, not a date" * self._is_number
        return (
            f"{start}: write null for those that stand for no time, unless they are right{counts}"
        )

    def _parse(self, raw: Any) -> int | None:
        try:
            return parse_time_ms(raw, self._time)
        except RecordError:
            return None

    def _add_number(self, raw: Any) -> int | None:
        """Count in which units a number is a usual time; return the time, also beyond the fold's."""
        try:
            value = read_number(raw) if self._time.parse else raw
        except ValueError:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
            time_ms = round(number * 1000 / UNITS_PER_S[self._time.unit])
        except (ValueError, OverflowError):  # NaN, infinity, or more digits than a float has
            return None
        self._bounds = min(self._bounds[0], number), max(self._bounds[1], number)
        self._inside.update(_usual_units(number))
        return time_ms

    def _fitting_unit(self) -> str:
        """Return another unit in which nearly all numbers are usual times; empty for none."""
        if self.outside <= (1 - SHARE_MIN) * self.times:
            return ""
        enough = SHARE_MIN * self.times
        return next((unit for unit, count in self._inside.items() if count >= enough), "")


def _usual_units(number: float) -> Iterable[str]:
    return (unit for unit, per_s in UNITS_PER_S.items() if _is_usual(number / per_s))


def _is_usual(seconds: float) -> bool:
    return YEARS_S[0] <= seconds < YEARS_S[1]


def _moment(time_ms: int) -> str:
    """Return a time for people; beyond the years of the fold, the year alone."""
    if TIME_MS_MIN <= time_ms <= TIME_MS_MAX:
        return format_time(time_ms)
    return f"the year {YEAR_1970 + time_ms / YEAR_MS:,.0f}"
