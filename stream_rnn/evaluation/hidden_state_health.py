"""Health of hidden states: a sample of those that the fold itself commits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.result import HiddenAt, HiddenHealth
from stream_rnn.evaluation.segments import by_steps
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.store.state import Commit, StateCodec, States

STATES_MAX = 20_000
A_COMMIT = 64
SATURATED = 0.99
SILENT = 1e-3  # standard deviation of a unit that says nothing


class Sample:
    """Hidden states that were committed, evenly over the log: when full, every second one goes.

    Attributes:
        steps, last_ms, hidden: of each state; hidden is (D,) floats.
        update_norm: how far the state moved in one event, NaN where the batch held more of its key.
    """

    def __init__(self, floats: int) -> None:
        self._codec = StateCodec(floats)
        self._every = self._seen = 0
        self.keys: set[bytes] = set()
        self.steps: list[int] = []
        self.last_ms: list[int] = []
        self.hidden: list[NDArray[np.float32]] = []
        self.update_norm: list[float] = []

    def take(self, commit: Commit, before: dict[bytes, bytes]) -> None:
        """Look at some of the states that a commit writes, and at what they were."""
        if not self._codec.floats or not commit.writes:
            return
        chosen = commit.writes[:: max(1, len(commit.writes) // A_COMMIT)]
        self._seen += 1
        if self._every and self._seen % (self._every + 1):
            return
        self.keys.update(key for key, _ in chosen)
        now = self._codec.decode([value for _, value in chosen])
        for i, (key, _) in enumerate(chosen):
            self.steps.append(int(now.steps[i]))
            self.last_ms.append(int(now.last_ms[i]))
            self.hidden.append(now.hidden[i])
            self.update_norm.append(self._update_norm(now, i, before.get(key)))
        if len(self.steps) > STATES_MAX:
            self._every = 2 * self._every + 1
            for column in (self.steps, self.last_ms, self.hidden, self.update_norm):
                del column[::2]

    def _update_norm(self, now: States, i: int, before: bytes | None) -> float:
        if before is None:
            return float("nan")
        was = self._codec.decode([before])
        if int(was.steps[0]) + 1 != int(now.steps[i]):
            return float("nan")
        return float(_norm((now.hidden[i] - was.hidden[0])[None])[0])


class SampledStore(MemoryStore):
    """A store in memory that shows a sample what is committed."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self._sample = sample

    async def commit(self, commit: Commit) -> None:
        """Show, then write states and position."""
        self._sample.take(commit, self.states)
        await super().commit(commit)


def health(sample: Sample, shape: Sequence[int]) -> HiddenHealth | None:
    """Say how the sampled hidden states are; ``None`` if there are none.

    Args:
        sample: of a fold.
        shape: of one hidden state; an LSTM's cell state is left out, it has no bound.
    """
    if not sample.hidden:
        return None
    hidden = np.stack(sample.hidden)
    if len(shape) == 3:
        hidden = hidden.reshape(len(hidden), *shape)[:, 0].reshape(len(hidden), -1)
    steps, update_norm = np.array(sample.steps), np.array(sample.update_norm)
    norm = _norm(hidden)
    saturated = (np.abs(hidden) > SATURATED).mean(axis=1)
    at = []
    for name, chosen in by_steps(steps):
        known = update_norm[chosen][np.isfinite(update_norm[chosen])]
        at.append(
            HiddenAt(
                steps=name,
                states=len(chosen),
                norm=float(norm[chosen].mean()),
                norm_high=float(np.quantile(norm[chosen], 0.95)),
                saturated=float(saturated[chosen].mean()),
                update_norm=float(known.mean()) if len(known) else float("nan"),
            )
        )
    silent = int((hidden.std(axis=0) < SILENT).sum())
    drift = _drift(hidden, np.array(sample.last_ms))
    return HiddenHealth(len(sample.keys), hidden.shape[1], silent, tuple(at), drift)


def _norm(hidden: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(hidden.astype(np.float64)).mean(axis=1)))


def _drift(hidden: NDArray[np.float32], last_ms: NDArray[np.int64]) -> float:
    early, late = np.quantile(last_ms, [1 / 3, 2 / 3])
    first, last = hidden[last_ms <= early], hidden[last_ms >= late]
    if not len(first) or not len(last):
        return float("nan")
    deviation = np.maximum(hidden.std(axis=0), SILENT)
    return float((np.abs(last.mean(axis=0) - first.mean(axis=0)) / deviation).mean())
