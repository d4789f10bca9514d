"""What a micro-batch predicts and skips, and the sink that takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import RecordError
from stream_rnn.fold.dead_letters import dead_letter
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.micro_batch import Batch, Stepped
from stream_rnn.fold.output_batches import Message
from stream_rnn.model.network import Model
from stream_rnn.predictions.writer import PredictionWriter
from stream_rnn.settings import FoldSettings


@dataclass(frozen=True, slots=True)
class Predicted:
    """N predictions of one source partition, in offset order.

    Attributes:
        records: N source records.
        keys: N record keys.
        offsets: (N,) source offsets.
        time_ms: (N,) event times.
        steps: (N,) events in the memory, this one included.
        outputs: for each head (N,), for classes (N, C).
    """

    records: Sequence[Record]
    keys: Sequence[bytes]
    offsets: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    steps: NDArray[np.int64]
    outputs: Mapping[str, NDArray[np.float32]]


class Sink(Protocol):
    """Takes what one source partition's micro-batches predict and skip; returns what to publish.

    Both methods are called once for each micro-batch that is not folded silently, never again for
    the same records.
    """

    def predictions(self, predicted: Predicted, origin: int) -> list[Message]:
        """Take predictions of a fold from ``origin``."""

    def dead_letters(
        self, skipped: Sequence[tuple[Record, RecordError]], origin: int
    ) -> list[Message]:
        """Take skipped records, in offset order, and why each was skipped."""


def make_outputs(
    model: Model,
    sink: Sink,
    records: Sequence[Record],
    batch: Batch,
    stepped: Stepped,
    *,
    origin: int,
    publish_from: int,
) -> tuple[list[Message], list[Message]]:
    """Return predictions and dead letters in offset order.

    Args:
        model: turns y into outputs.
        sink: makes them.
        records: of the micro-batch.
        batch: what they are.
        stepped: what they gave.
        origin: of the fold.
        publish_from: records below are published already.
    """
    decoded = batch.decoded
    rows = decoded.rows.tolist()
    chosen_records = [records[row] for row in rows]
    offsets = np.array([record.offset for record in chosen_records], np.int64)
    published = offsets >= publish_from
    published[list(stepped.errors)] = False
    keys, time_ms, steps, y = decoded.keys, decoded.time_ms, stepped.steps, stepped.y
    if not published.all():
        chosen = np.flatnonzero(published)
        chosen_records = [chosen_records[i] for i in chosen.tolist()]
        keys = [keys[i] for i in chosen.tolist()]
        offsets, time_ms, steps, y = offsets[chosen], time_ms[chosen], steps[chosen], y[chosen]
    predicted = Predicted(
        records=chosen_records,
        keys=keys,
        offsets=offsets,
        time_ms=time_ms,
        steps=steps,
        outputs=model.outputs(y),
    )
    skips = {**decoded.skips, **{rows[i]: error for i, error in stepped.errors.items()}}
    skipped = [
        (records[row], skips[row]) for row in sorted(skips) if records[row].offset >= publish_from
    ]
    return sink.predictions(predicted, origin), sink.dead_letters(skipped, origin)


class PublishedOutputs:
    """The sink of a worker: the bytes and headers of predictions and dead letters.

    Args:
        model: whose predictions.
        settings: names, and bounds of a dead letter.
        partition: of the source.
        fold_id: of the fold.
    """

    def __init__(self, model: Model, settings: FoldSettings, partition: int, fold_id: str) -> None:
        self._settings = settings
        self._partition = partition
        self._writer = make_writer(
            model,
            app=settings.app,
            source=settings.source,
            partition=partition,
            fold_id=fold_id,
            top_k=settings.top_k,
        )

    def predictions(self, predicted: Predicted, origin: int) -> list[Message]:
        """Write predictions, each with its source record's timestamp."""
        keys, offsets = predicted.keys, predicted.offsets
        values = self._writer.write(
            keys, offsets, predicted.time_ms, predicted.steps, predicted.outputs
        )
        timestamps = [record.timestamp for record in predicted.records]
        headers = self._writer.headers_of(offsets.tolist(), origin)
        return list(map(Message._make, zip(keys, values, timestamps, headers, strict=True)))

    def dead_letters(
        self, skipped: Sequence[tuple[Record, RecordError]], origin: int
    ) -> list[Message]:
        """Write dead letters; those of a transaction name the fold."""
        settings = self._settings
        in_transaction = settings.delivery == "exactly_once"
        more = self._writer.fold_headers(origin) if in_transaction else ()
        place = settings.source, self._partition
        bounds = settings.dead_letter_bytes_max, settings.output_batch_bytes_max
        return [dead_letter(record, error, *place, *bounds, more) for record, error in skipped]


def make_writer(
    model: Model, *, app: str, source: str, partition: int, fold_id: str, top_k: int
) -> PredictionWriter:
    """Return the writer of one source partition's predictions."""
    return PredictionWriter(
        heads=model.spec.heads,
        name=model.name,
        fingerprint=model.fingerprint,
        numerics=model.numerics(),
        topic=source,
        partition=partition,
        app=app,
        fold_id=fold_id,
        top_k=top_k,
    )
