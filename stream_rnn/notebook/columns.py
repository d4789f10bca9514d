"""Predictions as polars columns, with the names of the Parquet files that ``replay`` writes.

partition, offset   Int64    place of the record; in a file or frame, the offset is the row number
key, key_base64     String   key of the record, as text or, if it is not UTF-8, as base64
event_time_ms       Int64    milliseconds since 1970
steps               Int64    number of events in the memory, the predicting event included
cold                Boolean  whether the event is the first in the memory
HEAD.probability    Float64  probability of a binary head, or of the likeliest class
HEAD.class          String   likeliest class of a multi-class head
HEAD.value          Float64  value of a regression head, or the time to the next event in seconds
HEAD.p10            Float64  quantile of a quantile head, here 0.1
HEAD.surprise       Float64  surprise of the event, if the head has one; null where there is none
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile, TimeToNext
from stream_rnn.replay.logs import Log, TopicLog

PLACE = {
    "partition": pl.Int64,
    "offset": pl.Int64,
    "key": pl.String,
    "key_base64": pl.String,
    "event_time_ms": pl.Int64,
    "steps": pl.Int64,
    "cold": pl.Boolean,
}


def place_columns(
    partition: NDArray[np.integer],
    offset: NDArray[np.int64],
    keys: Sequence[bytes],
    time_ms: NDArray[np.int64],
    steps: NDArray[np.int64],
) -> pl.DataFrame:
    """Return the columns from ``partition`` to ``cold`` for N events.

    Args:
        partition: Source partitions (N,).
        offset: Source offsets (N,).
        keys: The N record keys.
        time_ms: Event times (N,), in milliseconds since 1970.
        steps: Numbers (N,) of events in the memory.
    """
    texts = [_text(key) for key in keys]
    coded = [
        base64.b64encode(key).decode() if text is None else None
        for key, text in zip(keys, texts, strict=True)
    ]
    columns = dict(
        zip(PLACE, (partition, offset, texts, coded, time_ms, steps, steps == 1), strict=True)
    )
    return pl.DataFrame(columns, schema=PLACE)


def in_log_order(frame: pl.DataFrame, log: Log) -> pl.DataFrame:
    """Sort predictions by the rows of a file or frame, or by the partitions of a topic."""
    return frame.sort(["partition", "offset"] if isinstance(log, TopicLog) else ["offset"])


def output_columns(
    head: AnyHead,
    output: Output | NDArray[np.float32],
    surprises: Mapping[str, NDArray[np.float32]],
) -> list[pl.Series]:
    """Return the columns of one head.

    Args:
        head: Head that predicts.
        output: Values or ranked classes (N,), or probabilities (N, C).
        surprises: Surprise (N,) of each head that has one, by its name; NaN for none.
    """
    columns = _columns_of(head, output)
    if head.surprise:
        values = _shortest(surprises[head.name])
        columns.append(pl.Series(f"{head.name}.surprise", values, pl.Float64))
    return columns


def _columns_of(head: AnyHead, output: Output | NDArray[np.float32]) -> list[pl.Series]:
    if isinstance(head, Multiclass):
        if isinstance(output, RankedClasses):
            likeliest, probability = output.top_class, output.confidence
        else:
            likeliest, probability = output.argmax(axis=1), output.max(axis=1, initial=0)
        classes = [head.labels[i] for i in likeliest.tolist()]
        return [
            pl.Series(f"{head.name}.class", classes, pl.String),
            pl.Series(f"{head.name}.probability", _shortest(probability), pl.Float64),
        ]
    assert not isinstance(output, RankedClasses)
    if isinstance(head, Quantile):
        return [
            pl.Series(f"{head.name}.{name}", _shortest(output[:, i]), pl.Float64)
            for i, name in enumerate(head.labels)
        ]
    name = "probability" if isinstance(head, Binary) else "value"
    return [pl.Series(f"{head.name}.{name}", _shortest(output), pl.Float64)]


def target_column(head: AnyHead, target: NDArray[np.float64]) -> pl.Series:
    """Return the column ``HEAD.target``: Boolean, String or Float64, and null for no target.

    Args:
        head: Head that predicts.
        target: Targets (N,), encoded as for training; NaN for none.
    """
    name, is_known = f"{head.name}.target", np.isfinite(target).tolist()
    kind: Any = pl.Float64
    values: Sequence[Any] = target.tolist()
    if isinstance(head, Binary):
        kind, values = pl.Boolean, [value > 0 for value in values]
    elif isinstance(head, Multiclass):
        kind = pl.String
        values = [
            head.labels[int(v)] if known else None
            for v, known in zip(values, is_known, strict=True)
        ]
    elif isinstance(head, TimeToNext):
        values = np.expm1(target).tolist()
    known_values = [v if known else None for v, known in zip(values, is_known, strict=True)]
    return pl.Series(name, known_values, kind)


def output_schema(heads: Sequence[AnyHead]) -> Mapping[str, Any]:
    """Return the names and types of the columns of all heads."""
    columns = [
        column
        for head in heads
        for column in output_columns(
            head,
            np.zeros((0, head.width) if head.is_wide else 0, np.float32),
            {head.name: np.zeros(0, np.float32)},
        )
    ]
    return {column.name: column.dtype for column in columns}


def _shortest(values: NDArray[np.float32]) -> list[float | None]:
    """Return the shortest decimals that round to the same float32, as in published predictions.

    NaN becomes ``None``.
    """
    array = np.ascontiguousarray(values)
    decimals: list[float | None] = orjson.loads(
        orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    )
    return decimals


def _text(key: bytes) -> str | None:
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None
