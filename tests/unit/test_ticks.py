"""Ticks advance stream time, and nothing else."""

import numpy as np
import pytest

from stream_rnn.audit.steps_check import StepsChecker, Verdict
from stream_rnn.fold import micro_batch
from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.record_limits import TICK_KEY
from stream_rnn.fold.ticks import find_ticks, stream_times
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from tests import models

EVENT = {"x": 1.0}


def test_only_a_null_value_under_the_key_with_a_valid_timestamp_is_a_tick():
    """Anything else is an event or a forget like any other."""
    records = [
        record(0, TICK_KEY, EVENT, 5),
        record(1, TICK_KEY, None, 7),
        record(2, b"a", None, 8),
        record(3, TICK_KEY, None, -1),
        record(4, TICK_KEY, None, 1 << 60),
    ]
    assert find_ticks(records, [1, 2, 3, 4]) == [(1, 7)]
    assert find_ticks(records, [0, 1]) == [(1, 7)]
    assert find_ticks(records, [1], 6) == []


def test_a_tick_is_a_tick_whatever_the_limit_of_keys():
    """Other keys of its length are dead letters; the tick moves stream time."""
    settings = Settings.build(app="a", source="s", predictions="p", key_bytes_max=3)
    model = models.small("gru")
    records = [record(0, TICK_KEY, None, 7_000_000), record(1, b"0" * len(TICK_KEY), None, 8)]
    batch = micro_batch.decode(Decoder(model.spec, settings), model, records, None)
    assert batch.decoded.forgets == [0]
    assert [error.code for error in batch.decoded.skips.values()] == ["key_too_large"]
    assert batch.stream_time_ms == 7_000_000


@pytest.mark.parametrize(
    ("ticks", "before", "expected", "end"),
    [
        ([], None, [3, 9, 9], 9),
        ([(0, 5)], None, [5, 9, 9], 9),
        ([(2, 50)], None, [3, 50, 50], 50),
        ([(9, 50)], None, [3, 9, 9], 50),
        ([(9, 4)], 20, [20, 20, 20], 20),
    ],
)
def test_a_tick_moves_stream_time_for_the_events_after_it(ticks, before, expected, end):
    """The events are in rows 1, 3 and 8."""
    rows, moves = np.array([1, 3, 8]), np.array([3, 9, 4])
    stream_ms, end_ms = stream_times(rows, moves, ticks, before)
    assert (stream_ms.tolist(), end_ms) == (expected, end)


def test_ticks_alone_move_stream_time():
    """A silent partition receives nothing else."""
    nothing = np.zeros(0, np.int64)
    assert stream_times(nothing, nothing, [(0, 7)], None)[1] == 7
    assert stream_times(nothing, nothing, [], 3)[1] == 3
    assert stream_times(nothing, nothing, [], None)[1] is None


def test_an_audit_knows_that_a_tick_may_have_expired_a_memory():
    """Without it, the restart would be impossible."""
    for tick, verdict in ((False, Verdict.IMPOSSIBLE), (True, Verdict.UNKNOWN)):
        checker = StepsChecker(offsets_before=100, ttl_ms=1000)
        for key, steps in ((b"a", 5), (b"b", 7)):
            checker.note_time(100)
            checker.judge(key, 1, steps, 100)
        checker.note_time(150)
        checker.judge(b"b", 2, 1, 150)
        checker.note_time(200)
        checker.judge(b"a", 2, 6, 200)
        checker.note_time(300)
        checker.judge(b"b", 3, 2, 300)
        if tick:
            checker.forget(TICK_KEY)
        checker.note_time(400)
        assert checker.judge(b"b", 4, 1, 400) is verdict
