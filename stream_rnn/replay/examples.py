"""From records to training examples, by the fold's own decoder and runs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import SpecError
from stream_rnn.fold import rounds
from stream_rnn.fold.events import Decoder, Record, without
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.examples import Examples
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings

RECORDS_A_BATCH = 10_000


def make_examples(
    records: Sequence[Record], spec: FeatureSpec, settings: Settings
) -> tuple[Examples, NDArray[np.int64], dict[str, int]]:
    """Decode one partition's records.

    Returns:
        Examples, all in the training part; (N,) the row of each in ``records``; and how many
        records were skipped, by reason.
    """
    decoder, encoder = Decoder(spec, settings, with_targets=True), Encoder(spec)
    columns: dict[str, list[object]] = {}
    rows: list[NDArray[np.int64]] = []
    times: list[NDArray[np.int64]] = []
    keys: list[bytes] = []
    forgets: list[int] = []
    skips: dict[str, int] = {}
    for start in range(0, len(records), RECORDS_A_BATCH):
        decoded = decoder.decode(records[start : start + RECORDS_A_BATCH])
        _, errors = encoder.encode(decoded.columns, decoded.time_ms)
        decoded = without(decoded, errors) if errors else decoded
        for path, column in decoded.columns.items():
            columns.setdefault(path, []).extend(column)
        rows.append(decoded.rows + start)
        times.append(decoded.time_ms)
        keys.extend(decoded.keys)
        forgets.extend(row + start for row in decoded.forgets)
        for error in decoded.skips.values():
            skips[error.code] = skips.get(error.code, 0) + 1
    if not keys:
        raise SpecError(f"no record of the log is a valid event; skipped: {skips}")
    all_rows, time_ms = np.concatenate(rows), np.concatenate(times)
    touched = _touched(records, keys, all_rows, forgets)
    nothing = np.zeros(touched.keys, np.int64)
    ttl_ms = None if settings.state_ttl is None else settings.state_ttl * 1000
    planned = rounds.plan(
        touched, time_ms, rounds.stream_times(time_ms, None), nothing > 0, nothing, nothing, ttl_ms
    )
    closes = np.zeros(len(planned.first), bool)
    closes[planned.last_run[planned.last_run >= 0]] = True
    examples = Examples(
        columns,
        time_ms,
        planned.since_ms,
        planned.order,
        planned.first,
        planned.length,
        closes,
        np.zeros(len(time_ms), np.int8),
    )
    return examples, all_rows, skips


def _touched(
    records: Sequence[Record], keys: list[bytes], rows: NDArray[np.int64], forgets: list[int]
) -> rounds.Touched:
    number: dict[bytes, int] = {}
    key = [number.setdefault(k, len(number)) for k in keys]
    key += [number.setdefault(records[row].key or b"", len(number)) for row in forgets]
    event = np.concatenate([np.arange(len(rows)), np.full(len(forgets), -1)]).astype(np.int64)
    in_order = np.argsort(np.concatenate([rows, np.array(forgets, np.int64)]), kind="stable")
    return rounds.Touched(np.array(key, np.int64)[in_order], event[in_order], len(number))
