"""Predictions as columns of polars, named as the replay's Parquet files name them.

partition, offset   Int64    the record; of a file or a frame the offset is the number of the row
key, key_base64     String   the record's key: as text, or if it is none, as base64
event_time_ms       Int64    milliseconds since 1970
steps               Int64    events in the memory that predicted, this one included
cold                Boolean  whether this was the first event in the memory
HEAD.probability    Float64  of a binary head; of a multi-class head, that of the likeliest class
HEAD.class          String   of a multi-class head: the likeliest class
HEAD.value          Float64  of a regression; of the time to the next event, in seconds
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
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext
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
    """Return where and when N events were, and how long the memory was."""
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
    """Return predictions in the order of the rows of a file or frame, of a topic by partition."""
    return frame.sort(["partition", "offset"] if isinstance(log, TopicLog) else ["offset"])


def output_columns(head: AnyHead, output: Output | NDArray[np.float32]) -> list[pl.Series]:
    """Return the columns of one head.

    Args:
        head: what is answered.
        output: (N,) values or ranked classes, or (N, C) probabilities.
    """
    if isinstance(head, Multiclass):
        if isinstance(output, RankedClasses):
            likeliest, probability = output.top_class, output.confidence
        else:
            likeliest, probability = output.argmax(axis=1), output.max(axis=1, initial=0)
        words = [head.labels[i] for i in likeliest.tolist()]
        return [
            pl.Series(f"{head.name}.class", words, pl.String),
            pl.Series(f"{head.name}.probability", _shortest(probability), pl.Float64),
        ]
    assert not isinstance(output, RankedClasses)
    name = "probability" if isinstance(head, Binary) else "value"
    return [pl.Series(f"{head.name}.{name}", _shortest(output), pl.Float64)]


def target_column(head: AnyHead, target: NDArray[np.float64]) -> pl.Series:
    """Return what came, null where nothing did: Boolean, String or Float64, as the head predicts it."""
    name, there = f"{head.name}.target", np.isfinite(target).tolist()
    kind: Any = pl.Float64
    values: Sequence[Any] = target.tolist()
    if isinstance(head, Binary):
        kind, values = pl.Boolean, [value > 0 for value in values]
    elif isinstance(head, Multiclass):
        kind = pl.String
        values = [head.labels[int(v)] if ok else None for v, ok in zip(values, there, strict=True)]
    elif isinstance(head, TimeToNext):
        values = np.expm1(target).tolist()
    return pl.Series(name, [v if ok else None for v, ok in zip(values, there, strict=True)], kind)


def output_schema(heads: Sequence[AnyHead]) -> Mapping[str, Any]:
    """Return names and types of the columns of all heads."""
    empty = np.zeros(0, np.float32)
    columns = [
        column
        for head in heads
        for column in output_columns(
            head, empty.reshape(0, 1) if head.kind == "multiclass" else empty
        )
    ]
    return {column.name: column.dtype for column in columns}


def _shortest(values: NDArray[np.float32]) -> list[float]:
    """Return the shortest decimals that give the same float32, as predictions have them."""
    whole = np.ascontiguousarray(values)
    found: list[float] = orjson.loads(orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY))
    return found


def _text(key: bytes) -> str | None:
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None
