"""Columns of dates and times: their unit or format, and their values in seconds since 1970."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stream_rnn.model.text_times import parse_iso8601, parse_text_time
from stream_rnn.model.zones import load_zone
from stream_rnn.spec.columns import Column
from stream_rnn.spec.date_formats import SHARE_MIN, find_format
from stream_rnn.spec.names import TIME_WORDS, split_words

YEARS_S = (631_152_000, 4_102_444_800)  # 1990 to 2100
UNITS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
DIGIT_DATES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
EXACT_MAX = 2**53
ISO_START = r"^\s*\d{4}-\d\d-\d\d"
DATE_LENGTH = len("2024-01-31")
DATE_CHARS_MAX = 40
DIGITS_AS_NUMBERS = "dates as numbers, which no spec reads; write them as texts"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Clock:
    """The reading of a column as times.

    Attributes:
        unit: Unit of the event time in a spec.
        seconds: (N,) times in seconds since 1970; NaN where there is none from 1990 to 2100.
        format: Format of ``strptime`` for the unit ``text``; empty for any other.
        needs_parse: Whether the numbers are texts of JSON.
        naive: Number of texts that name no zone.
        doubled: Number of local times that exist twice in the zone, at the end of summer time.
        skipped: Number of local times that do not exist in the zone, at the start of summer time.
        confidence: Confidence that unit and format are right.
        reason: Reason for them, without a full stop.
        others: Formats that read the texts, too.
        outside: Number of times before 1990 or after 2100, such as stand-ins for no time.
        example: One of them, as it is in the log.
    """

    unit: str
    seconds: NDArray[np.float64]
    format: str = ""
    needs_parse: bool = False
    naive: int = 0
    doubled: int = 0
    skipped: int = 0
    confidence: float = 0.95
    reason: str = ""
    others: tuple[str, ...] = ()
    outside: int = 0
    example: str = ""

    def table(self, path: str, zone: str) -> dict[str, Any]:
        """Return the event time as a table of a spec."""
        values: dict[str, Any] = {"path": path, "unit": self.unit}
        if self.format:
            values["format"] = self.format
        if zone and self.unit in ("iso8601", "text"):
            values["zone"] = zone
        return values | ({"parse": True} if self.needs_parse else {})


@dataclass(slots=True)
class _Moments:
    """Texts as (N,) seconds, and counts of those without a zone."""

    seconds: NDArray[np.float64]
    naive: int = 0
    doubled: int = 0
    skipped: int = 0

    def clock(self, unit: str, column: Column, **more: Any) -> Clock:
        """Return the clock of the texts of a column."""
        return _within_years(
            column,
            unit=unit,
            seconds=self.seconds,
            naive=self.naive,
            doubled=self.doubled,
            skipped=self.skipped,
            **more,
        )


def find_clock(column: Column, zone: str = "", layout: str = "") -> Clock | None:
    """Return how a column is read as times from 1990 to 2100; ``None`` if it has none.

    Args:
        column: Column to read.
        zone: IANA name of the zone of texts without one; empty for UTC.
        layout: Format of ``strptime`` that the texts have; empty to find it.
    """
    if column.refusal or not column.present:
        return None
    if column.kind == "text":
        return _text_clock(column, zone, layout)
    if column.kind not in ("integer", "number"):
        return None
    if layout and column.texts is not None and not column.needs_parse:
        return _formatted(column, zone, layout, 1.0, "the format is given", ())
    unit = epoch_unit(column)
    if unit is not None:
        reason = f"numbers in {unit} since 1970 lie in the years 1990 to 2100"
        return _within_years(
            column,
            unit=unit,
            seconds=column.floats / UNITS_PER_S[unit],
            needs_parse=column.needs_parse,
            confidence=0.9,
            reason=reason,
        )
    is_date = column.texts is not None and (is_time_named(column) or has_digit_dates(column))
    return digits_clock(column, zone) if is_date else None


def is_time_named(column: Column) -> bool:
    """Return whether the name of a column has a word for a time."""
    return bool(split_words(column.parts[-1]) & TIME_WORDS)


def epoch_unit(column: Column) -> str | None:
    """Return the unit in which nearly all numbers are times from 1990 to 2100, if any."""
    if column.kind not in ("integer", "number"):
        return None
    units = UNITS_PER_S.items()
    return next((u for u, n in units if _are_times(column.numbers / n, column.present)), None)


def has_digit_dates(column: Column) -> bool:
    """Return whether nearly all numbers of a column are digits of dates from 1990 to 2100."""
    if column.kind != "integer" or column.distinct < 2:
        return False
    numbers = column.numbers[np.abs(column.numbers) <= EXACT_MAX].astype(np.int64)
    if not len(numbers):
        return False
    length = len(str(int(np.median(numbers))))
    if length not in DIGIT_DATES:
        return False
    days = numbers // 10 ** (length - 8)
    months, numbers_of_days = days // 100 % 100, days % 100
    is_in_year = (months >= 1) & (months <= 12) & (numbers_of_days >= 1) & (numbers_of_days <= 31)
    is_date = (days >= 19_900_101) & (days < 21_000_101) & is_in_year
    return int(is_date.sum()) >= SHARE_MIN * column.present


def iso_moment(text: str) -> datetime | None:
    """Return the moment that a text of ISO 8601 names; ``None`` for any other text."""
    try:
        return parse_iso8601(text)
    except ValueError:
        return None


def strptime_reader(layout: str) -> Callable[[str], datetime | None]:
    """Return a function that reads a text by a format; it returns ``None`` for any other text."""

    def read(text: str) -> datetime | None:
        try:
            return parse_text_time(text, layout)
        except ValueError:
            return None

    return read


def _text_clock(column: Column, zone: str, layout: str) -> Clock | None:
    present = column.values.drop_nulls()
    if layout:
        return _formatted(column, zone, layout, 1.0, "the format is given", ())
    if share_with(present, ISO_START) >= SHARE_MIN:
        moments = _read(column.values, iso_moment, zone)
        if _are_times(moments.seconds, len(present)):
            kind = "dates" if present.str.len_chars().mode()[0] == DATE_LENGTH else "texts"
            return moments.clock("iso8601", column, reason=f"ISO 8601 {kind}")
    is_short = present.str.len_chars() <= DATE_CHARS_MAX
    if int((is_short & present.str.contains(r"\d")).sum()) < SHARE_MIN * len(present):
        return None
    found = find_format(present.to_list())
    if found is None:
        return None
    return _formatted(column, zone, found.format, found.confidence, found.reason, found.others)


def _formatted(
    column: Column, zone: str, layout: str, confidence: float, reason: str, others: Sequence[str]
) -> Clock | None:
    moments = _read(column.words, strptime_reader(layout), zone)
    if not _are_times(moments.seconds, column.present):
        return None
    return moments.clock(
        "text", column, format=layout, confidence=confidence, reason=reason, others=tuple(others)
    )


def digits_clock(column: Column, zone: str = "") -> Clock | None:
    """Return the reading of digits such as 20240131; ``None`` if a column has others.

    A spec reads them from texts only.
    """
    if column.kind != "integer" or not column.present:
        return None
    lengths = column.words.drop_nulls().str.strip_chars().str.len_chars().mode().to_list()
    layout = DIGIT_DATES.get(lengths[0])
    if layout is None:
        return None
    return _formatted(column, zone, layout, 0.9, "the digits are those of dates", ())


def share_with(texts: pl.Series, pattern: str) -> float:
    """Return the share of texts that contain a pattern."""
    return int(texts.str.contains(pattern).sum()) / max(len(texts), 1)


def _are_times(seconds: NDArray[np.float64], present: int) -> bool:
    inside = int(_in_years(seconds).sum())
    return inside > 0 and inside >= SHARE_MIN * present


def _in_years(seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (seconds >= YEARS_S[0]) & (seconds < YEARS_S[1])


def _within_years(column: Column, *, seconds: NDArray[np.float64], **more: Any) -> Clock:
    """Return a clock with NaN for the times outside of the years, which it counts."""
    inside = _in_years(seconds)
    outside = np.flatnonzero(np.isfinite(seconds) & ~inside)
    example = str(column.words[int(outside[0])]) if len(outside) else ""
    seconds = np.where(inside, seconds, np.nan)
    return Clock(seconds=seconds, outside=len(outside), example=example, **more)


def _read(texts: pl.Series, read: Callable[[str], datetime | None], zone: str) -> "_Moments":
    """Read texts as times; a text without a zone is in ``zone``."""
    place = load_zone(zone) if zone else None
    moments = _Moments(np.full(len(texts), np.nan))
    changes: dict[datetime, int] = {}
    for i, text in enumerate(texts.to_list()):
        moment = None if text is None else read(text.strip())
        if moment is None:
            continue
        if moment.tzinfo is None:
            moments.naive += 1
            moment = moment.replace(tzinfo=place or UTC)
            if place is not None:
                half_hour = moment.replace(minute=moment.minute // 30 * 30, second=0, microsecond=0)
                if half_hour not in changes:
                    changes[half_hour] = clock_change(half_hour)
                moments.doubled += changes[half_hour] == 1
                moments.skipped += changes[half_hour] == -1
        moments.seconds[i] = (moment - EPOCH) / timedelta(seconds=1)
    return moments


def clock_change(moment: datetime) -> int:
    """Return 1 for a local time that exists twice, -1 for one that does not exist, otherwise 0."""
    early, late = (moment.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return (early > late) - (early < late)
