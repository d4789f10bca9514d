"""Columns of a log: their types as the decoder sees them, and statistics of their values.

A column is a field of the events; a field of a nested object is a column with a dotted path.  A
column that JSON cannot carry, or that no dotted path can name, has a refusal with the reason.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.fold.event_time import parse_iso8601_ms
from stream_rnn.model.encoder import FLOAT32_MAX
from stream_rnn.model.paths import PATH_LENGTH_MAX, join_path
from stream_rnn.replay.files import Rows, name_of, read_frames

WORD_LENGTH_MAX = 256

Kind = Literal["number", "integer", "text", "boolean", "none"]


@dataclass(frozen=True, eq=False)  # columns with equal contents are still different columns
class Column:
    """One field of N events.

    Attributes:
        path: Dotted path of the field.
        kind: Type of the values in JSON; ``none`` if a spec cannot use them.
        values: The N values; null where an event lacks the field.
        refusal: Reason why a spec cannot use the column; empty if it can.
    """

    path: str
    kind: Kind
    values: pl.Series
    refusal: str = ""

    @cached_property
    def present(self) -> int:
        """Number of events that have the field."""
        return len(self.values) - self.values.null_count()

    @cached_property
    def distinct(self) -> int:
        """Number of different values, without null."""
        return self.values.drop_nulls().n_unique() if self.kind != "none" else 0

    @cached_property
    def counts(self) -> list[tuple[str, int]]:
        """Each value as a word with its number of events, the most frequent first."""
        words = self.values.drop_nulls().cast(pl.String).alias("word")
        counted = words.value_counts(name="events").sort(
            ["events", "word"], descending=[True, False]
        )
        return list(counted.iter_rows())

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The values that are not null, as numbers."""
        return self.values.drop_nulls().cast(pl.Float64).to_numpy()

    @cached_property
    def times_s(self) -> NDArray[np.float64]:
        """ISO 8601 texts as (N,) seconds since 1970; NaN for any other text."""
        return np.array([_seconds(text) for text in self.values.to_list()], np.float64)

    @property
    def summary(self) -> str:
        """Path and number of values, for messages."""
        return f"{self.path} has {self.distinct} values in {self.present} rows"


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of successive events of one key, in the order of the log.

    Attributes:
        before: (P,) row numbers of the earlier events.
        after: (P,) row numbers of the later events.
        keys: Number of different keys.
        rows: Number of rows that have a key.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    keys: int
    rows: int


def read_sample(path: Rows, rows: int) -> pl.DataFrame:
    """Read the first rows of a log, which is a file or a data frame.

    Raises:
        ConfigError: The log cannot be read, or has fewer than two rows.
    """
    frames: list[pl.DataFrame] = []
    left = rows
    for frame in read_frames(path):
        frames.append(frame.head(left))
        left -= len(frames[-1])
        if left <= 0:
            break
    sample = pl.concat(frames or [pl.DataFrame()])
    if len(sample) < 2:
        raise ConfigError(
            f"{name_of(path)} has {len(sample)} rows; a proposal needs at least 2, better thousands"
        )
    return sample


def list_columns(sample: pl.DataFrame) -> list[Column]:
    """Return the columns of a sample, including the fields of nested objects.

    Raises:
        ConfigError: A column contains bytes, which JSON cannot carry.
    """
    return [
        column for series in sample for column in _columns(series, join_path([series.name]), "")
    ]


def find_pairs(keys: Sequence[Column]) -> Pairs:
    """Find successive events of the same key; rows that lack a part of the key are left out."""
    parts = [column.values.cast(pl.String).alias(str(i)) for i, column in enumerate(keys)]
    joined = pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator="-")).to_series()
    codes = joined.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] > 0]
    same = codes[order[1:]] == codes[order[:-1]]
    return Pairs(order[:-1][same], order[1:][same], int(codes.max(initial=0)), len(order))


def measure_change(column: Column, pairs: Pairs) -> tuple[float, float]:
    """Measure how a column changes from an event of a key to the next one.

    Returns:
        The share of pairs whose values differ, and the mutual information of the two values in
        bits, corrected for the bias of small counts.  Both are 0 without pairs.

    Source:
        Miller, "Note on the bias of information estimates", 1955.
    """
    codes = column.values.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)
    before, after = codes[pairs.before], codes[pairs.after]
    known = (before > 0) & (after > 0)
    before, after = before[known], after[known]
    if not len(before):
        return 0.0, 0.0
    joint = before * (codes.max() + 1) + after
    entropies, cells = zip(*(_entropy(values) for values in (before, after, joint)), strict=True)
    bias = (cells[2] - cells[0] - cells[1] + 1) / (2 * len(before) * np.log(2))
    bits = entropies[0] + entropies[1] - entropies[2] - bias
    return float((before != after).mean()), float(bits)


def steps_vary(column: Column, pairs: Pairs) -> bool:
    """Return whether a number changes within a key by steps that are not all equal."""
    values = column.values.cast(pl.Float64).to_numpy()
    steps = values[pairs.after] - values[pairs.before]
    steps = steps[np.isfinite(steps)]
    return len(steps) > 0 and float(np.ptp(steps)) > 0


def _entropy(values: NDArray[np.int64]) -> tuple[float, int]:
    """Return the entropy in bits, and the number of different values."""
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log2(shares)).sum()), len(shares)


def _columns(series: pl.Series, path: str, refusal: str) -> list[Column]:
    name = series.name
    if not name:
        refusal = refusal or "a field with an empty name has no path"
    elif len(path) > PATH_LENGTH_MAX:
        refusal = refusal or f"its path is longer than {PATH_LENGTH_MAX} characters"
    if isinstance(series.dtype, pl.Struct):
        inner = [series.struct.field(field.name) for field in series.dtype.fields]
        return [
            c
            for field in inner
            for c in _columns(field, f"{path}.{join_path([field.name])}", refusal)
        ]
    kind, values, type_refusal = _as_json(series, path)
    return [Column(path, kind, values, refusal or type_refusal)]


def _as_json(series: pl.Series, path: str) -> tuple[Kind, pl.Series, str]:
    """Return the type in JSON, the values in JSON, and a refusal if a spec cannot use them."""
    dtype = series.dtype
    if dtype == pl.Binary:
        raise ConfigError(
            f"column {path} contains bytes, which JSON cannot carry; write the log without it"
        )
    if dtype.is_float():
        return "number", *_floats(series.cast(pl.Float64))
    if dtype in (pl.Date, pl.Datetime):
        return "text", _as_texts(series), ""
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text", series.cast(pl.String), ""
    if dtype == pl.Boolean or dtype.is_integer():
        return "boolean" if dtype == pl.Boolean else "integer", series, ""
    return "none", series, _type_refusal(dtype)


def _type_refusal(dtype: pl.DataType) -> str:
    if dtype == pl.Decimal:
        return "JSON carries decimal numbers as texts; cast the column to float"
    if dtype == pl.Null:
        return "it has no value at all"
    return f"a {str(dtype).partition('(')[0].lower()} cannot be a feature"


def _floats(values: pl.Series) -> tuple[pl.Series, str]:
    """Return floats as JSON carries them: NaN and infinity become null."""
    finite = values.is_finite()
    values = pl.select(pl.when(finite).then(values)).to_series()
    largest = values.abs().max()
    if isinstance(largest, float) and largest > FLOAT32_MAX:
        return values, f"its value {largest:g} is not finite as float32"
    return values, ""


def _as_texts(series: pl.Series) -> pl.Series:
    """Return dates and times as the texts that a row of JSON contains."""
    buffer = io.BytesIO()
    series.alias("x").to_frame().write_ndjson(buffer)
    return pl.Series(
        [orjson.loads(line)["x"] for line in buffer.getvalue().splitlines()], dtype=pl.String
    )


def _seconds(text: str | None) -> float:
    try:
        return parse_iso8601_ms(text or "") / 1000
    except ValueError:
        return float("nan")
