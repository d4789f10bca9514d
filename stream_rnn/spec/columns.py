"""What a log's columns hold: their types as the decoder will see them, and what is measured.

A column is a field of the events, an inner field of nested objects too, by its dotted path.  What
JSON cannot carry, or a dotted path cannot name, is said at the column: it is refused, not lost.
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
from stream_rnn.fold.decoder import parse_iso8601_ms
from stream_rnn.model.encoder import FLOAT32_MAX
from stream_rnn.replay.files import Rows, name_of, read_frames

PATH_LENGTH_MAX = 256
WORD_LENGTH_MAX = 256

Kind = Literal["number", "integer", "text", "boolean", "none"]


@dataclass(frozen=True, eq=False)  # a column is itself, not whatever holds the same
class Column:
    """One field of N events.

    Attributes:
        path: dotted.
        kind: what JSON makes of it; ``none`` if there is no use of it.
        values: N values, null where an event has none.
        refusal: why it can be neither feature nor target; empty if it can.
    """

    path: str
    kind: Kind
    values: pl.Series
    refusal: str = ""

    @cached_property
    def present(self) -> int:
        """Events that have it."""
        return len(self.values) - self.values.null_count()

    @cached_property
    def distinct(self) -> int:
        """Different values, none not counted."""
        return self.values.drop_nulls().n_unique() if self.kind != "none" else 0

    @cached_property
    def counts(self) -> list[tuple[str, int]]:
        """Its values as words of a vocabulary with their events, the most frequent first."""
        words = self.values.drop_nulls().cast(pl.String).alias("word")
        counted = words.value_counts(name="events").sort(
            ["events", "word"], descending=[True, False]
        )
        return list(counted.iter_rows())

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The numbers that are there, without their places."""
        return self.values.drop_nulls().cast(pl.Float64).to_numpy()

    @cached_property
    def times_s(self) -> NDArray[np.float64]:
        """A text's (N,) moments by ISO 8601 in seconds since 1970, NaN where it is none."""
        return np.array([_seconds(text) for text in self.values.to_list()], np.float64)

    @property
    def summary(self) -> str:
        """Its size in a few words, for messages."""
        return f"{self.path} has {self.distinct} values in {self.present} rows"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Events that follow one another within a key, in the order of the file.  P pairs.

    Attributes:
        before: (P,) rows.
        after: (P,) rows.
        keys: how many there are.
        rows: events that have a key.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    keys: int
    rows: int


def read_sample(path: Rows, rows: int) -> pl.DataFrame:
    """Read the first rows of a log: a file, or a data frame.

    Raises:
        ConfigError: it cannot be read, or has too few rows to say anything.
    """
    frames: list[pl.DataFrame] = []
    left = rows
    for frame in read_frames(path):
        frames.append(frame.head(left))
        left -= len(frames[-1])
        if left <= 0:
            break
    sample = pl.concat(frames)
    if len(sample) < 2:
        raise ConfigError(
            f"{name_of(path)} has {len(sample)} rows; a proposal needs 2 at least, better thousands"
        )
    return sample


def columns_of(sample: pl.DataFrame) -> list[Column]:
    """Return the columns of a sample, those of nested objects by their dotted paths.

    Raises:
        ConfigError: a column holds bytes, which no row of JSON can.
    """
    return [column for series in sample for column in _columns(series, series.name, "")]


def pairs_of(keys: Sequence[Column]) -> Pairs:
    """Return which event follows which within a key; rows that lack a part of it have none."""
    parts = [column.values.cast(pl.String).alias(str(i)) for i, column in enumerate(keys)]
    joined = pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator="-")).to_series()
    codes = joined.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] > 0]
    same = codes[order[1:]] == codes[order[:-1]]
    return Pairs(order[:-1][same], order[1:][same], int(codes.max(initial=0)), len(order))


def shared_bits(column: Column, pairs: Pairs) -> tuple[float, float]:
    """Return how often a column changes within a key, and what a value says of the next one.

    Returns:
        the share of pairs with different values, and the mutual information of neighbours in bits
        with the bias of small counts taken off; both 0 where there is no pair.

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
    """Whether a number moves within a key, and not by the same step each time."""
    values = column.values.cast(pl.Float64).to_numpy()
    steps = values[pairs.after] - values[pairs.before]
    steps = steps[np.isfinite(steps)]
    return len(steps) > 0 and float(np.ptp(steps)) > 0


def _entropy(values: NDArray[np.int64]) -> tuple[float, int]:
    """Return bits and how many values there are."""
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log2(shares)).sum()), len(shares)


def _columns(series: pl.Series, path: str, refusal: str) -> list[Column]:
    name = series.name
    if not name:
        refusal = refusal or "a field without a name has no path"
    elif "." in name:
        refusal = refusal or "a name with a dot in it cannot be told from a nested field"
    elif len(path) > PATH_LENGTH_MAX:
        refusal = refusal or f"its path is longer than {PATH_LENGTH_MAX} characters"
    if isinstance(series.dtype, pl.Struct):
        inner = [series.struct.field(field.name) for field in series.dtype.fields]
        return [c for field in inner for c in _columns(field, f"{path}.{field.name}", refusal)]
    kind, values, unfit = _as_json(series, path)
    return [Column(path, kind, values, refusal or unfit)]


def _as_json(series: pl.Series, path: str) -> tuple[Kind, pl.Series, str]:
    """Return what a column is once its rows are JSON, and why it is of no use."""
    dtype = series.dtype
    if dtype == pl.Binary:
        raise ConfigError(
            f"column {path} holds bytes, which JSON cannot carry; write the log without it"
        )
    if dtype.is_float():
        return "number", *_floats(series.cast(pl.Float64))
    if dtype in (pl.Date, pl.Datetime):
        return "text", _as_texts(series), ""
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text", series.cast(pl.String), ""
    if dtype == pl.Boolean or dtype.is_integer():
        return "boolean" if dtype == pl.Boolean else "integer", series, ""
    return "none", series, _no_use(dtype)


def _no_use(dtype: pl.DataType) -> str:
    if dtype == pl.Decimal:
        return "decimal numbers become texts in JSON; cast it to float"
    if dtype == pl.Null:
        return "it has no value at all"
    return f"a {str(dtype).partition('(')[0].lower()} is no feature"


def _floats(values: pl.Series) -> tuple[pl.Series, str]:
    """Return floats as JSON has them, without NaN and infinity."""
    finite = values.is_finite()
    values = pl.select(pl.when(finite).then(values)).to_series()
    largest = values.abs().max()
    if isinstance(largest, float) and largest > FLOAT32_MAX:
        return values, f"it holds {largest:g}, which is not finite as float32"
    return values, ""


def _as_texts(series: pl.Series) -> pl.Series:
    """Return dates and times as rows of JSON write them."""
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
