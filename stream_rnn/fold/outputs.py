"""What a micro-batch publishes: predictions and dead letters of records from the group offset on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream_rnn.fold.dead_letters import dead_letter
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.micro_batch import Batch, Stepped
from stream_rnn.fold.output_batches import Message
from stream_rnn.model.network import Model
from stream_rnn.predictions.writer import PredictionWriter
from stream_rnn.settings import Settings


@dataclass(frozen=True, slots=True)
class Silence:
    """Which records of a partition publish nothing, and what their predictions carry."""

    partition: int
    origin: int
    below: int


def make_outputs(
    model: Model,
    writer: PredictionWriter,
    settings: Settings,
    records: Sequence[Record],
    batch: Batch,
    stepped: Stepped,
    silence: Silence,
) -> tuple[list[Message], list[Message]]:
    """Return predictions and dead letters in offset order.

    Args:
        model: turns y into outputs.
        writer: makes a prediction's bytes.
        settings: bounds of a dead letter.
        records: of the micro-batch.
        batch: what they are.
        stepped: what they gave.
        silence: below which nothing is published again.
    """
    decoded = batch.decoded
    all_rows = decoded.rows.tolist()
    chosen_records = [records[row] for row in all_rows]
    offsets = np.array([record.offset for record in chosen_records], np.int64)
    published = offsets >= silence.below
    published[list(stepped.errors)] = False
    keys, time_ms, steps, y = decoded.keys, decoded.time_ms, stepped.steps, stepped.y
    if not published.all():
        chosen = np.flatnonzero(published)
        chosen_records = [chosen_records[i] for i in chosen.tolist()]
        keys = [keys[i] for i in chosen.tolist()]
        offsets, time_ms, steps, y = offsets[chosen], time_ms[chosen], steps[chosen], y[chosen]
    values = writer.write(keys, offsets, time_ms, steps, model.outputs(y))
    timestamps = [record.timestamp for record in chosen_records]
    headers = writer.headers_of(offsets.tolist(), silence.origin)
    predictions = list(map(Message._make, zip(keys, values, timestamps, headers, strict=True)))
    return predictions, _dead_letters(writer, settings, records, batch, stepped, silence)


def _dead_letters(
    writer: PredictionWriter,
    settings: Settings,
    records: Sequence[Record],
    batch: Batch,
    stepped: Stepped,
    silence: Silence,
) -> list[Message]:
    skips = dict(batch.decoded.skips)
    skips.update((int(batch.decoded.rows[i]), error) for i, error in stepped.errors.items())
    in_transaction = settings.delivery == "exactly_once"
    more = writer.fold_headers(silence.origin) if in_transaction else ()
    place = writer.topic, silence.partition
    bounds = settings.dead_letter_bytes_max, settings.output_batch_bytes_max
    return [
        dead_letter(records[row], skips[row], *place, *bounds, more)
        for row in sorted(skips)
        if records[row].offset >= silence.below
    ]


def make_writer(model: Model, settings: Settings, partition: int, fold_id: str) -> PredictionWriter:
    """Return the writer of one source partition's predictions."""
    return PredictionWriter(
        model.spec.heads,
        model.name,
        model.fingerprint,
        model.numerics(),
        settings.source or "",
        partition,
        settings.app or "",
        fold_id,
        settings.top_k,
    )
