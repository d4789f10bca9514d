"""Rounds of a micro-batch, in each of which a key has at most one event.

A *run* is the consecutive events of one key in one memory.  A forget or an expiry ends a run, and
the next event of the key begins a new run from a state of zeros.  Round t consists of the t-th
event of every run that has one (the t-batches of Kumar et al. 2019, JODIE, section 4.3).
Consecutive rounds with the same runs go through one call of ``forward``.  The results equal those
of single steps bit for bit, because every call has whole tiles of rows.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_rnn.model.network import Model

ROUNDS_PER_CALL_MAX = 256


@dataclass(frozen=True, slots=True)
class KeyedEvents:
    """The events and forgets of a micro-batch, by key.  I items, of which N are events.

    Attributes:
        key: (I,) Number of each item's key.
        event: (I,) Number of the event, or -1 for a forget.
        keys: Number of keys.
    """

    key: NDArray[np.int64]
    event: NDArray[np.int64]
    keys: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of a micro-batch.  N events, R runs, K keys.

    Attributes:
        order: (N,) Event numbers, run by run, in offset order within a run.
        first: (R,) Index in ``order`` of each run's first event.
        length: (R,) Number of events of each run.
        key: (R,) Number of each run's key.
        is_warm: (R,) Whether the run continues the key's stored state.
        since_ms: (N,) By event: time since the previous event of its memory; NaN for the first.
        steps: (N,) By event: number of events in its memory, this event included.
        last_ms: (N,) By event: greatest event time in its memory, this event included.
        last_run: (K,) Run that makes each key's new state; -1 if the key's last item is a forget.
    """

    order: NDArray[np.int64]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    key: NDArray[np.int64]
    is_warm: NDArray[np.bool_]
    since_ms: NDArray[np.float64]
    steps: NDArray[np.int64]
    last_ms: NDArray[np.int64]
    last_run: NDArray[np.int64]


def stream_times(moves_to_ms: NDArray[np.int64], before: int | None) -> NDArray[np.int64]:
    """Return stream time at each event: the running maximum of ``moves_to_ms`` and ``before``."""
    running = np.maximum.accumulate(moves_to_ms) if len(moves_to_ms) else moves_to_ms
    return running if before is None else np.maximum(running, before)


def plan_runs(
    keyed: KeyedEvents,
    time_ms: NDArray[np.int64],
    stream_ms: NDArray[np.int64],
    has_state: NDArray[np.bool_],
    stored_steps: NDArray[np.int64],
    stored_last_ms: NDArray[np.int64],
    ttl_ms: float | None,
) -> Plan:
    """Group events into runs.

    Args:
        keyed: Events and forgets in offset order.
        time_ms: (N,) Event times.
        stream_ms: (N,) Stream time at each event.
        has_state: (K,) Whether the key has a stored state.
        stored_steps: (K,) Number of events in the stored state.
        stored_last_ms: (K,) Greatest event time in the stored state.
        ttl_ms: Age in stream time, in milliseconds, above which a state expires; ``None``: never.

    Invariant: An event's state and steps do not depend on where the records are cut into
    micro-batches (``tests/property/test_fold.py``).
    """
    key, event, memory, resumes = _sort_by_memory(keyed, has_state)
    times = time_ms[event]
    begins = _group_starts(memory)
    before = latest_before(times, memory, begins, np.where(resumes, stored_last_ms[key], times))
    has_before = ~begins | resumes
    expired = np.zeros(len(key), bool)
    if ttl_ms is not None:
        expired = has_before & (stream_ms[event] - before > ttl_ms)
    cold = expired | ~has_before

    starts = begins | expired
    first = np.flatnonzero(starts)
    run = np.cumsum(starts) - 1
    length = np.diff(np.append(first, len(key)))
    is_warm = ~cold[first]
    rank = np.arange(len(key)) - first[run] + 1
    steps = np.where(is_warm, stored_steps[key[first]], 0)[run] + rank

    since = np.where(cold, np.nan, np.maximum(times - before, 0).astype(np.float64))
    last = _latest_including(times, before, cold)
    last_run = np.full(keyed.keys, -1, np.int64)
    last_run[key[first]] = np.arange(len(first))  # the last run of a key overwrites earlier ones
    last_run[_keys_forgotten_last(keyed)] = -1
    count = len(time_ms)
    return Plan(
        order=event,
        first=first,
        length=length,
        key=key[first],
        is_warm=is_warm,
        since_ms=_by_event(since, event, count),
        steps=_by_event(steps, event, count),
        last_ms=_by_event(last, event, count),
        last_run=last_run,
    )


def _sort_by_memory(
    keyed: KeyedEvents, has_state: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Sort events by key, in offset order within a key.

    Returns:
        For each event its key, its number, its memory (the events between two forgets of a key;
        expiry divides it further), and whether it is the first item of a key with a stored state.
    """
    by_key = np.argsort(keyed.key, kind="stable")
    key, event = keyed.key[by_key], keyed.event[by_key]
    is_event, opens = event >= 0, _group_starts(key)
    forgotten = np.zeros(len(key), bool)  # whether the key's previous item is a forget
    forgotten[1:] = ~is_event[:-1] & ~opens[1:]
    memory = np.cumsum(opens | forgotten, dtype=np.int64)
    resumes = opens & has_state[key]
    return key[is_event], event[is_event], np.asarray(memory[is_event], np.int64), resumes[is_event]


def _group_starts(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    begins = np.ones(len(groups), bool)
    begins[1:] = groups[1:] != groups[:-1]
    return begins


def latest_before(
    times: NDArray[np.int64],
    memory: NDArray[np.int64],
    begins: NDArray[np.bool_],
    stored_ms: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the greatest time before each event in its memory; ``stored_ms`` for its first event.

    Expiry does not change the result: stream time never decreases, so a time that has expired stays
    expired, and is smaller than every time that has not.
    """
    if not len(times):
        return times
    shifted = np.empty_like(times)
    shifted[1:] = times[:-1]
    shifted[begins] = stored_ms[begins]
    values, rank = np.unique(shifted, return_inverse=True)
    grouped = memory * len(times) + rank  # a later memory has greater numbers
    return np.asarray(values[np.maximum.accumulate(grouped) - memory * len(times)])


def _latest_including(
    times: NDArray[np.int64], before: NDArray[np.int64], cold: NDArray[np.bool_]
) -> NDArray[np.int64]:
    return np.where(cold, times, np.maximum(before, times))


def _keys_forgotten_last(keyed: KeyedEvents) -> NDArray[np.int64]:
    by_key = np.argsort(keyed.key, kind="stable")
    key = keyed.key[by_key]
    closes = np.ones(len(key), bool)
    closes[:-1] = key[1:] != key[:-1]
    return key[closes & (keyed.event[by_key] < 0)]


def _by_event(values: NDArray[np.generic], event: NDArray[np.int64], count: int) -> NDArray:  # type: ignore[type-arg]  # the dtype of its argument
    out = np.empty(count, values.dtype)
    out[event] = values
    return out


def previous_in_run(
    order: NDArray[np.int64],
    first: NDArray[np.int64],
    values: NDArray[np.float32],
    before: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return for each event the values of the previous event of its run.

    Args:
        order: (N,) Event numbers, run by run.
        first: (R,) Index in ``order`` of each run's first event.
        values: (N, E) Values of each event.
        before: (R, E) or (E,) Values before the first event of each run.

    Returns:
        (N, E) values, by event.
    """
    previous = np.empty_like(values)
    previous[order[1:]] = values[order[:-1]]
    previous[order[first]] = before
    return previous


async def step_rounds(
    model: Model,
    plan: Plan,
    x: NDArray[np.float32],
    hidden: NDArray[np.float32],
    yield_to_loop: Callable[[], Awaitable[None]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Step every event, round by round.

    Args:
        model: Network that steps the events.
        plan: R runs over N events.
        x: (N, F) Encoded events.
        hidden: (R, D) Flattened hidden state at the start of each run.
        yield_to_loop: Function to await between calls of torch.

    Returns:
        (N, O) the outputs of each event, and (R, D) the hidden state at the end of each run.
    """
    y = np.empty((len(x), model.output_count), np.float32)
    ends = np.empty_like(hidden)
    longest_first = np.argsort(-plan.length, kind="stable")
    lengths, first = plan.length[longest_first], plan.first[longest_first]
    h = torch.from_numpy(hidden[longest_first]).reshape(len(lengths), *model.hidden_shape)
    begin, active = 0, len(lengths)
    while active:
        # Each of the first `active` runs has an event in all rounds of [begin, end).
        end = min(int(lengths[active - 1]), begin + ROUNDS_PER_CALL_MAX)
        events = plan.order[first[:active, None] + np.arange(begin, end)]  # (A, T)
        outputs, h = _step_rounds_at_once(model, torch.from_numpy(x[events]), h[:active])
        y[events] = outputs.numpy()
        begin = end
        remaining = int(np.searchsorted(-lengths, -begin, side="left"))
        if remaining < active:
            ends[longest_first[remaining:active]] = (
                h[remaining:active].reshape(active - remaining, hidden.shape[1]).numpy()
            )
            active = remaining
        await yield_to_loop()
    return y, ends


def _step_rounds_at_once(model: Model, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    if x.shape[1] == 1:
        y, h = model.step(x[:, 0], h)  # (B, F), (B, *hidden) -> (B, O), (B, *hidden)
        return y[:, None], h
    return model.forward(x, h)  # (B, T, F), (B, *hidden) -> (B, T, O), (B, *hidden)
