"""Runs and rounds, against a loop that looks at one event at a time."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.fold import rounds
from stream_rnn.fold.rounds import ROUNDS_PER_CALL_MAX, KeyedEvents, plan, stream_times
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


def touched_of(given_items):
    """Return the touched keys and the event times; an item is (key, is a forget, time)."""
    key, event, times = [], [], []
    for k, is_forget, time in given_items:
        key.append(k)
        event.append(-1 if is_forget else len(times))
        if not is_forget:
            times.append(time)
    return KeyedEvents(np.array(key), np.array(event), KEYS), np.array(times, np.int64)


def planned(given_items, memories, ttl_ms, stream_before=None):
    """Plan a micro-batch."""
    touched, times = touched_of(given_items)
    stream = stream_times(times, stream_before)
    held = np.array([m is not None for m in memories])
    steps = np.array([m[0] if m else 0 for m in memories])
    last = np.array([m[1] if m else 0 for m in memories])
    return plan(touched, times, stream, held, steps, last, ttl_ms), times, stream


def loop(given_items, memories, ttl_ms, stream):
    """Fold the items one at a time: what each event finds, and what each key ends with."""
    memory = dict(enumerate(memories))
    found, event = [], 0
    for key, is_forget, time in given_items:
        if is_forget:
            memory[key] = None
            continue
        now = memory[key]
        if now and ttl_ms is not None and stream[event] - now[1] > ttl_ms:
            now = None
        steps, last = (now[0] + 1, max(now[1], time)) if now else (1, time)
        found.append((key, steps, last, max(time - now[1], 0) if now else math.nan))
        memory[key] = (steps, last)
        event += 1
    return found, memory


@given(items, stored, st.sampled_from([None, 0, 5, 30]), st.sampled_from([None, 0, 40]))
def test_a_plan_is_what_a_loop_would_find(given_items, memories, ttl_ms, stream_before):
    """Steps, times, memories and last runs agree, with forgets, expiry and late events."""
    made, times, stream = planned(given_items, memories, ttl_ms, stream_before)
    found, ends = loop(given_items, memories, ttl_ms, stream.tolist())
    assert made.steps.tolist() == [steps for _, steps, _, _ in found]
    assert made.last_ms.tolist() == [last for _, _, last, _ in found]
    np.testing.assert_array_equal(made.since_ms, [since for *_, since in found])
    assert sorted(made.order.tolist()) == list(range(len(times)))
    for key in range(KEYS):
        events = [i for i, one in enumerate(found) if one[0] == key]
        run = int(made.last_run[key])
        if not events or ends[key] is None:
            assert run == -1
            continue
        last = int(made.order[made.first[run] + made.length[run] - 1])
        assert (last, int(made.key[run])) == (events[-1], key)


@given(items, stored, st.sampled_from([None, 5, 30]))
def test_a_run_is_one_memory_of_one_key(given_items, memories, ttl_ms):
    """A run counts its events up in order, and begins at the stored state or at nothing."""
    made, _, _ = planned(given_items, memories, ttl_ms)
    found, _ = loop(given_items, memories, ttl_ms, stream_times(planned_times(given_items), None))
    assert made.length.sum() == len(found)
    for run, (first, length) in enumerate(zip(made.first, made.length, strict=True)):
        events = made.order[first : first + length].tolist()
        key, is_warm = int(made.key[run]), bool(made.is_warm[run])
        assert events == sorted(events)
        assert {found[event][0] for event in events} == {key}
        begin = memories[key][0] if is_warm else 0
        assert [found[e][1] for e in events] == list(range(begin + 1, begin + 1 + length))
        assert math.isnan(found[events[0]][3]) != is_warm


def planned_times(given_items):
    """Return the event times of the items."""
    return touched_of(given_items)[1]


def test_a_forget_begins_anew():
    """The event after a forget is the first of its memory; a forget at the end leaves no state."""
    made, _, _ = planned(
        [(0, False, 1), (0, True, 0), (0, False, 2), (1, False, 3), (1, True, 0)], [None] * 4, None
    )
    assert made.steps.tolist() == [1, 1, 1]
    assert made.last_run.tolist() == [1, -1, -1, -1]


def test_a_state_expires_by_stream_time():
    """Another key's event moves the clock; at the limit a state lives, beyond it it is gone."""
    made, _, _ = planned([(1, False, 15), (0, False, 3)], [(7, 10), None, None, None], 5)
    assert made.steps.tolist() == [1, 8]
    made, _, _ = planned([(1, False, 16), (0, False, 3)], [(7, 10), None, None, None], 5)
    assert made.steps.tolist() == [1, 1]


def test_a_late_event_does_not_turn_time_back():
    """Time since the previous event is never negative, and the memory keeps its greatest time."""
    made, _, _ = planned([(0, False, 50), (0, False, 20), (0, False, 60)], [None] * 4, None)
    np.testing.assert_array_equal(made.since_ms, [math.nan, 0, 10])
    assert made.last_ms.tolist() == [50, 50, 60]


def test_stream_time_never_falls():
    """It is the greatest event time so far, of earlier micro-batches too."""
    times = np.array([3, 9, 4], np.int64)
    assert stream_times(times, None).tolist() == [3, 9, 9]
    assert stream_times(times, 5).tolist() == [5, 9, 9]
    assert stream_times(np.array([], np.int64), 5).tolist() == []


async def test_rounds_equal_single_steps_bit_for_bit():
    """Runs of very different lengths give what one step after the other gives."""
    model = models.small()
    lengths = [ROUNDS_PER_CALL_MAX + 9, 1, 3, 3]
    given_items = [(k, False, i) for k, n in enumerate(lengths) for i in range(n)]
    given_items.sort(key=lambda item: item[2])
    made, times, _ = planned(given_items, [(1, 0), None, None, None], None)
    random = np.random.default_rng(3)
    x = random.standard_normal((len(times), model.feature_count)).astype(np.float32)
    x[:, list(model.encoder.names).index("kind")] = random.integers(0, 3, len(times))
    hidden = random.standard_normal((len(lengths), model.hidden_size_floats)).astype(np.float32)
    breaths = []

    async def breathe():
        breaths.append(1)

    y, ends = await rounds.step_rounds(model, made, x, hidden, breathe)
    for run, (first, length) in enumerate(zip(made.first, made.length, strict=True)):
        h = torch.from_numpy(hidden[run : run + 1]).reshape(1, *model.hidden_shape)
        for event in made.order[first : first + length]:
            stepped, h = model.step(torch.from_numpy(x[event : event + 1]), h)
            assert y[event].tobytes() == stepped[0].numpy().tobytes()
        assert ends[run].tobytes() == h.reshape(-1).numpy().tobytes()
    assert len(breaths) == 4, "three lengths, and the longest in two calls"
