"""The predictions and dead letters of a micro-batch, and the sink that receives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import RecordError
from stream_rnn.fold.dead_letters import dead_letter
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.micro_batch import DecodedBatch, SteppedBatch
from stream_rnn.fold.output_batches import Message
from stream_rnn.model.network import Model
from stream_rnn.predictions.cut_over import CUT_OVER_HEADER
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.predictions.writer import JSON, PredictionWriter
from stream_rnn.settings import FoldSettings


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """N predictions of one source partition, in offset order.

    Attributes:
        records: N source records.
        keys: N record keys.
        offsets: (N,) Source offsets.
        time_ms: (N,) Event times.
        steps: (N,) Number of events in the memory, this event included.
        outputs: Output of each head: (N,), or (N, C) for C classes.
        surprises: (N,) Surprise of each head that has one; NaN for none.
    """

    records: Sequence[Record]
    keys: Sequence[bytes]
    offsets: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    steps: NDArray[np.int64]
    outputs: Mapping[str, NDArray[np.float32]]
    surprises: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class Sink(Protocol):
    """Receives the predictions and skips of one source partition; returns messages to publish.

    Both methods are called once for each micro-batch that is not folded silently.
    """

    def predictions(self, predicted: PredictionBatch, origin: int) -> list[Message]:
        """Receive the predictions of a fold with this origin."""

    def dead_letters(
        self, skipped: Sequence[tuple[Record, RecordError]], origin: int
    ) -> list[Message]:
        """Receive skipped records in offset order, each with the reason for its skip."""


def make_outputs(
    model: Model,
    sink: Sink,
    records: Sequence[Record],
    batch: DecodedBatch,
    stepped: SteppedBatch,
    *,
    origin: int,
    publish_from: int,
    number: int = 0,
) -> tuple[list[Message], list[Message]]:
    """Return the messages of predictions and of dead letters, in offset order.

    Args:
        model: Model whose heads turn y into outputs.
        sink: Sink that makes the messages.
        records: Records of the micro-batch.
        batch: Decoded micro-batch.
        stepped: Results of the micro-batch.
        origin: Origin of the fold.
        publish_from: First offset to publish; the outputs of earlier records exist already.
        number: Number of the last cut-over, for a header of each output; 0 for none.
    """
    decoded = batch.decoded
    rows = decoded.rows.tolist()
    chosen_records = [records[row] for row in rows]
    offsets = np.array([record.offset for record in chosen_records], np.int64)
    published = offsets >= publish_from
    published[list(stepped.errors)] = False
    keys, time_ms, steps, y = decoded.keys, decoded.time_ms, stepped.steps, stepped.y
    surprises = stepped.surprises
    if not published.all():
        chosen = np.flatnonzero(published)
        chosen_records = [chosen_records[i] for i in chosen.tolist()]
        keys = [keys[i] for i in chosen.tolist()]
        offsets, time_ms, steps, y = offsets[chosen], time_ms[chosen], steps[chosen], y[chosen]
        surprises = {name: values[chosen] for name, values in surprises.items()}
    predicted = PredictionBatch(
        records=chosen_records,
        keys=keys,
        offsets=offsets,
        time_ms=time_ms,
        steps=steps,
        outputs=model.outputs(y),
        surprises=surprises,
    )
    skips = {**decoded.skips, **{rows[i]: error for i, error in stepped.errors.items()}}
    skipped = [
        (records[row], skips[row]) for row in sorted(skips) if records[row].offset >= publish_from
    ]
    predictions, dead_letters = (
        sink.predictions(predicted, origin),
        sink.dead_letters(skipped, origin),
    )
    if number:
        return _with_number(predictions, number), _with_number(dead_letters, number)
    return predictions, dead_letters


def _with_number(messages: list[Message], number: int) -> list[Message]:
    """Return messages with a header for the number of a cut-over."""
    header = (CUT_OVER_HEADER, b"%d" % number)
    return [message._replace(headers=[*message.headers, header]) for message in messages]


class PublishedOutputs:
    """The sink of a worker, which writes the bytes and headers of predictions and dead letters.

    Args:
        model: Model that predicts.
        settings: Names, and bounds of a dead letter.
        partition: Number of the source partition.
        fold_id: Id of the fold.
        wire: Format of the predictions.
    """

    def __init__(
        self,
        model: Model,
        settings: FoldSettings,
        partition: int,
        fold_id: str,
        wire: Wire = JSON,
    ) -> None:
        self._settings = settings
        self._partition = partition
        self._writer = make_writer(
            model,
            app=settings.app,
            source=settings.source,
            partition=partition,
            fold_id=fold_id,
            top_k=settings.top_k,
            wire=wire,
        )

    def predictions(self, predicted: PredictionBatch, origin: int) -> list[Message]:
        """Return the messages of predictions, each with the timestamp of its source record."""
        keys, offsets = predicted.keys, predicted.offsets
        values = self._writer.write(
            *(keys, offsets, predicted.time_ms, predicted.steps),
            *(predicted.outputs, predicted.surprises),
        )
        timestamps = [record.timestamp for record in predicted.records]
        headers = self._writer.headers_of(offsets.tolist(), origin)
        return list(map(Message._make, zip(keys, values, timestamps, headers, strict=True)))

    def dead_letters(
        self, skipped: Sequence[tuple[Record, RecordError]], origin: int
    ) -> list[Message]:
        """Return dead letters; only those of a transaction name the fold."""
        settings = self._settings
        in_transaction = settings.delivery == "exactly_once"
        more = self._writer.fold_headers(origin) if in_transaction else ()
        place = settings.source, self._partition
        bounds = settings.dead_letter_bytes_max, settings.output_batch_bytes_max
        return [dead_letter(record, error, *place, *bounds, more) for record, error in skipped]


def make_writer(
    model: Model,
    *,
    app: str,
    source: str,
    partition: int,
    fold_id: str,
    top_k: int,
    wire: Wire = JSON,
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
        wire=wire,
    )
