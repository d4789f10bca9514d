"""What a micro-batch publishes: predictions and dead letters of the records from C on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream_rnn.fold.batch import Batch, Stepped
from stream_rnn.fold.dead_letters import dead_letter
from stream_rnn.fold.events import Record
from stream_rnn.fold.publisher import Message
from stream_rnn.model.model import Model
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
    offsets = np.fromiter(
        (records[row].offset for row in decoded.rows.tolist()), np.int64, len(decoded.rows)
    )
    published = offsets >= silence.below
    published[list(stepped.errors)] = False
    chosen = np.flatnonzero(published)
    rows = decoded.rows[chosen].tolist()
    keys = [decoded.keys[i] for i in chosen.tolist()]
    values = writer.write(
        keys,
        offsets[chosen],
        decoded.time_ms[chosen],
        stepped.steps[chosen],
        model.outputs(stepped.y[chosen]),
    )
    predictions = [
        Message(key, value, records[row].timestamp, writer.headers(offset, silence.origin))
        for key, value, row, offset in zip(
            keys, values, rows, offsets[chosen].tolist(), strict=True
        )
    ]
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
    place, bytes_max = (writer.topic, silence.partition), settings.dead_letter_bytes_max
    return [
        dead_letter(records[row], skips[row], *place, bytes_max, more)
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
