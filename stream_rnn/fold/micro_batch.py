"""The computation of a micro-batch: from events and stored states to outputs and new states.

This module does no I/O: ``fold/processor.py`` loads, publishes and commits.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import RecordError
from stream_rnn.fold import rounds
from stream_rnn.fold.decoder import DecodedRecords, Decoder, Record, skip_events
from stream_rnn.fold.single_steps import Memory, step_one_by_one
from stream_rnn.fold.ticks import find_ticks, stream_times
from stream_rnn.model.network import Model
from stream_rnn.store.state import States


@dataclass(slots=True)
class DecodedBatch:
    """A decoded micro-batch.  N events, K keys.

    Attributes:
        decoded: Events, forgets and skips.
        x: (N, F) Encoded events, without what depends on the previous event of the key.
        keys: The K keys of events and forgets, in order of first appearance.
        keyed: Key of each event and forget.
        stream_ms: (N,) Stream time at each event.
        stream_time_ms: Stream time after the micro-batch; ``None`` before the first event.
    """

    decoded: DecodedRecords
    x: NDArray[np.float32]
    keys: list[bytes]
    keyed: rounds.KeyedEvents
    stream_ms: NDArray[np.int64]
    stream_time_ms: int | None


@dataclass(slots=True)
class SteppedBatch:
    """The results of a micro-batch.  N events, K keys.

    Attributes:
        y: (N, O) Outputs; rows of skipped events are undefined.
        steps: (N,) Number of events in the memory that made each output.
        since_ms: (N,) Time since the previous event of the memory; NaN for its first event.
        errors: Error of each event whose step is not finite, by the number of the event.
        states: (K,) New states; rows of keys without a state are undefined.
        exists: (K,) Whether the key has a state now.
        surprises: (N,) Surprise of each head that has one, by its name; NaN where there is none.
        created: Number of keys that have a state now, and had none before.
    """

    y: NDArray[np.float32]
    steps: NDArray[np.int64]
    since_ms: NDArray[np.float64]
    errors: dict[int, RecordError]
    states: States
    exists: NDArray[np.bool_]
    surprises: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    created: int = 0

    def changes(self, keys: Sequence[bytes]) -> tuple[list[bytes], States, list[bytes]]:
        """Return the keys that have a state now, their states, and the keys that have none."""
        rows, all_states = np.flatnonzero(self.exists), self.states
        states = States(all_states.steps[rows], all_states.last_ms[rows], all_states.hidden[rows])
        forgotten = np.flatnonzero(~self.exists).tolist()
        return [keys[i] for i in rows.tolist()], states, [keys[i] for i in forgotten]


def decode(
    decoder: Decoder, model: Model, records: Sequence[Record], stream_time_ms: int | None
) -> DecodedBatch:
    """Decode, validate and encode records; number their keys and compute stream time."""
    decoded = decoder.decode(records)
    x, errors = model.encoder.encode(decoded.columns, decoded.time_ms)
    if errors:
        decoded = skip_events(decoded, errors)
        x = np.delete(x, list(errors), axis=0)
    key_numbers: dict[bytes, int] = {}
    event_keys = [key_numbers.setdefault(key, len(key_numbers)) for key in decoded.keys]
    forget_keys = [
        key_numbers.setdefault(records[row].key or b"", len(key_numbers)) for row in decoded.forgets
    ]
    count, forgets = len(event_keys), len(forget_keys)
    key = np.array(event_keys + forget_keys, np.int64)
    event = np.concatenate([np.arange(count), np.full(forgets, -1)])
    if forgets:
        by_row = np.argsort(np.concatenate([decoded.rows, decoded.forgets]), kind="stable")
        key, event = key[by_row], event[by_row]
    keyed = rounds.KeyedEvents(key, event.astype(np.int64), len(key_numbers))
    ticks = find_ticks(records, decoded.forgets, decoder.time_ms_max)
    stream_ms, end_ms = stream_times(decoded.rows, decoded.moves_to_ms, ticks, stream_time_ms)
    return DecodedBatch(
        decoded=decoded,
        x=x,
        keys=list(key_numbers),
        keyed=keyed,
        stream_ms=stream_ms,
        stream_time_ms=end_ms,
    )


async def step(
    model: Model,
    batch: DecodedBatch,
    has_state: NDArray[np.bool_],
    states: States,
    ttl_ms: float | None,
    yield_to_loop: Callable[[], Awaitable[None]],
) -> SteppedBatch:
    """Step every event of a micro-batch.

    Args:
        model: Network that steps the events.
        batch: Decoded micro-batch.
        has_state: (K,) Whether the key has a stored state.
        states: (K,) Stored states; zeros for a key without one.
        ttl_ms: Age in stream time, in milliseconds, above which a state expires; ``None``: never.
        yield_to_loop: Function to await between calls of torch.

    Raises:
        CorruptStateError: A stored tail cannot be read.
    """
    time_ms = batch.decoded.time_ms
    plan = rounds.plan_runs(
        batch.keyed, time_ms, batch.stream_ms, has_state, states.steps, states.last_ms, ttl_ms
    )
    x = batch.x.copy()
    model.encoder.fill_since_previous(x, plan.since_ms)
    floats, rated = model.hidden_size_floats, model.surprise.columns
    begins = np.where(plan.is_warm[:, None], states.hidden[plan.key], np.float32(0))
    lags = len(model.encoder.lag_columns)
    if lags:
        _fill_lags(model, batch, plan, x, begins[:, floats : floats + lags])
    y, ends = await rounds.step_rounds(model, plan, x, begins[:, :floats], yield_to_loop)
    before = _outputs_before(model, plan, y, begins[:, floats + lags :])

    exists = plan.last_run >= 0
    new_states = States.empty(len(batch.keys), model.state_size_floats)
    run = plan.last_run[exists]
    last_event = plan.order[plan.first[run] + plan.length[run] - 1]
    new_states.steps[exists] = plan.steps[last_event]
    new_states.last_ms[exists] = plan.last_ms[last_event]
    new_states.hidden[:, :floats][exists] = ends[run]
    if model.tail_size_floats:
        tails = batch.x[last_event][:, model.encoder.lag_columns], y[last_event][:, rated]
        new_states.hidden[:, floats:][exists] = np.concatenate(tails, axis=1)
    stepped = SteppedBatch(
        y=y, steps=plan.steps, since_ms=plan.since_ms, errors={}, states=new_states, exists=exists
    )
    for key in _broken_keys(batch, plan, y, ends):
        _step_again(model, batch, key, has_state, states, ttl_ms, stepped, before)
        await yield_to_loop()
    if len(rated):
        columns, since_ms = batch.decoded.columns, stepped.since_ms
        stepped.surprises = model.surprise.of(columns, since_ms, before)
    stepped.created = int(np.count_nonzero(stepped.exists & ~has_state))
    return stepped


def _broken_keys(
    batch: DecodedBatch, plan: rounds.Plan, y: NDArray[np.float32], ends: NDArray[np.float32]
) -> list[int]:
    """Return the keys of which an output (N, O) or a new state (R, D) is not finite."""
    broken_runs = ~np.isfinite(ends).all(axis=1)
    broken_keys = set(plan.key[broken_runs].tolist())
    broken_events = np.flatnonzero(~np.isfinite(y).all(axis=1))
    if len(broken_events):
        key_of_event = np.empty(len(y), np.int64)
        key_of_event[batch.keyed.event[batch.keyed.event >= 0]] = batch.keyed.key[
            batch.keyed.event >= 0
        ]
        broken_keys.update(key_of_event[broken_events].tolist())
    return sorted(broken_keys)


def _outputs_before(
    model: Model, plan: rounds.Plan, y: NDArray[np.float32], stored: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (N, S) what the heads with surprise gave at the previous event, stored (R, S) or now."""
    rated = model.surprise.columns
    if not len(rated):
        return np.empty((len(y), 0), np.float32)
    return rounds.previous_in_run(plan.order, plan.first, y[:, rated], stored)


def _fill_lags(
    model: Model,
    batch: DecodedBatch,
    plan: rounds.Plan,
    x: NDArray[np.float32],
    tails: NDArray[np.float32],
) -> None:
    """Fill the lags in x (N, F); a run begins with its stored tail (R, E) or without any event."""
    encoder = model.encoder
    encoder.check_lags(tails[plan.is_warm])
    before = np.where(plan.is_warm[:, None], tails, encoder.lag_missing)
    values = batch.x[:, encoder.lag_columns]
    encoder.fill_lags(x, rounds.previous_in_run(plan.order, plan.first, values, before))


def _step_again(
    model: Model,
    batch: DecodedBatch,
    key: int,
    has_state: NDArray[np.bool_],
    states: States,
    ttl_ms: float | None,
    stepped: SteppedBatch,
    before: NDArray[np.float32],
) -> None:
    """Replace the results of one key by those of single steps, and skip the events that fail."""
    floats = model.hidden_size_floats
    memory = Memory(
        int(states.steps[key]) if has_state[key] else 0,
        int(states.last_ms[key]),
        states.hidden[key, :floats],
        states.hidden[key, floats:],
    )
    events = batch.keyed.event[batch.keyed.key == key].tolist()
    time_ms = batch.decoded.time_ms
    results, errors, memory = step_one_by_one(
        model, memory, events, batch.x, time_ms, batch.stream_ms, ttl_ms
    )
    for result in results:
        stepped.y[result.event] = result.y
        stepped.steps[result.event] = result.steps
        stepped.since_ms[result.event] = result.since_ms
        before[result.event] = result.before
    stepped.errors.update(errors)
    stepped.exists[key] = memory.steps > 0
    stepped.states.steps[key] = memory.steps
    stepped.states.last_ms[key] = memory.last_ms
    stepped.states.hidden[key, :floats] = memory.hidden
    stepped.states.hidden[key, floats:] = memory.tail
