"""Health of hidden states, measured on a sample of the states that a fold commits.

A fold commits at the end of each micro-batch, and where one ends depends on the machine.  So the
log is cut into slices at fixed offsets, and the states after a slice are sampled.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.result import HiddenStateGroup, HiddenStateHealth
from stream_rnn.evaluation.segments import by_steps
from stream_rnn.fold.decoder import Record
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.store.state import Commit, StateCodec, States

STATES_MAX = 20_000
STATES_PER_SLICE = 64
SLICE_RECORDS_MIN, SLICE_RECORDS_MAX = 16, 16_384
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
        update_norm: Norm of the change by the last event, divided by sqrt(D); NaN if the slice has
            several events of the key.
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

    def add(self, after: Mapping[bytes, bytes], before: Mapping[bytes, bytes | None]) -> None:
        """Add some of the states that a slice of the log has changed.

        Args:
            after: State of each changed key after the slice.
            before: State of each of these keys before the slice; ``None`` for none.
        """
        if not self._floats or not after:
            return
        chosen = list(after.items())[:: max(1, len(after) // STATES_PER_SLICE)]
        self._seen += 1
        if self._every and self._seen % (self._every + 1):
            return
        self.keys.update(key for key, _ in chosen)
        now = self._decode([value for _, value in chosen])
        for i, (key, _) in enumerate(chosen):
            self.steps.append(int(now.steps[i]))
            self.last_ms.append(int(now.last_ms[i]))
            self.hidden.append(now.hidden[i])
            self.update_norm.append(self._update_norm(now, i, before[key]))
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
    """A store in memory that adds the states after each slice of the log to a sample."""

    def __init__(self, sample: HiddenStateSample) -> None:
        super().__init__()
        self._sample = sample
        self._before: dict[bytes, bytes | None] = {}
        self._before_last: dict[bytes, bytes | None] = {}

    async def commit(self, commit: Commit) -> None:
        """Write states and position."""
        for key, _ in commit.writes:
            self._before.setdefault(key, self.states.get(key))
            self._before_last[key] = self.states.get(key)
        await super().commit(commit)

    def begin_last(self) -> None:
        """Begin the last record of a slice; all commits before it have returned."""
        self._before_last = {}

    def end_slice(self, *, is_last_alone: bool = False) -> None:
        """Add states to the sample; all commits of the slice have returned.

        Args:
            is_last_alone: Whether the last commit has only the last record, so that the change by
                it is known even if the slice has several events of its key.
        """
        after = {key: self.states[key] for key in self._before if key in self.states}
        before = self._before | (self._before_last if is_last_alone else {})
        self._sample.add(after, before)
        self._before, self._before_last = {}, {}


def cut_slices(records: Sequence[Record], start: int) -> list[Sequence[Record]]:
    """Cut records where their slice of the log ends, so that no batch belongs to two slices.

    A slice has a sixteenth of the offsets before it, from ``SLICE_RECORDS_MIN`` to
    ``SLICE_RECORDS_MAX``: short logs have many slices, and long ones few.

    Args:
        records: Records in offset order.
        start: First offset of the log.
    """
    numbers = [slice_number(record.offset, start) for record in records]
    ends = [i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1]]
    return [records[a:b] for a, b in pairwise([0, *ends, len(records)])] if records else []


def slice_number(offset: int, start: int) -> tuple[int, int]:
    """Return the size of the slice of an offset, and its number among those of this size."""
    past = max(offset - start, 1)
    size = (1 << (past.bit_length() - 1)) // 16
    size = min(max(size, SLICE_RECORDS_MIN), SLICE_RECORDS_MAX)
    return size, (offset - start) // size


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
