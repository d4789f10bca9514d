"""What production's ``steps`` can be where the range begins after the fold's origin.

A memory is told by where it ends and how many events it holds: with the same ``steps`` at the
same event, production and the replay remember the same.  Where they differ, this is provable of a
key, for the replay begins cold:

1  the first event has at least 1 step, and at most one more for each offset from the origin to
   the range
2  from event to event steps rise by one; nothing else without ``state_ttl``, so that they are
   never fewer than the replay's
3  after a forget in the range steps are the replay's
4  with ``state_ttl`` an event may begin anew.  It must where the memory lies in the range and
   stream time, which is at least the replay's, has left it behind; it cannot where stream time
   is proven to be too small: a memory that went on bounds what stream time was at the begin
"""

from dataclasses import dataclass
from enum import Enum, auto

CERTAIN = 1 << 30


class Verdict(Enum):
    """What is known of a prediction's memory."""

    SAME = auto()
    APART = auto()  # it began before the range, or where nobody can tell
    WRONG = auto()


@dataclass(slots=True)
class _Key:
    """One key's memory in production, as far as the range shows it.

    Attributes:
        steps: of the last event that was seen; ``None`` before the first.
        unseen: events after it.
        events: of the range, after the last forget.
        last_ms: time of the memory's last event, where all of it lies in the range.
        replay_ms: the same of the replay's memory.
        votes: events that agreed on ``steps``, less those that did not.
        is_apart: an event was skipped by one side alone.
        is_same: the last verdict.
    """

    steps: int | None = None
    unseen: int = 0
    events: int = 0
    last_ms: int | None = None
    replay_ms: int = 0
    votes: int = 0
    is_apart: bool = False
    is_same: bool = False


class Memories:
    """Follows the keys of a range, in offset order.

    Args:
        before: offsets from the origin to the range.
        ttl_ms: ``state_ttl``, if there is one.
    """

    def __init__(self, before: int, ttl_ms: float | None) -> None:
        self._before = before
        self._ttl_ms = ttl_ms
        self._keys: dict[bytes, _Key] = {}
        self._stream_ms: int | None = None
        self._begin_max_ms: float | None = None  # bound of stream time at the begin of the range
        self._is_stream_known = True

    def forget(self, key: bytes) -> None:
        """Note that both sides have forgotten a key."""
        self._keys[key] = _Key(steps=0, votes=CERTAIN, is_same=True)

    def skipped(self, key: bytes) -> None:
        """Note an event that one side alone could not step: its time is not known here."""
        self._of(key).is_apart = True
        self._is_stream_known = False

    def may_differ(self, key: bytes) -> bool:
        """Tell whether production may remember something else than the replay."""
        return not self._of(key).is_same

    def pass_time(self, time_ms: int) -> None:
        """Note the time of an event, of whatever key, before it is judged."""
        self._stream_ms = time_ms if self._stream_ms is None else max(time_ms, self._stream_ms)

    def unseen(self, key: bytes, replayed: int, time_ms: int) -> None:
        """Note an event whose prediction is not there, or is another fold's."""
        state = self._of(key)
        self._step_replay(state, replayed, time_ms)
        state.unseen += 1
        state.last_ms, state.is_same = None, False

    def judge(self, key: bytes, replayed: int, published: int, time_ms: int) -> Verdict:
        """Judge the steps that a prediction names.

        Args:
            key: of its record.
            replayed: steps of the replay; 0 where it could not step the event.
            published: steps of production.
            time_ms: event time.
        """
        state = self._of(key)
        self._step_replay(state, replayed, time_ms)
        goes_on = self._goes_on(state, published)
        if not goes_on and not self._begins_anew(state, published):
            return self._wrong(state, published)
        if goes_on and self._ttl_ms is not None and state.last_ms is not None:
            bound = state.last_ms + self._ttl_ms
            known = self._begin_max_ms
            self._begin_max_ms = bound if known is None else min(known, bound)
        if published == replayed == 1:
            state.is_apart = False
        state.is_same = published == replayed and not state.is_apart
        if state.is_same:
            state.last_ms = state.replay_ms
        elif published == 1:
            state.last_ms = time_ms
        elif state.last_ms is not None:
            state.last_ms = max(state.last_ms, time_ms) if goes_on and not state.unseen else None
        state.steps, state.unseen, state.votes = published, 0, state.votes + 1
        return Verdict.SAME if state.is_same else Verdict.APART

    def _of(self, key: bytes) -> _Key:
        return self._keys.setdefault(key, _Key())

    def _step_replay(self, state: _Key, replayed: int, time_ms: int) -> None:
        state.events += 1
        state.replay_ms = time_ms if replayed <= 1 else max(state.replay_ms, time_ms)

    def _goes_on(self, state: _Key, published: int) -> bool:
        if state.steps is None:
            return state.events <= published <= state.events + self._before
        if published != state.steps + state.unseen + 1:
            return False
        if self._ttl_ms is None or state.last_ms is None or self._stream_ms is None:
            return True
        return self._stream_ms - state.last_ms <= self._ttl_ms

    def _begins_anew(self, state: _Key, published: int) -> bool:
        if self._ttl_ms is None:
            return False
        if state.steps is None:
            return 1 <= published <= state.events
        if not 1 <= published <= state.unseen + 1:
            return False
        bound, stream_ms = self._begin_max_ms, self._stream_ms
        if not self._is_stream_known or None in (state.last_ms, bound, stream_ms):
            return True
        assert state.last_ms is not None
        assert bound is not None
        assert stream_ms is not None
        return max(bound, stream_ms) - state.last_ms > self._ttl_ms

    def _wrong(self, state: _Key, published: int) -> Verdict:
        """Believe what most events said: a wrong first one does not make all that follow wrong."""
        state.unseen += 1
        state.votes -= 1
        state.last_ms, state.is_same = None, False
        least = state.events if self._ttl_ms is None else 1
        if state.votes <= 0 and least <= published <= state.events + self._before:
            state.steps, state.unseen, state.votes = published, 0, 1
        return Verdict.WRONG
