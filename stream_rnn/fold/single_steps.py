"""Single steps: what a key is sent back to when a batched step gave a number that is not finite.

The event that causes it is skipped, the key's state stays as it was, and the events after it go
on from there: so the time since the previous event, expiry and steps of all that follow change,
and nothing of the batched result of that key can be kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.errors import FeatureError
from stream_rnn.model.network import Model

NOT_FINITE = "step_not_finite"
"""Code of an event that is skipped since its step is not finite."""


@dataclass(slots=True)
class Memory:
    """One key's state while its events are stepped one at a time.

    Attributes:
        steps: events in the memory; 0 if there is none.
        last_ms: time of its last event.
        hidden: (D,) flattened hidden state.
    """

    steps: int
    last_ms: int
    hidden: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one event gave: (O,) outputs and the steps that made them."""

    event: int
    y: NDArray[np.float32]
    steps: int


def step_one_by_one(
    model: Model,
    memory: Memory,
    events: Sequence[int],
    x: NDArray[np.float32],
    time_ms: NDArray[np.int64],
    stream_ms: NDArray[np.int64],
    ttl_ms: float | None,
) -> tuple[list[Stepped], dict[int, FeatureError], Memory]:
    """Step one key's events in order; -1 among them is a forget.

    Args:
        model: what is stepped.
        memory: the key's stored state.
        events: numbers of the key's events.
        x: (N, F) encoded events; the time since the previous one is filled in here.
        time_ms: (N,) event times.
        stream_ms: (N,) stream time at each event.
        ttl_ms: see :func:`stream_rnn.fold.rounds.plan`.

    Returns:
        What the good events gave, the bad ones' errors, and the memory after the last.
    """
    nothing = Memory(0, 0, np.zeros_like(memory.hidden))
    stepped: list[Stepped] = []
    errors: dict[int, FeatureError] = {}
    for event in events:
        if event < 0:
            memory = nothing
            continue
        before = memory
        if memory.steps and ttl_ms is not None and stream_ms[event] - memory.last_ms > ttl_ms:
            before = nothing
        time = int(time_ms[event])
        since = max(time - before.last_ms, 0) if before.steps else np.nan
        row = x[event : event + 1].copy()
        model.encoder.fill_since_previous(row, np.array([since], np.float64))
        h = torch.from_numpy(before.hidden).reshape(1, *model.hidden_shape)
        y, h = model.step(torch.from_numpy(row), h)
        if not (torch.isfinite(y).all() and torch.isfinite(h).all()):
            message = "the step gives a number that is not finite"
            errors[event] = FeatureError(NOT_FINITE, message)
            continue
        last_ms = max(before.last_ms, time) if before.steps else time
        memory = Memory(before.steps + 1, last_ms, h.reshape(-1).numpy().copy())
        stepped.append(Stepped(event, y[0].numpy(), memory.steps))
    return stepped, errors, memory
