"""Single steps of one key, after a batched step has given a number that is not finite.

The event at fault is skipped, the key's state stays as it was, and later events continue from that
state.  This changes the previous event, the expiry and the steps of all later events, so the whole
batched result of the key is discarded.

If the lags of an event make its step infinite, the event is stepped as if there were no previous
event: otherwise one valid event with an extreme value would make every later event of its key fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.errors import FeatureError
from stream_rnn.model.network import Model

NOT_FINITE = "step_not_finite"
"""Code of an event that is skipped because its step is not finite."""


@dataclass(slots=True)
class Memory:
    """One key's state while its events are stepped one at a time.

    Attributes:
        steps: Number of events in the memory; 0 for no memory.
        last_ms: Greatest event time in the memory.
        hidden: (D,) Flattened hidden state.
        tail: (E,) Tail of the state, see :mod:`stream_rnn.store.state`.
    """

    steps: int
    last_ms: int
    hidden: NDArray[np.float32]
    tail: NDArray[np.float32]

    @classmethod
    def empty(cls, model: Model) -> Self:
        """Return the memory of a key without events."""
        hidden = np.zeros(model.hidden_size_floats, np.float32)
        return cls(0, 0, hidden, np.zeros(model.tail_size_floats, np.float32))


@dataclass(frozen=True, slots=True)
class SingleStep:
    """The result of one event.

    Attributes:
        event: Number of the event.
        x: (F,) Input of the network.
        y: (O,) Outputs.
        steps: Number of events in the memory that made the outputs.
        since_ms: Milliseconds since the previous event of the memory; NaN for its first event.
        before: (S,) What the tail stored of y before the event; zeros for the first event.
    """

    event: int
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    steps: int
    since_ms: float
    before: NDArray[np.float32]


def step_one_by_one(
    model: Model,
    memory: Memory,
    events: Sequence[int],
    x: NDArray[np.float32],
    time_ms: NDArray[np.int64],
    stream_ms: NDArray[np.int64],
    ttl_ms: float | None,
) -> tuple[list[SingleStep], dict[int, FeatureError], Memory]:
    """Step one key's events in order; -1 among them is a forget.

    Args:
        model: Network that steps the events.
        memory: Stored state of the key.
        events: Numbers of the key's events.
        x: (N, F) Encoded events, without what depends on the previous event of the key.
        time_ms: (N,) Event times.
        stream_ms: (N,) Stream time at each event.
        ttl_ms: See :func:`stream_rnn.fold.rounds.plan_runs`.

    Returns:
        The results of the valid events, the errors of the others, and the memory after the last
        event.
    """
    empty, lags, rated = Memory.empty(model), model.encoder.lag_columns, model.surprise.columns
    stepped: list[SingleStep] = []
    errors: dict[int, FeatureError] = {}
    for event in events:
        if event < 0:
            memory = empty
            continue
        before = memory
        if memory.steps and ttl_ms is not None and stream_ms[event] - memory.last_ms > ttl_ms:
            before = empty
        time = int(time_ms[event])
        since = max(time - before.last_ms, 0) if before.steps else np.nan
        row = x[event : event + 1].copy()
        model.encoder.fill_since_previous(row, np.array([since], np.float64))
        result = _step(model, before, row)
        if result is None:
            message = "the step gives a number that is not finite"
            errors[event] = FeatureError(NOT_FINITE, message)
            continue
        y, hidden = result
        last_ms = max(before.last_ms, time) if before.steps else time
        tail = np.concatenate([x[event, lags], y[rated]])
        memory = Memory(before.steps + 1, last_ms, hidden, tail)
        step = SingleStep(
            event=event,
            x=row[0],
            y=y,
            steps=memory.steps,
            since_ms=float(since),
            before=before.tail[len(lags) :],
        )
        stepped.append(step)
    return stepped, errors, memory


def _step(
    model: Model, before: Memory, row: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Fill the lags in x (1, F), in place, and step; return (O,) y and (D,) h, if they are finite."""
    missing = model.encoder.lag_missing
    h = torch.from_numpy(before.hidden).reshape(1, *model.hidden_shape)
    stored = before.tail[: len(missing)]
    for lags in (stored, missing) if before.steps and len(missing) else (missing,):
        model.encoder.fill_lags(row, lags)
        y, new = model.step(torch.from_numpy(row), h)
        if torch.isfinite(y).all() and torch.isfinite(new).all():
            return y[0].numpy(), new.reshape(-1).numpy().copy()
    return None
