"""Columns named as times that no spec reads: what they look like, and the remedy."""

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stream_rnn.spec.clocks import (
    DIGITS_AS_NUMBERS,
    ISO_START,
    UNITS_PER_S,
    YEARS_S,
    digits_clock,
    find_clock,
    has_digit_dates,
    is_time_named,
    iso_moment,
    share_with,
)
from stream_rnn.spec.columns import Column
from stream_rnn.spec.date_formats import SHARE_MIN, find_partial_format
from stream_rnn.spec.names import split_words, words
from stream_rnn.text import printable

EXCEL_DAYS = (32_874, 73_051)  # 1990 to 2100
DATE_WORDS = words("date datum fecha datetime timestamp")  # of whole numbers that count days
TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[AaPp][Mm])?")
YEAR_OR_TIME = r"(^|\D)(19|20)\d\d(\D|$)|\d:\d\d|\d\d?[-./]\d\d?[-./]\d\d|\d{10}"
MOST = 0.5  # share of texts that look like times in a column that is asked about


def unreadable_time(column: Column) -> str:
    """Return what a column of times looks like that no unit of a spec reads; empty for no time."""
    if column.texts is None and has_digit_dates(column):
        return f"{column.words.drop_nulls()[0]} and the like are {DIGITS_AS_NUMBERS}"
    if not is_time_named(column) or not column.present:
        return ""
    if has_excel_days(column):
        return "its numbers look like days since 1900, as Excel counts; export dates as texts"
    if column.texts is None and digits_clock(column):
        return f"{column.words.drop_nulls()[0]} and the like are {DIGITS_AS_NUMBERS}"
    if is_time_of_day(column):
        return "it is a time of the day without a date; join the two to one field"
    return unknown_format(column, YEAR_OR_TIME, MOST) or _stand_ins(column)


def has_excel_days(column: Column) -> bool:
    """Return whether the numbers of a column named as a time are days, as Excel counts them."""
    if column.kind not in ("integer", "number") or not column.present:
        return False
    if column.kind == "integer" and not split_words(column.parts[-1]) & DATE_WORDS:
        return False
    numbers = column.numbers
    inside = (numbers >= EXCEL_DAYS[0]) & (numbers < EXCEL_DAYS[1])
    return int(inside.sum()) >= SHARE_MIN * len(numbers)


def is_time_of_day(column: Column) -> bool:
    """Return whether most texts of a column named as a time have no date."""
    if column.kind != "text" or not column.present or not is_time_named(column):
        return False
    return share_with(column.values.drop_nulls(), rf"^\s*{TIME_OF_DAY.pattern}\s*$") > MOST


def unknown_format(column: Column, pattern: str = r"\d", share: float = SHARE_MIN) -> str:
    """Return why a column named as a time is not read, if a share of its texts has a pattern.

    Returns:
        The reason with a text that does not fit, and the remedy; empty for other columns.
    """
    if column.kind != "text" or not column.present or not is_time_named(column):
        return ""
    if share_with(column.values.drop_nulls(), pattern) < share or find_clock(column) is not None:
        return ""
    return describe_unknown(column)


def describe_unknown(column: Column) -> str:
    """Return why the texts of a column are not read as times, with the remedy."""
    texts = column.values.drop_nulls()
    is_iso = texts.str.contains(ISO_START) & pl.Series(
        [iso_moment(text.strip()) is not None for text in texts], dtype=pl.Boolean
    )
    if int(is_iso.sum()) >= SHARE_MIN * len(texts):
        return (
            f"its {len(texts)} texts, such as {printable(texts[0], 60)!r}, are ISO 8601, but more "
            "than 5 % lie outside of the years 1990 to 2100; write null for those that stand for no "
            "time"
        )
    return _unlike_most(texts, is_iso)


def _unlike_most(texts: pl.Series, is_iso: pl.Series) -> str:
    """Return which texts do not fit the format of most of them, with the remedy."""
    partial = find_partial_format(texts.to_list())
    if partial is None or partial.count <= is_iso.sum():
        name, count = "ISO 8601", int(is_iso.sum())
        unfit = next(text for text, fits in zip(texts, is_iso, strict=True) if not fits)
    else:
        name, count, unfit = partial.format, partial.count, partial.unfit
    start = f"its texts, such as {printable(unfit, 60)!r}, are of no format that is known"
    if not count:
        return f"{start}; give --time-format, as strptime reads it, or write ISO 8601"
    return (
        f"{start}: {count} of {len(texts)} are {name}, and a column has one format; write all of "
        "them as ISO 8601, and null for those that stand for no time"
    )


def _mixed_units(numbers: NDArray[np.float64]) -> str:
    """Return that numbers are times in several units, which are nearly all of them."""
    counts: dict[str, int] = {}
    for unit, per_s in UNITS_PER_S.items():
        inside = (numbers >= YEARS_S[0] * per_s) & (numbers < YEARS_S[1] * per_s)
        if count := int(inside.sum()):
            counts[unit] = count
    if len(counts) < 2 or sum(counts.values()) < SHARE_MIN * len(numbers):
        return ""
    shown = " and ".join(f"{count} in {unit}" for unit, count in counts.items())
    return f"its numbers are times in several units since 1970, {shown}; write all of them in one"


def _stand_ins(column: Column) -> str:
    """Return that numbers named as a time are times but for too many of them."""
    if column.kind not in ("integer", "number"):
        return ""
    numbers = column.numbers
    if mixed := _mixed_units(numbers):
        return mixed
    for unit, per_s in UNITS_PER_S.items():
        inside = (numbers >= YEARS_S[0] * per_s) & (numbers < YEARS_S[1] * per_s)
        if MOST * len(numbers) < int(inside.sum()) < SHARE_MIN * len(numbers):
            other = numbers[np.flatnonzero(~inside)[0]]
            return (
                f"{int((~inside).sum())} of its {len(numbers)} numbers, such as {other:.15g}, are no "
                f"times in {unit} from 1990 to 2100; write null for those that stand for no time"
            )
    return ""
