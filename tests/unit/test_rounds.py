"""Runs and rounds, compared with a loop that processes one event at a time."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.fold import rounds
from stream_rnn.fold.rounds import ROUNDS_PER_CALL_MAX, KeyedEvents, plan_runs, stream_times
from tests import models

KEYS = 4
items = st.lists(
    st.tuples(st.integers(0, KEYS - 1), st.booleans(), st.integers(0, 60)), min_size=1, max_size=40
)
stored = st.lists(
    st.one_of(st.none(), st.tuples(st.integers(1, 9), st.integers(0, 60))),
    min_size=KEYS,
    max_size=KEYS,
)


def keyed_events_of(micro_batch):
    """Return the keyed events and the event times of items, which are (key, is_forget, time)."""
    key, event, times = [], [], []
    for k, is_forget, time in micro_batch:
        key.append(k)
        event.append(-1 if is_forget else len(times))
        if not is_forget:
            times.append(time)
    return KeyedEvents(np.array(key), np.array(event), KEYS), np.array(times, np.int64)


def plan(micro_batch, memories, ttl_ms, stream_before=None):
    """Plan a micro-batch."""
    keyed, times = keyed_events_of(micro_batch)
    stream = stream_times(times, stream_before)
    has_state = np.array([m is not None for m in memories])
    steps = np.array([m[0] if m else 0 for m in memories])
    last = np.array([m[1] if m else 0 for m in memories])
    return plan_runs(keyed, times, stream, has_state, steps, last, ttl_ms), times, stream


def fold_one_by_one(micro_batch, memories, ttl_ms, stream):
    """Fold the items one by one; return (key, steps, last time, since) of each event, and memories."""
    memory = dict(enumerate(memories))
    expected, event = [], 0
    for key, is_forget, time in micro_batch:
        if is_forget:
            memory[key] = None
            continue
        now = memory[key]
        if now and ttl_ms is not None and stream[event] - now[1] > ttl_ms:
            now = None
        steps, last = (now[0] + 1, max(now[1], time)) if now else (1, time)
        expected.append((key, steps, last, max(time - now[1], 0) if now else math.nan))
        memory[key] = (steps, last)
        event += 1
    return expected, memory


@given(items, stored, st.sampled_from([None, 0, 5, 30]), st.sampled_from([None, 0, 40]))
def test_a_plan_equals_a_loop_over_events(micro_batch, memories, ttl_ms, stream_before):
    """Steps, times, memories and last runs agree, with forgets, expiry and late events."""
    planned, times, stream = plan(micro_batch, memories, ttl_ms, stream_before)
    expected, ends = fold_one_by_one(micro_batch, memories, ttl_ms, stream.tolist())
    assert planned.steps.tolist() == [steps for _, steps, _, _ in expected]
    assert planned.last_ms.tolist() == [last for _, _, last, _ in expected]
    np.testing.assert_array_equal(planned.since_ms, [since for *_, since in expected])
    assert sorted(planned.order.tolist()) == list(range(len(times)))
    for key in range(KEYS):
        events = [i for i, row in enumerate(expected) if row[0] == key]
        run = int(planned.last_run[key])
        if not events or ends[key] is None:
            assert run == -1
            continue
        last = int(planned.order[planned.first[run] + planned.length[run] - 1])
        assert (last, int(planned.key[run])) == (events[-1], key)


@given(items, stored, st.sampled_from([None, 5, 30]))
def test_a_run_is_one_memory_of_one_key(micro_batch, memories, ttl_ms):
    """A run has consecutive steps in offset order, from the stored state or from zero."""
    planned, _, _ = plan(micro_batch, memories, ttl_ms)
    expected, _ = fold_one_by_one(
        micro_batch, memories, ttl_ms, stream_times(times_of(micro_batch), None)
    )
    assert planned.length.sum() == len(expected)
    for run, (first, length) in enumerate(zip(planned.first, planned.length, strict=True)):
        events = planned.order[first : first + length].tolist()
        key, is_warm = int(planned.key[run]), bool(planned.is_warm[run])
        assert events == sorted(events)
        assert {expected[event][0] for event in events} == {key}
        begin = memories[key][0] if is_warm else 0
        assert [expected[e][1] for e in events] == list(range(begin + 1, begin + 1 + length))
        assert math.isnan(expected[events[0]][3]) != is_warm


def times_of(micro_batch):
    """Return the event times of the items."""
    return keyed_events_of(micro_batch)[1]


def test_a_forget_begins_a_new_memory():
    """The event after a forget is the first of its memory; a forget at the end leaves no state."""
    planned, _, _ = plan(
        [(0, False, 1), (0, True, 0), (0, False, 2), (1, False, 3), (1, True, 0)], [None] * 4, None
    )
    assert planned.steps.tolist() == [1, 1, 1]
    assert planned.last_run.tolist() == [1, -1, -1, -1]


def test_a_state_expires_by_stream_time():
    """Another key's event advances stream time; a state expires beyond the limit, not at it."""
    planned, _, _ = plan([(1, False, 15), (0, False, 3)], [(7, 10), None, None, None], 5)
    assert planned.steps.tolist() == [1, 8]
    planned, _, _ = plan([(1, False, 16), (0, False, 3)], [(7, 10), None, None, None], 5)
    assert planned.steps.tolist() == [1, 1]


def test_a_late_event_does_not_turn_time_back():
    """Time since the previous event is never negative, and the memory keeps its greatest time."""
    planned, _, _ = plan([(0, False, 50), (0, False, 20), (0, False, 60)], [None] * 4, None)
    np.testing.assert_array_equal(planned.since_ms, [math.nan, 0, 10])
    assert planned.last_ms.tolist() == [50, 50, 60]


def test_stream_time_never_falls():
    """Stream time is the greatest event time so far, earlier micro-batches included."""
    times = np.array([3, 9, 4], np.int64)
    assert stream_times(times, None).tolist() == [3, 9, 9]
    assert stream_times(times, 5).tolist() == [5, 9, 9]
    assert stream_times(np.array([], np.int64), 5).tolist() == []


async def test_rounds_equal_single_steps_bit_for_bit():
    """Runs of very different lengths give the results of single steps."""
    model = models.small()
    lengths = [ROUNDS_PER_CALL_MAX + 9, 1, 3, 3]
    micro_batch = [(k, False, i) for k, n in enumerate(lengths) for i in range(n)]
    micro_batch.sort(key=lambda item: item[2])
    planned, times, _ = plan(micro_batch, [(1, 0), None, None, None], None)
    random = np.random.default_rng(3)
    x = random.standard_normal((len(times), model.feature_count)).astype(np.float32)
    x[:, list(model.encoder.names).index("kind")] = random.integers(0, 3, len(times))
    hidden = random.standard_normal((len(lengths), model.hidden_size_floats)).astype(np.float32)
    yields = []

    async def yield_to_loop():
        yields.append(1)

    y, ends = await rounds.step_rounds(model, planned, x, hidden, yield_to_loop)
    for run, (first, length) in enumerate(zip(planned.first, planned.length, strict=True)):
        h = torch.from_numpy(hidden[run : run + 1]).reshape(1, *model.hidden_shape)
        for event in planned.order[first : first + length]:
            stepped, h = model.step(torch.from_numpy(x[event : event + 1]), h)
            assert y[event].tobytes() == stepped[0].numpy().tobytes()
        assert ends[run].tobytes() == h.reshape(-1).numpy().tobytes()
    assert len(yields) == 4, "three lengths, and the longest in two calls"
