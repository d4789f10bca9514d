"""Which ``steps`` production can have if the range begins after the origin of the fold.

A key's memory is determined by where it ends and how many events it contains: if production and the
replay have the same ``steps`` at the same event, they have the same memory.  If they differ, the
following holds for a key, because the replay begins with empty memories:

1  The first event has at least 1 step, and at most one more for each offset from the origin to the
   range.
2  Steps rise by one from event to event.  Without ``state_ttl`` there is no exception, so steps are
   never fewer than the replay's.
3  After a forget in the range, steps equal the replay's.
4  With ``state_ttl``, a memory may expire and restart at an event.  It must restart if its
   last event lies in the range and stream time, which is at least the replay's, is more than
   ``state_ttl`` later.
   It cannot restart if stream time is provably too small: each memory that continued bounds the
   stream time at the beginning of the range.
"""

from dataclasses import dataclass
from enum import Enum, auto

from stream_rnn.fold.record_limits import TICK_KEY

CERTAIN = 1 << 30


class Verdict(Enum):
    """What the steps of a prediction prove about its memory.

    Attributes:
        SAME: The memory equals the replay's.
        UNKNOWN: The memory may differ: it began before the range, or at an unknown event.
        IMPOSSIBLE: No memory has these steps.
    """

    SAME = auto()
    UNKNOWN = auto()
    IMPOSSIBLE = auto()


@dataclass(slots=True)
class _KeyMemory:
    """Production's memory of one key, as far as the range shows it.

    Attributes:
        steps: Steps of the last prediction that was read; ``None`` before the first one.
        unseen: Number of events since then.
        events: Number of events in the range since the last forget.
        last_ms: Time of the memory's last event, if all of the memory lies in the range.
        replay_ms: Time of the last event of the replay's memory.
        votes: Number of events that agreed on ``steps``, less those that did not.
        is_diverged: Whether only one side skipped an event.
        is_same: Whether the last verdict was ``SAME``.
    """

    steps: int | None = None
    unseen: int = 0
    events: int = 0
    last_ms: int | None = None
    replay_ms: int = 0
    votes: int = 0
    is_diverged: bool = False
    is_same: bool = False


class StepsChecker:
    """Checks the steps of predictions, in offset order.

    Args:
        offsets_before: Number of offsets from the origin to the range.
        ttl_ms: ``state_ttl`` in milliseconds; ``None`` if it is not set.
    """

    def __init__(self, offsets_before: int, ttl_ms: float | None) -> None:
        self._offsets_before = offsets_before
        self._ttl_ms = ttl_ms
        self._keys: dict[bytes, _KeyMemory] = {}
        self._stream_ms: int | None = None
        self._begin_max_ms: float | None = (
            None  # bound of the stream time at the beginning of the range
        )
        self._is_stream_known = True

    def forget(self, key: bytes) -> None:
        """Record that production and the replay forgot a key."""
        if key == TICK_KEY:  # it may have expired memories that began before the range
            self._is_stream_known = False
        self._keys[key] = _KeyMemory(steps=0, votes=CERTAIN, is_same=True)

    def note_skipped(self, key: bytes) -> None:
        """Record that only one side could step an event, whose time is unknown here."""
        self._of(key).is_diverged = True
        self._is_stream_known = False

    def may_differ(self, key: bytes) -> bool:
        """Return whether production's memory of a key may differ from the replay's."""
        return not self._of(key).is_same

    def note_time(self, time_ms: int) -> None:
        """Record the time of an event of any key; call this before :meth:`judge`."""
        self._stream_ms = time_ms if self._stream_ms is None else max(time_ms, self._stream_ms)

    def note_unseen(self, key: bytes, replayed_steps: int, time_ms: int) -> None:
        """Record an event whose prediction is missing or belongs to another fold."""
        state = self._of(key)
        self._step_replay(state, replayed_steps, time_ms)
        state.unseen += 1
        state.last_ms, state.is_same = None, False

    def judge(self, key: bytes, replayed_steps: int, published_steps: int, time_ms: int) -> Verdict:
        """Judge the steps of a prediction.

        Args:
            key: Key of the record.
            replayed_steps: Steps of the replay; 0 if the replay could not step the event.
            published_steps: Steps of the published prediction.
            time_ms: Event time in milliseconds.
        """
        state = self._of(key)
        self._step_replay(state, replayed_steps, time_ms)
        can_continue = self._can_continue(state, published_steps)
        if not can_continue and not self._can_restart(state, published_steps):
            return self._count_impossible(state, published_steps)
        if can_continue and self._ttl_ms is not None and state.last_ms is not None:
            bound = state.last_ms + self._ttl_ms
            previous_bound = self._begin_max_ms
            self._begin_max_ms = bound if previous_bound is None else min(previous_bound, bound)
        if published_steps == replayed_steps == 1:
            state.is_diverged = False
        state.is_same = published_steps == replayed_steps and not state.is_diverged
        if state.is_same:
            state.last_ms = state.replay_ms
        elif published_steps == 1:
            state.last_ms = time_ms
        elif state.last_ms is not None:
            state.last_ms = (
                max(state.last_ms, time_ms) if can_continue and not state.unseen else None
            )
        state.steps, state.unseen, state.votes = published_steps, 0, state.votes + 1
        return Verdict.SAME if state.is_same else Verdict.UNKNOWN

    def _of(self, key: bytes) -> _KeyMemory:
        return self._keys.setdefault(key, _KeyMemory())

    def _step_replay(self, state: _KeyMemory, replayed_steps: int, time_ms: int) -> None:
        state.events += 1
        state.replay_ms = time_ms if replayed_steps <= 1 else max(state.replay_ms, time_ms)

    def _can_continue(self, state: _KeyMemory, published_steps: int) -> bool:
        if state.steps is None:
            return state.events <= published_steps <= state.events + self._offsets_before
        if published_steps != state.steps + state.unseen + 1:
            return False
        if self._ttl_ms is None or state.last_ms is None or self._stream_ms is None:
            return True
        return self._stream_ms - state.last_ms <= self._ttl_ms

    def _can_restart(self, state: _KeyMemory, published_steps: int) -> bool:
        if self._ttl_ms is None:
            return False
        if state.steps is None:
            return 1 <= published_steps <= state.events
        if not 1 <= published_steps <= state.unseen + 1:
            return False
        bound, stream_ms = self._begin_max_ms, self._stream_ms
        if not self._is_stream_known or None in (state.last_ms, bound, stream_ms):
            return True
        assert state.last_ms is not None
        assert bound is not None
        assert stream_ms is not None
        return max(bound, stream_ms) - state.last_ms > self._ttl_ms

    def _count_impossible(self, state: _KeyMemory, published_steps: int) -> Verdict:
        """Follow the majority, so that one wrong prediction does not make all later ones wrong."""
        state.unseen += 1
        state.votes -= 1
        state.last_ms, state.is_same = None, False
        least = state.events if self._ttl_ms is None else 1
        if state.votes <= 0 and least <= published_steps <= state.events + self._offsets_before:
            state.steps, state.unseen, state.votes = published_steps, 0, 1
        return Verdict.IMPOSSIBLE
