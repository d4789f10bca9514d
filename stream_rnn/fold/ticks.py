"""Ticks: records that only advance stream time.

Stream time stands still while a topic is silent, so states that have not expired by then stay.  A
*tick* is a record with a null value under ``TICK_KEY``: it is a forget of a key that has no state,
and its timestamp advances stream time.  It is part of the log, so every rebuild and every replay
expires the same states at the same place.  ``stream-rnn state expire`` publishes ticks.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.fold import rounds
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.event_time import TIME_MS_MAX, TIME_MS_MIN
from stream_rnn.fold.record_limits import TICK_KEY

Tick = tuple[int, int]
"""Row of a tick, and its timestamp in milliseconds."""


def find_ticks(
    records: Sequence[Record], forgets: Sequence[int], time_ms_max: int = TIME_MS_MAX
) -> list[Tick]:
    """Return the ticks among some records.

    A tick without a timestamp, or with one beyond ``time_ms_max``, has no effect.

    Args:
        records: Records of a micro-batch.
        forgets: Rows of its forgets.
        time_ms_max: Greatest valid timestamp in milliseconds.
    """
    return [
        (row, records[row].timestamp)
        for row in forgets
        if records[row].key == TICK_KEY
        and records[row].value is None
        and 0 <= records[row].timestamp <= time_ms_max
    ]


def stream_times(
    rows: NDArray[np.int64],
    moves_to_ms: NDArray[np.int64],
    ticks: Sequence[Tick],
    before_ms: int | None,
) -> tuple[NDArray[np.int64], int | None]:
    """Return stream time at each event, and after all records.

    Args:
        rows: (N,) Row of each event, ascending.
        moves_to_ms: (N,) Time to which each event moves stream time.
        ticks: Ticks among the events, by row.
        before_ms: Stream time before the first record; ``None`` if there is none yet.
    """
    stream_ms = running_ms = rounds.stream_times(moves_to_ms, before_ms)
    if ticks:
        tick_rows, tick_ms = np.array(ticks, np.int64).T
        order = np.argsort(np.concatenate([rows, tick_rows]), kind="stable")
        moves = np.concatenate([moves_to_ms, tick_ms])[order]
        running_ms = rounds.stream_times(moves, before_ms)
        stream_ms = running_ms[np.flatnonzero(order < len(rows))]
    if not len(running_ms) or running_ms[-1] < TIME_MS_MIN:
        return stream_ms, before_ms
    return stream_ms, int(running_ms[-1])
