"""Rounds: a micro-batch cut so that no two events of one key meet in a batched step.

Events are grouped into *runs*: the consecutive events of one key in one memory.  A forget or an
expiry ends a run, and the next event of that key opens a new one from zero.  Round t holds the
t-th event of every run that has one (the t-batches of Kumar et al. 2019, JODIE, section 4.3).
Between two rounds in which no run ends nothing has to leave torch, so a stretch of such rounds is
one call of ``forward``: equal to single steps bit for bit, because every call is of whole tiles.
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
        key: (I,) number of each item's key.
        event: (I,) number of the event, or -1 for a forget.
        keys: how many keys.
    """

    key: NDArray[np.int64]
    event: NDArray[np.int64]
    keys: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Which events run together.  N events, R runs, K keys.

    Attributes:
        order: (N,) event numbers, run by run, in offset order within a run.
        first: (R,) index in ``order`` of each run's first event.
        length: (R,) events of each run.
        key: (R,) number of each run's key.
        is_warm: (R,) whether the run goes on from the key's stored state.
        since_ms: (N,) by event: time since the previous event of its memory; NaN if there is none.
        steps: (N,) by event: events in its memory, this one included.
        last_ms: (N,) by event: greatest event time in its memory, this one included.
        last_run: (K,) the run that makes each key's new state; -1 if the key ends forgotten.
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
    """Return the running maximum of what events move stream time to, each event included."""
    running = np.maximum.accumulate(moves_to_ms) if len(moves_to_ms) else moves_to_ms
    return running if before is None else np.maximum(running, before)


def plan(
    touched: KeyedEvents,
    time_ms: NDArray[np.int64],
    stream_ms: NDArray[np.int64],
    held: NDArray[np.bool_],
    held_steps: NDArray[np.int64],
    held_last_ms: NDArray[np.int64],
    ttl_ms: float | None,
) -> Plan:
    """Group events into runs.

    Args:
        touched: events and forgets in offset order.
        time_ms: (N,) event times.
        stream_ms: (N,) stream time at each event.
        held: (K,) whether the key has a stored state.
        held_steps: (K,) events in that state.
        held_last_ms: (K,) time of its last event.
        ttl_ms: an untouched state expires after this much stream time; ``None``: never.

    Invariant: an event's run does not depend on where the micro-batch was cut
    (``tests/property/test_fold.py``).
    """
    key, event, memory, resumes = _by_memory(touched, held)
    times = time_ms[event]
    begins = _changes(memory)
    before = latest_before(times, memory, begins, np.where(resumes, held_last_ms[key], times))
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
    steps = np.where(is_warm, held_steps[key[first]], 0)[run] + rank

    since = np.where(cold, np.nan, np.maximum(times - before, 0).astype(np.float64))
    last = _last_including(times, before, cold)
    last_run = np.full(touched.keys, -1, np.int64)
    last_run[key[first]] = np.arange(len(first))  # of several runs of a key, the last one stays
    last_run[_forgotten_at_the_end(touched)] = -1
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


def _by_memory(
    touched: KeyedEvents, held: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Sort events by key, in offset order within a key.

    Returns:
        Of each event its key, its number, its memory (what lies between two forgets of a key;
        expiry cuts it further), and whether it is the first item of a key with a stored state.
    """
    by_key = np.argsort(touched.key, kind="stable")
    key, event = touched.key[by_key], touched.event[by_key]
    is_event, opens = event >= 0, _changes(key)
    forgotten = np.zeros(len(key), bool)  # the item before, of the same key, is a forget
    forgotten[1:] = ~is_event[:-1] & ~opens[1:]
    memory = np.cumsum(opens | forgotten, dtype=np.int64)
    resumes = opens & held[key]
    return key[is_event], event[is_event], np.asarray(memory[is_event], np.int64), resumes[is_event]


def _changes(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    begins = np.ones(len(groups), bool)
    begins[1:] = groups[1:] != groups[:-1]
    return begins


def latest_before(
    times: NDArray[np.int64],
    memory: NDArray[np.int64],
    begins: NDArray[np.bool_],
    held_ms: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the greatest time before each event in its memory; ``held_ms`` where it begins.

    It need not look at expiry: stream time never falls, so what has expired stays expired, and
    what has not expired is younger than everything that has.
    """
    if not len(times):
        return times
    shifted = np.empty_like(times)
    shifted[1:] = times[:-1]
    shifted[begins] = held_ms[begins]
    ranks = np.unique(shifted, return_inverse=True)
    grouped = memory * len(times) + ranks[1]  # greater in a later memory than in any earlier one
    return np.asarray(ranks[0][np.maximum.accumulate(grouped) - memory * len(times)])


def _last_including(
    times: NDArray[np.int64], before: NDArray[np.int64], cold: NDArray[np.bool_]
) -> NDArray[np.int64]:
    return np.where(cold, times, np.maximum(before, times))


def _forgotten_at_the_end(touched: KeyedEvents) -> NDArray[np.int64]:
    by_key = np.argsort(touched.key, kind="stable")
    key = touched.key[by_key]
    closes = np.ones(len(key), bool)
    closes[:-1] = key[1:] != key[:-1]
    return key[closes & (touched.event[by_key] < 0)]


def _by_event(values: NDArray[np.generic], event: NDArray[np.int64], count: int) -> NDArray:  # type: ignore[type-arg]  # the dtype of its argument
    out = np.empty(count, values.dtype)
    out[event] = values
    return out


async def step_rounds(
    model: Model,
    planned: Plan,
    x: NDArray[np.float32],
    hidden: NDArray[np.float32],
    breathe: Callable[[], Awaitable[None]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Step every event, round by round.

    Args:
        model: what is stepped.
        planned: R runs over N events.
        x: (N, F) by event.
        hidden: (R, D) flattened hidden state at the begin of each run.
        breathe: awaited between calls of torch.

    Returns:
        y (N, O) by event, and (R, D) the hidden state at the end of each run.
    """
    y = np.empty((len(x), model.output_count), np.float32)
    ends = np.empty_like(hidden)
    longest_first = np.argsort(-planned.length, kind="stable")
    lengths, first = planned.length[longest_first], planned.first[longest_first]
    h = torch.from_numpy(hidden[longest_first]).reshape(len(lengths), *model.hidden_shape)
    rounds, active = 0, len(lengths)
    while active:
        # All of the first `active` runs have an event in rounds [rounds, until).
        until = min(int(lengths[active - 1]), rounds + ROUNDS_PER_CALL_MAX)
        events = planned.order[first[:active, None] + np.arange(rounds, until)]  # (A, T)
        stepped, h = _call(model, torch.from_numpy(x[events]), h[:active])
        y[events] = stepped.numpy()
        rounds = until
        still = int(np.searchsorted(-lengths, -rounds, side="left"))
        if still < active:
            ends[longest_first[still:active]] = (
                h[still:active].reshape(active - still, hidden.shape[1]).numpy()
            )
            active = still
        await breathe()
    return y, ends


def _call(model: Model, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    if x.shape[1] == 1:
        y, h = model.step(x[:, 0], h)  # (B, F), (B, *hidden) -> (B, O), (B, *hidden)
        return y[:, None], h
    return model.forward(x, h)  # (B, T, F), (B, *hidden) -> (B, T, O), (B, *hidden)
