"""Columns of a log: their types as the decoder sees them, and statistics of their values.

A column is a field of the records; a field of a nested object is a column, too.  A column that
JSON cannot carry, or that a spec cannot read, has a refusal with the reason.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from stream_rnn.model.encoder import FLOAT32_MAX
from stream_rnn.model.paths import PATH_LENGTH_MAX, join_path
from stream_rnn.spec.array_columns import Arrays, find_arrays

WORD_LENGTH_MAX = 256

ARRAYS_REFUSAL = "its values are arrays, which are neither a key nor a time nor a target"

Kind = Literal["number", "integer", "text", "boolean", "none"]


@dataclass(frozen=True, eq=False)  # columns with equal contents are still different columns
class Column:
    """One field of N records.

    Attributes:
        parts: Names on the path of the field, which begins at the record.
        kind: Type of the values in JSON; ``none`` if a spec cannot use them.
        values: The N values; null where a record lacks the field.
        refusal: Reason why a spec cannot use the column; empty if it can.
        texts: The N texts of a column whose numbers or booleans are texts in the log.
        needs_parse: Whether a number or boolean is a text of JSON, which needs ``parse = true``.
        unread: Texts among numbers that are no numbers, with their numbers of rows.
        mixture: Why a column of texts is no category although a spec can read it, for a key;
            empty for none.
        notes: Remarks for the comment beside the field, without a full stop.
        raw: The N texts of a delimited file, of which a key is read; null where they are empty.
        symbols: Symbols of an enum that a schema declares; empty for none.
        is_time: Whether a schema declares the numbers as times.
        is_record_key: Whether it is the key of the records of a topic, which is no field.
        arrays: What the arrays of the column contain, if a feature reads them; such a column has a
            refusal, for it is neither a key nor a time nor a target.
    """

    parts: tuple[str, ...]
    kind: Kind
    values: pl.Series
    refusal: str = ""
    texts: pl.Series | None = None
    needs_parse: bool = False
    unread: Mapping[str, int] = field(default_factory=dict)
    mixture: str = ""
    notes: tuple[str, ...] = ()
    raw: pl.Series | None = None
    symbols: tuple[str, ...] = ()
    is_time: bool = False
    is_record_key: bool = False
    arrays: Arrays | None = None

    @cached_property
    def path(self) -> str:
        """Path of the field, as a spec names it."""
        return join_path(self.parts)

    @cached_property
    def present(self) -> int:
        """Number of records that have the field."""
        return len(self.values) - self.values.null_count()

    @cached_property
    def words(self) -> pl.Series:
        """The N values as words: those of a vocabulary, and the parts of a key."""
        return self.values.cast(pl.String) if self.texts is None else self.texts

    @property
    def key_words(self) -> pl.Series:
        """The N values as a key: in a delimited file, words for missing values are keys, too."""
        return self.words if self.raw is None else self.raw

    @cached_property
    def distinct(self) -> int:
        """Number of different words, without null."""
        return self.words.drop_nulls().n_unique() if self.kind != "none" else 0

    @cached_property
    def counts(self) -> list[tuple[str, int]]:
        """Each word with its number of records, the most frequent first."""
        present = self.words.drop_nulls().alias("word")
        counted = present.value_counts(name="events").sort(
            ["events", "word"], descending=[True, False]
        )
        return list(counted.iter_rows())

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The values that are not null, as numbers."""
        return self.values.drop_nulls().cast(pl.Float64).to_numpy()

    @cached_property
    def floats(self) -> NDArray[np.float64]:
        """The N values as numbers; NaN where a record lacks the field."""
        return self.values.cast(pl.Float64).fill_null(float("nan")).to_numpy()

    @cached_property
    def is_flag(self) -> bool:
        """Whether the values are the numbers 0 and 1, and both occur."""
        if self.kind not in ("integer", "number") or not self.present:
            return False
        return bool(np.isin(self.numbers, (0, 1)).all()) and len(set(self.numbers.tolist())) == 2

    @property
    def summary(self) -> str:
        """Path and number of values, for messages."""
        return f"{self.path} has {self.distinct} values in {self.present} rows"


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of successive events of one key.

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


def frame_columns(sample: pl.DataFrame) -> list[Column]:
    """Return the columns of a data frame, including the fields of nested objects."""
    return [column for series in sample for column in _columns(series, (series.name,), "")]


def path_refusal(parts: Sequence[str]) -> str:
    """Return the reason why no path can name a field; empty if one can."""
    if not all(parts):
        return "a field with an empty name is read by no spec"
    if len(join_path(parts)) > PATH_LENGTH_MAX:
        return f"its path is longer than {PATH_LENGTH_MAX} characters"
    return ""


def find_pairs(keys: Sequence[Column], seconds: NDArray[np.float64] | None = None) -> Pairs:
    """Find successive events of the same key; rows that lack a part of the key are left out.

    Args:
        keys: Columns of the key.
        seconds: (N,) times, whose order is that of the events; ``None`` for the order of the rows.
    """
    parts = [column.key_words.alias(str(i)) for i, column in enumerate(keys)]
    joined = pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator="\0")).to_series()
    codes = joined.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    order = np.lexsort((codes,) if seconds is None else (seconds, codes))
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
    codes = column.words.rank("dense").fill_null(0).to_numpy().astype(np.int64)
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
    values = column.floats
    steps = values[pairs.after] - values[pairs.before]
    steps = steps[np.isfinite(steps)]
    return len(steps) > 0 and float(np.ptp(steps)) > 0


def _entropy(values: NDArray[np.int64]) -> tuple[float, int]:
    """Return the entropy in bits, and the number of different values."""
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log2(shares)).sum()), len(shares)


def _columns(series: pl.Series, parts: tuple[str, ...], refusal: str) -> list[Column]:
    refusal = refusal or path_refusal(parts)
    if isinstance(series.dtype, pl.Struct):
        names = [member.name for member in series.dtype.fields]
        inner = [(name, series.struct.field(name)) for name in names]
        return [c for name, member in inner for c in _columns(member, (*parts, name), refusal)]
    if isinstance(series.dtype, pl.Decimal) and len(parts) == 1:  # a number if a spec reads one
        texts = series.cast(pl.String)
        floats, type_refusal = as_finite(texts.cast(pl.Float64))
        return [Column(parts, "number", floats, refusal=refusal or type_refusal, texts=texts)]
    kind, values, type_refusal = _as_json(series)
    arrays = None
    if isinstance(series.dtype, pl.List | pl.Array) and not refusal:
        arrays = find_arrays([None if v is None else list(v) for v in series.to_list()])
        type_refusal = ARRAYS_REFUSAL if arrays else type_refusal
    return [Column(parts, kind, values, refusal=refusal or type_refusal, arrays=arrays)]


def _as_json(series: pl.Series) -> tuple[Kind, pl.Series, str]:
    """Return the type in JSON, the values in JSON, and a refusal if a spec cannot use them."""
    dtype = series.dtype
    if dtype.is_float():
        return "number", *as_finite(series.cast(pl.Float64))
    if dtype in (pl.Date, pl.Datetime):
        return "text", as_json_texts(series), ""
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text", series.cast(pl.String), ""
    if dtype == pl.Boolean or dtype.is_integer():
        return "boolean" if dtype == pl.Boolean else "integer", series, ""
    return "none", series, _type_refusal(series)


def _type_refusal(series: pl.Series) -> str:
    dtype = series.dtype
    if dtype == pl.Decimal:
        return "JSON carries decimal numbers in objects as texts; cast the field to float"
    if dtype == pl.Binary:
        return "JSON cannot carry bytes; cast the column to text"
    if dtype == pl.Null:
        return "it has no value at all"
    if isinstance(dtype, pl.List | pl.Array):
        lengths = series.drop_nulls().list.len() if isinstance(dtype, pl.List) else [dtype.size]
        return array_refusal(min(lengths, default=0), max(lengths, default=0))
    return f"a {str(dtype).partition('(')[0].lower()} cannot be a feature"


def array_refusal(shortest: int, longest: int) -> str:
    """Return what is lost by leaving out a column of arrays."""
    lengths = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
    return (
        f"an array of {lengths} value{'s' * (longest != 1)} cannot be a feature, so all is lost: a "
        "vector has numbers and one length, a list of words has texts, and both change; write the values that matter, such "
        "as the last one or the mean, to fields of their own"
    )


def as_finite(values: pl.Series) -> tuple[pl.Series, str]:
    """Return floats as JSON carries them: NaN and infinity become null; and a refusal, if any."""
    finite = values.is_finite()
    values = pl.select(pl.when(finite).then(values)).to_series()
    largest = values.abs().max()
    if isinstance(largest, float) and largest > FLOAT32_MAX:
        return values, f"its value {largest:g} is not finite as float32"
    return values, ""


def as_json_texts(series: pl.Series) -> pl.Series:
    """Return values as the texts that a row of JSON contains, without quotation marks."""
    buffer = io.BytesIO()
    series.alias("x").to_frame().write_ndjson(buffer)
    texts = [line[5:-1].decode() for line in buffer.getvalue().splitlines()]  # {"x":7.0}
    values = [None if t == "null" else orjson.loads(t) if t[0] == '"' else t for t in texts]
    return pl.Series(values, dtype=pl.String)
