"""The computed part of a micro-batch: events and stored states in, outputs and new states out.

No input or output happens here; ``fold/processor.py`` does that around it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import RecordError
from stream_rnn.fold import rounds
from stream_rnn.fold.decoder import Decoded, Decoder, Record, without
from stream_rnn.fold.single_steps import Memory, step_one_by_one
from stream_rnn.model.network import Model
from stream_rnn.store.state import States


@dataclass(slots=True)
class Batch:
    """A decoded micro-batch.  N events, K keys.

    Attributes:
        decoded: events, forgets and skips.
        x: (N, F) encoded events but for the time since the previous one.
        keys: the K keys of events and forgets, in order of first appearance.
        touched: which item is of which key.
        stream_ms: (N,) stream time at each event.
    """

    decoded: Decoded
    x: NDArray[np.float32]
    keys: list[bytes]
    touched: rounds.KeyedEvents
    stream_ms: NDArray[np.int64]


@dataclass(slots=True)
class Stepped:
    """What the events gave.  N events, K keys.

    Attributes:
        y: (N, O) outputs; rows of bad events mean nothing.
        steps: (N,) events in the memory that made each output.
        errors: events whose step gave a number that is not finite.
        states: (K,) new states; rows of keys without one mean nothing.
        exists: (K,) whether the key has a state now.
    """

    y: NDArray[np.float32]
    steps: NDArray[np.int64]
    errors: dict[int, RecordError]
    states: States
    exists: NDArray[np.bool_]


def decode(
    decoder: Decoder, model: Model, records: Sequence[Record], stream_time_ms: int | None
) -> Batch:
    """Decode, validate and encode records; find their keys and the stream time of each event."""
    decoded = decoder.decode(records)
    x, errors = model.encoder.encode(decoded.columns, decoded.time_ms)
    if errors:
        decoded = without(decoded, errors)
        x = np.delete(x, list(errors), axis=0)
    number: dict[bytes, int] = {}
    event_keys = [number.setdefault(key, len(number)) for key in decoded.keys]
    forget_keys = [
        number.setdefault(records[row].key or b"", len(number)) for row in decoded.forgets
    ]
    count, forgets = len(event_keys), len(forget_keys)
    key = np.array(event_keys + forget_keys, np.int64)
    event = np.concatenate([np.arange(count), np.full(forgets, -1)])
    if forgets:
        in_order = np.argsort(np.concatenate([decoded.rows, decoded.forgets]), kind="stable")
        key, event = key[in_order], event[in_order]
    touched = rounds.KeyedEvents(key, event.astype(np.int64), len(number))
    stream_ms = rounds.stream_times(decoded.moves_to_ms, stream_time_ms)
    return Batch(decoded, x, list(number), touched, stream_ms)


async def step(
    model: Model,
    batch: Batch,
    held: NDArray[np.bool_],
    states: States,
    ttl_ms: float | None,
    breathe: Callable[[], Awaitable[None]],
) -> Stepped:
    """Step every event of a micro-batch.

    Args:
        model: what is stepped.
        batch: the events.
        held: (K,) whether the key has a stored state.
        states: (K,) the stored states; zeros where there is none.
        ttl_ms: age in stream time at which a state expires.
        breathe: awaited between calls of torch.
    """
    time_ms = batch.decoded.time_ms
    planned = rounds.plan(
        batch.touched, time_ms, batch.stream_ms, held, states.steps, states.last_ms, ttl_ms
    )
    x = batch.x.copy()
    model.encoder.fill_since_previous(x, planned.since_ms)
    begins = np.where(planned.is_warm[:, None], states.hidden[planned.key], np.float32(0))
    y, ends = await rounds.step_rounds(model, planned, x, begins, breathe)

    exists = planned.last_run >= 0
    new = States.empty(len(batch.keys), model.hidden_size_floats)
    run = planned.last_run[exists]
    last_event = planned.order[planned.first[run] + planned.length[run] - 1]
    new.steps[exists] = planned.steps[last_event]
    new.last_ms[exists] = planned.last_ms[last_event]
    new.hidden[exists] = ends[run]
    stepped = Stepped(y, planned.steps, {}, new, exists)

    broken_runs = ~np.isfinite(ends).all(axis=1)
    broken_keys = set(planned.key[broken_runs].tolist())
    broken_events = np.flatnonzero(~np.isfinite(y).all(axis=1))
    if len(broken_events):
        of_event = np.empty(len(time_ms), np.int64)
        of_event[batch.touched.event[batch.touched.event >= 0]] = batch.touched.key[
            batch.touched.event >= 0
        ]
        broken_keys.update(of_event[broken_events].tolist())
    for key in sorted(broken_keys):
        _step_again(model, batch, key, held, states, ttl_ms, stepped)
        await breathe()
    return stepped


def _step_again(
    model: Model,
    batch: Batch,
    key: int,
    held: NDArray[np.bool_],
    states: States,
    ttl_ms: float | None,
    stepped: Stepped,
) -> None:
    """Replace what one key's events gave by single steps, skipping those that fail."""
    memory = Memory(
        int(states.steps[key]) if held[key] else 0, int(states.last_ms[key]), states.hidden[key]
    )
    events = batch.touched.event[batch.touched.key == key].tolist()
    time_ms = batch.decoded.time_ms
    good, errors, memory = step_one_by_one(
        model, memory, events, batch.x, time_ms, batch.stream_ms, ttl_ms
    )
    for one in good:
        stepped.y[one.event] = one.y
        stepped.steps[one.event] = one.steps
    stepped.errors.update(errors)
    stepped.exists[key] = memory.steps > 0
    stepped.states.steps[key] = memory.steps
    stepped.states.last_ms[key] = memory.last_ms
    stepped.states.hidden[key] = memory.hidden
