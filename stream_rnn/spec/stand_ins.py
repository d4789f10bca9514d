"""Numbers that may stand for a missing value, such as -999: named in a hint, never removed."""

import re

import numpy as np
from numpy.typing import NDArray

from stream_rnn.spec.columns import Column
from stream_rnn.text import printable

COUNT_MIN = 2
FREQUENT_MIN = 0.01  # share of rows with a value that is no outlier, but far too frequent
FREQUENT_RATIO = 5  # rows with it, for each row with the next most frequent value
SPELLINGS_MAX = 3
_NINES = re.compile(r"-?9{2,}(?:\.9+)?")
_LIMITS = {-(2.0**15), 2.0**15 - 1, 2.0**16 - 1, -(2.0**31), 2.0**31 - 1, 2.0**32 - 1}


def describe_stand_ins(column: Column) -> str:
    """Return which numbers of a column may mean that a value is missing; empty for none.

    A number is one if its digits are nines, or it is the limit of an integer type, and it lies
    apart from all other numbers, or is far more frequent than any of them.
    """
    if column.kind not in ("integer", "number") or not column.present:
        return ""
    values, counts = np.unique(column.numbers, return_counts=True)
    is_odd = np.array([_is_odd(value) for value in values.tolist()]) & (counts >= COUNT_MIN)
    if not is_odd.any() or (~is_odd).sum() < 2:
        return ""
    others, usual = values[~is_odd], int(counts[~is_odd].max())
    found = [
        (value, int(rows))
        for value, rows in zip(values[is_odd].tolist(), counts[is_odd], strict=True)
        if _lies_apart(value, others)
        or (rows > FREQUENT_RATIO * usual and rows >= FREQUENT_MIN * column.present)
    ]
    if not found:
        return ""
    rows = sum(count for _, count in found)
    texts = [text for value, _ in found for text in _spellings(column, value)]
    shown = " and ".join(texts)
    remedy = "write null for it"
    if column.raw is not None:
        quoted = ", ".join(f'"{text}"' for text in texts)
        remedy = f"add {quoted} to the words of missing in [file]"
    return (
        f"{shown} in {rows} of {len(column.values)} rows ({rows / len(column.values):.1%}) may mean "
        f"that the value is missing, for all others lie between {others.min():g} and "
        f"{others.max():g}; it is read as a number: if it is none, {remedy}"
    )


def _is_odd(value: float) -> bool:
    return value in _LIMITS or bool(_NINES.fullmatch(f"{value:g}"))


def _lies_apart(value: float, others: NDArray[np.float64]) -> bool:
    low, high = float(others.min()), float(others.max())
    spread = high - low
    is_sole_negative = value < 0 <= low
    return value < low - spread or value > high + spread or is_sole_negative


def _spellings(column: Column, value: float) -> list[str]:
    """Return the texts of a number, as the log writes them."""
    texts = column.words.filter(column.values.cast(float) == value).drop_nulls().unique().sort()
    return [printable(text, 20) for text in texts.head(SPELLINGS_MAX)]
