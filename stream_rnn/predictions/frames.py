"""Batches of predictions, and batches as data frames."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from stream_rnn.errors import StreamRNNError
from stream_rnn.extras import explain
from stream_rnn.predictions.reader import PredictionReader
from stream_rnn.predictions.schema import Prediction

if TYPE_CHECKING:
    import polars as pl


async def batches(
    reader: PredictionReader, count_max: int = 10_000, wait_s: float = 1.0
) -> AsyncIterator[list[Prediction]]:
    """Yield the predictions of a reader in lists, which are never empty.

    ``reader.commit()`` in the loop commits the list that was yielded last, and everything before it.
    Leave the loop to end it.

    Args:
        reader: Open reader.
        count_max: Maximum number of predictions in a list.
        wait_s: Maximum seconds for which a list waits to be full.

    Raises:
        StreamRNNError: See ``PredictionReader.__anext__``; predictions before it are yielded first.
            The reader continues in a new loop.
    """
    while True:
        batch: list[Prediction] = []
        problem: StreamRNNError | None = None
        wait = asyncio.timeout(wait_s)
        try:
            async with wait:
                while len(batch) < count_max:
                    batch.append(await anext(reader))
        except TimeoutError:
            if not wait.expired():
                raise
        except StreamRNNError as error:
            problem = error
        if batch:
            yield batch
        if problem is not None:
            raise problem


def to_polars(predictions: Iterable[Prediction]) -> "pl.DataFrame":
    """Return predictions as a data frame with one row for each.

    The columns are ``topic``, ``partition`` and ``offset`` of the source record, ``key``,
    ``key_base64``, ``event_time_ms``, ``steps``, ``cold``, ``model``, ``fingerprint``, and for each
    head ``head.probability``, ``head.value``, ``head.class``, or a column for each quantile, such as
    ``head.p10``.  A ``top`` is a list of structs.  A head with a surprise has the column
    ``head.surprise``.
    Without predictions, there are no rows and no columns.

    Args:
        predictions: Predictions, such as a list of :func:`batches`.

    Raises:
        MissingExtraError: polars is not installed.
    """
    try:
        import polars as pl  # noqa: PLC0415  # only data frames need it
    except ModuleNotFoundError as error:
        explain(error, "to_polars")
        raise
    rows = [_row(prediction) for prediction in predictions]
    kinds: dict[str, Any] = dict.fromkeys(("key", "key_base64"), pl.String) if rows else {}
    kinds |= {name: pl.Float64 for row in rows for name in row if name.endswith(".surprise")}
    return pl.DataFrame(rows, schema_overrides=kinds, infer_schema_length=None)


def _row(prediction: Prediction) -> dict[str, Any]:
    source = prediction.source
    row: dict[str, Any] = {
        "topic": source.topic,
        "partition": source.partition,
        "offset": source.offset,
        "key": prediction.key,
        "key_base64": prediction.key_base64,
        "event_time_ms": prediction.event_time_ms,
        "steps": prediction.steps,
        "cold": prediction.cold,
        "model": prediction.model,
        "fingerprint": prediction.fingerprint,
    }
    for head, output in prediction.outputs.items():
        for name, value in output.model_dump(by_alias=True).items():
            if name == "top":
                value = [{"class": label, "probability": p} for label, p in value]  # noqa: PLW2901
            row[f"{head}.{name}"] = value
        if prediction.surprise is not None and head in prediction.surprise:
            row[f"{head}.surprise"] = prediction.surprise[head]
    return row
