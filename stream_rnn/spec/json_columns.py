"""Columns of JSON objects, whose fields may be nested, absent, or of several types."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

import polars as pl

from stream_rnn.spec.array_columns import find_arrays
from stream_rnn.spec.columns import (
    ARRAYS_REFUSAL,
    Column,
    Kind,
    array_refusal,
    as_finite,
    path_refusal,
)

CELLS_MAX = 50_000_000  # bounds the memory of objects whose names are ids
COLUMNS_MIN = 100
_NAMES = {
    "nan": "NaN",
    "inf": "Infinity",
    "-inf": "-Infinity",
}  # as Python's json.dumps writes them
NAN_REMEDY = "write null (in Python, None) in place of them, as pandas' to_json does"
INT64 = (-(2**63), 2**63 - 1)


def json_columns(rows: Sequence[dict[str, Any]]) -> tuple[list[Column], int]:
    """Return the columns of objects, in the order in which the fields appear first.

    Returns:
        The columns, and the number of values in fields beyond the largest number of columns.
    """
    cells: dict[tuple[str, ...], list[Any]] = {}
    lost = 0
    columns_max = max(COLUMNS_MIN, CELLS_MAX // max(len(rows), 1))
    for number, row in enumerate(rows):
        for parts, value in _leaves(row):
            column = cells.get(parts)
            if column is None:
                if len(cells) >= columns_max:
                    lost += 1
                    continue
                column = cells[parts] = [None] * len(rows)
            column[number] = value
    parents = {parts[:end] for parts in cells for end in range(1, len(parts))}
    columns = [
        _column(parts, values, parts in parents)
        for parts, values in cells.items()
        if parts not in parents or any(value is not None for value in values)
    ]
    return columns, lost


def _leaves(row: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the value of every field that is no object, in order."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), row)]
    while stack:
        parts, value = stack.pop()
        if isinstance(value, dict):
            stack += [((*parts, name), inner) for name, inner in reversed(value.items())]
        else:
            yield parts, value


def _column(parts: tuple[str, ...], values: list[Any], is_parent: bool) -> Column:
    refusal = path_refusal(parts)
    if is_parent:
        refusal = refusal or "it is an object in some records and a plain value in others"
    kind, series, type_refusal = _typed(values)
    arrays = None
    if kind == "none" and not refusal and (arrays := find_arrays(values)):
        type_refusal = ARRAYS_REFUSAL
    unread = Counter(str(value) for value in values if type(value) is float and not isfinite(value))
    refusal = refusal or type_refusal
    return Column(
        parts,
        kind,
        series,
        refusal=refusal,
        unread={_NAMES[k]: n for k, n in unread.items()},
        arrays=arrays,
    )


def _typed(values: list[Any]) -> tuple[Kind, pl.Series, str]:
    """Return the type of the values, the values, and a refusal if a spec cannot use them."""
    types = {type(value) for value in values} - {type(None)}
    if not types:
        return "none", pl.Series(values, dtype=pl.Null), "it has no value at all"
    if list in types:
        lengths = [len(value) for value in values if isinstance(value, list)]
        empty = pl.Series([None] * len(values), dtype=pl.Null)
        return "none", empty, array_refusal(min(lengths), max(lengths))
    if types == {bool}:
        return "boolean", pl.Series(values, dtype=pl.Boolean), ""
    if types == {int}:
        return _integers(values)
    if types <= {int, float}:
        floats = [None if value is None else float(value) for value in values]
        return "number", *as_finite(pl.Series(floats, dtype=pl.Float64))
    texts = [None if value is None else _word(value) for value in values]
    return "text", pl.Series(texts, dtype=pl.String), ""


def _integers(values: list[Any]) -> tuple[Kind, pl.Series, str]:
    if all(value is None or INT64[0] <= value <= INT64[1] for value in values):
        return "integer", pl.Series(values, dtype=pl.Int64), ""
    return "integer", pl.Series(values, dtype=pl.UInt64, strict=False), ""


def _word(value: Any) -> str:
    """Return a value as a word of a vocabulary."""
    return str(value).lower() if isinstance(value, bool) else str(value)
