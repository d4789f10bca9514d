"""The first rows of the parts of a Parquet log, each of which has types of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from stream_rnn.replay.key_types import PLAIN, text_form
from stream_rnn.spec.columns import as_json_texts

NUMBERS = {PLAIN, "float"}
NAMES_SHOWN = 6


@dataclass(frozen=True, eq=False)
class FrameTable:
    """The rows of parts.

    Attributes:
        frame: The R rows.
        texts: The R texts of each column of numbers that parts write in different ways.
        notes: Columns whose types differ, a sentence each.
    """

    frame: pl.DataFrame
    texts: Mapping[str, pl.Series]
    notes: tuple[str, ...]


def join_frames(frames: Sequence[tuple[str, pl.DataFrame]]) -> FrameTable:
    """Join the rows of parts, of which each value keeps the text that its part gives it.

    Args:
        frames: Name of the part, and rows.
    """
    kinds: dict[str, dict[str, tuple[str, pl.DataType]]] = {}
    for name, frame in frames:
        for series in frame:
            if series.null_count() < len(series) and _is_plain(series):
                form = text_form(series.dtype)
                kinds.setdefault(series.name, {}).setdefault(form, (name, series.dtype))
    mixed = {column: forms for column, forms in kinds.items() if len(forms) > 1}
    read = [frame for _, frame in frames]
    texts = {column: [_texts(frame, column) for frame in read] for column in mixed}
    numbers = {c for c in mixed if all(dtype.is_numeric() for _, dtype in mixed[c].values())}
    read = [
        frame.with_columns(texts[column][i] for column in mixed.keys() - numbers)
        for i, frame in enumerate(read)
    ]
    joined = pl.concat(read or [pl.DataFrame()], how="diagonal_relaxed")
    notes = tuple(_note(column, mixed[column]) for column in list(mixed)[:NAMES_SHOWN])
    return FrameTable(joined, {column: pl.concat(texts[column]) for column in numbers}, notes)


def _texts(frame: pl.DataFrame, column: str) -> pl.Series:
    if column in frame.columns and _is_plain(frame[column]):
        return as_json_texts(frame[column]).alias(column)
    return pl.Series(column, [None] * len(frame), dtype=pl.String)


def _is_plain(series: pl.Series) -> bool:
    return not series.dtype.is_nested() and series.dtype not in (pl.Binary, pl.Object)


def _note(column: str, forms: Mapping[str, tuple[str, pl.DataType]]) -> str:
    (one, first), (two, second), *_ = forms.values()
    start = (
        f"{column} is {first} in {one}, and {second} in {two}: each row keeps the type of its part"
    )
    key = "parts that write a key in two ways are refused" + (
        ", because 7 and 7.0 would be two keys" * (set(forms) <= NUMBERS and first != pl.String)
    )
    return f"{start}, and {key}. Write the column with one type."
