"""Health of hidden states, measured on a sample of the states that a fold commits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.result import HiddenStateGroup, HiddenStateHealth
from stream_rnn.evaluation.segments import by_steps
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.store.state import Commit, StateCodec, States

STATES_MAX = 20_000
STATES_PER_COMMIT = 64
SATURATED = 0.99
DEAD_STD_MAX = 1e-3  # standard deviation below which a unit counts as dead


class HiddenStateSample:
    """A sample of committed hidden states, spread evenly over the log.

    When the sample is full, it drops every second state.

    Attributes:
        keys: Record keys in the sample.
        steps: Number of events in the memory of each state.
        last_ms: Time of the last event of each state, in milliseconds since 1970.
        hidden: Floats (D,) of each state.
        update_norm: Norm of the change by the last event, divided by sqrt(D); NaN if the commit
            covers several events of the key.
    """

    def __init__(self, floats: int, tail: int = 0) -> None:
        self._floats = floats
        self._codec = StateCodec(floats, tail)
        self._every = self._seen = 0
        self.keys: set[bytes] = set()
        self.steps: list[int] = []
        self.last_ms: list[int] = []
        self.hidden: list[NDArray[np.float32]] = []
        self.update_norm: list[float] = []

    def add(self, commit: Commit, before: dict[bytes, bytes]) -> None:
        """Add some of the states that a commit writes.

        Args:
            commit: Commit that is about to be applied.
            before: State of each key before the commit.
        """
        if not self._floats or not commit.writes:
            return
        chosen = commit.writes[:: max(1, len(commit.writes) // STATES_PER_COMMIT)]
        self._seen += 1
        if self._every and self._seen % (self._every + 1):
            return
        self.keys.update(key for key, _ in chosen)
        now = self._decode([value for _, value in chosen])
        for i, (key, _) in enumerate(chosen):
            self.steps.append(int(now.steps[i]))
            self.last_ms.append(int(now.last_ms[i]))
            self.hidden.append(now.hidden[i])
            self.update_norm.append(self._update_norm(now, i, before.get(key)))
        if len(self.steps) > STATES_MAX:
            self._every = 2 * self._every + 1
            for column in (self.steps, self.last_ms, self.hidden, self.update_norm):
                del column[::2]

    def _decode(self, values: Sequence[bytes]) -> States:
        """Return some states without their tails."""
        states = self._codec.decode(values)
        return States(states.steps, states.last_ms, states.hidden[:, : self._floats])

    def _update_norm(self, now: States, i: int, before: bytes | None) -> float:
        if before is None:
            return float("nan")
        previous = self._decode([before])
        if int(previous.steps[0]) + 1 != int(now.steps[i]):
            return float("nan")
        return float(_norm((now.hidden[i] - previous.hidden[0])[None])[0])


class SamplingStore(MemoryStore):
    """A store in memory that adds the states of each commit to a sample."""

    def __init__(self, sample: HiddenStateSample) -> None:
        super().__init__()
        self._sample = sample

    async def commit(self, commit: Commit) -> None:
        """Add states to the sample, then write states and position."""
        self._sample.add(commit, self.states)
        await super().commit(commit)


def health(
    sample: HiddenStateSample, shape: Sequence[int], *, has_cell_state: bool
) -> HiddenStateHealth | None:
    """Return the health of the sampled hidden states; ``None`` if the sample is empty.

    Args:
        sample: Hidden states of a fold.
        shape: Shape of one hidden state.
        has_cell_state: Whether it is that of an LSTM, whose cell state is not measured, because it
            has no bound.
    """
    if not sample.hidden:
        return None
    hidden = np.stack(sample.hidden)
    if has_cell_state:
        hidden = hidden.reshape(len(hidden), *shape)[:, 0].reshape(len(hidden), -1)
    steps, update_norm = np.array(sample.steps), np.array(sample.update_norm)
    norm = _norm(hidden)
    saturated = (np.abs(hidden) > SATURATED).mean(axis=1)
    groups = []
    for name, chosen in by_steps(steps):
        known = update_norm[chosen][np.isfinite(update_norm[chosen])]
        groups.append(
            HiddenStateGroup(
                steps=name,
                states=len(chosen),
                norm=float(norm[chosen].mean()),
                norm_high=float(np.quantile(norm[chosen], 0.95)),
                saturated=float(saturated[chosen].mean()),
                update_norm=float(known.mean()) if len(known) else float("nan"),
            )
        )
    dead_units = int((hidden.std(axis=0) < DEAD_STD_MAX).sum())
    drift = _drift(hidden, np.array(sample.last_ms))
    return HiddenStateHealth(len(sample.keys), hidden.shape[1], dead_units, tuple(groups), drift)


def _norm(hidden: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(hidden.astype(np.float64)).mean(axis=1)))


def _drift(hidden: NDArray[np.float32], last_ms: NDArray[np.int64]) -> float:
    early, late = np.quantile(last_ms, [1 / 3, 2 / 3])
    first, last = hidden[last_ms <= early], hidden[last_ms >= late]
    if not len(first) or not len(last):
        return float("nan")
    deviation = np.maximum(hidden.std(axis=0), DEAD_STD_MAX)
    return float((np.abs(last.mean(axis=0) - first.mean(axis=0)) / deviation).mean())
