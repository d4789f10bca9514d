"""The sweep, which finds expired hidden states in Redis for the next commit to delete.

The fold never uses an expired state again, with or without the sweep.  So the sweep only frees
memory, and its progress changes no prediction.  It scans all states again and again:

- for each state that a micro-batch creates, two states; so at most half of all states have
  expired at any constant rate of new keys, because N / 2 states are created, and as many expire,
  while all N are scanned once;
- once in ``sweep_interval_s``, ``sweep_fields_max`` states, and up to 25 times as many while at
  least a quarter of them has expired, such as after a burst of keys;
- if the topic is silent for ``idle_check_s``, 25 times as many in each ``sweep_interval_s``, until
  a whole scan at the same position has ended.

A page that Redis does not deliver ends the sweep, never the commit: later pages are smaller.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream_rnn.errors import StreamRNNError, TooLargeError, UnavailableError
from stream_rnn.settings import Settings
from stream_rnn.store.adaptive_bound import AdaptiveBound
from stream_rnn.store.state import StateCodec, Store

logger = logging.getLogger(__name__)

SCANS_PER_CREATED_STATE = 2
PAGES_MAX = 25  # in one interval
PAGE_FIELDS = 1000  # Redis serves no other client while it reads a page
PAUSE_FACTOR = 20  # a sweep that fails takes at most this fraction of the time
RICH = 0.25  # share of expired states at which the scan continues at once


@dataclass(slots=True)
class Sweep:
    """Scans the hidden states of one partition again and again.

    Args:
        settings: Settings of expiry and of the sweep.
        codec: Codec of the states.
        store: Store of the fold.
        clock: Function that returns monotonic seconds.
    """

    settings: Settings
    codec: StateCodec
    store: Store
    clock: Callable[[], float]
    _cursor: int = 0
    _next_s: float = 0.0
    _owed: int = 0
    _has_more: bool = False  # the last sweep ended at its bound
    _scan_position: int = -1  # position at the start of this scan
    _idle_position: int = -1  # position since which the topic is silent
    _clean_position: int = -1  # position at which nothing that has expired is left
    _resume_s: float = 0.0  # no scan before this time, because one has failed
    _has_warned: bool = False
    _page: AdaptiveBound = field(init=False)

    def __post_init__(self) -> None:
        fields = self.settings.commit_bytes_max // self.codec.state_bytes
        self._page = AdaptiveBound(max(1, min(PAGE_FIELDS, fields)))

    def restart(self) -> None:
        """Begin the scan again, because the states in Redis may be others."""
        self._cursor, self._owed, self._clean_position = 0, 0, -1

    async def expired(
        self,
        position: int,
        stream_time_ms: int | None,
        changed: Sequence[bytes],
        created: int = 0,
    ) -> list[bytes]:
        """Return keys with expired states, for the commit that expects ``position``.

        Args:
            position: Position in Redis.
            stream_time_ms: Stream time after the micro-batch in milliseconds.
            changed: Keys that the micro-batch itself writes or deletes.
            created: Number of states that the micro-batch creates.
        """
        if self.settings.state_ttl is None or stream_time_ms is None:
            return []
        fields = self.settings.sweep_fields_max
        self._owed += SCANS_PER_CREATED_STATE * created
        is_due = self._is_due()
        budget = max(self._owed, fields if is_due else 0)
        if budget < fields or self._is_paused():
            return []  # a scan costs a round trip, so small debts wait
        self._owed, self._has_more = 0, False
        expired: dict[bytes, None] = {}  # in the order of the scan
        while budget > 0:
            page = min(budget, self._page.value)
            expired |= (await self._scan(position, stream_time_ms, page))[1]
            budget -= page
            if not self._cursor or self._is_paused():
                break  # all states were scanned, or a page failed
        if not self._is_paused() and is_due and len(expired) >= RICH * fields:
            expired |= await self._continue(position, stream_time_ms, only_rich=True)
        if not expired:
            return []
        kept = set(changed)
        return [key for key in expired if key not in kept]

    async def expired_while_idle(self, position: int, stream_time_ms: int | None) -> list[bytes]:
        """Return keys with expired states, for a commit that leaves the position as it is.

        No later event can use them: its stream time is at least ``stream_time_ms``.
        """
        self._idle_position, self._has_more = position, False
        if self.settings.state_ttl is None or stream_time_ms is None:
            self._clean_position = position
        if self._clean_position == position or self._is_paused() or not self._is_due():
            return []
        return list(await self._continue(position, stream_time_ms or 0, only_rich=False))

    def wait_s(self, position: int) -> float:
        """Return how long to wait for a record before the next check of an idle partition."""
        is_idle = self._idle_position == position != self._clean_position
        is_sweeping = self._has_more or is_idle
        limit_s = self.settings.idle_check_s
        return min(limit_s, self.settings.sweep_interval_s) if is_sweeping else limit_s

    def _is_paused(self) -> bool:
        return self.clock() < self._resume_s

    def _pause(self, fields: int, began_s: float, error: StreamRNNError) -> None:
        """Make pages smaller, and scan none for a while, because one has failed."""
        self._page.shrink(fields, is_certain=isinstance(error, TooLargeError))
        now = self.clock()
        pause_s = max(self.settings.sweep_interval_s, PAUSE_FACTOR * (now - began_s))
        self._resume_s = now + pause_s
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Redis delivered no page of %d hidden states in the sweep for expired ones (%s); "
                "the sweep goes on with smaller pages",
                *(fields, error),
            )

    def _is_due(self) -> bool:
        now = self.clock()
        if now < self._next_s:
            return False
        self._next_s = now + self.settings.sweep_interval_s
        return True

    async def _continue(
        self, position: int, stream_time_ms: int, *, only_rich: bool
    ) -> dict[bytes, None]:
        """Scan ``PAGES_MAX`` times the fields, to the end of the scan or of what has expired."""
        expired: dict[bytes, None] = {}  # in the order of the scan
        budget = PAGES_MAX * self.settings.sweep_fields_max
        while budget > 0:
            page = min(budget, self.settings.sweep_fields_max, self._page.value)
            budget -= page
            scanned, old = await self._scan(position, stream_time_ms, page)
            expired |= old
            is_poor = only_rich and len(old) < RICH * scanned
            if not self._cursor or self._is_paused() or is_poor:
                return expired
        self._has_more = True
        return expired

    async def _scan(
        self, position: int, stream_time_ms: int, fields: int
    ) -> tuple[int, dict[bytes, None]]:
        """Read a page of states; return their number, and the keys of those that have expired."""
        ttl_ms = self.settings.state_ttl_ms
        assert ttl_ms is not None, "the caller has checked it"
        if not self._cursor:
            self._scan_position = position
        began_s = self.clock()
        try:
            self._cursor, states = await self.store.scan(position, self._cursor, fields)
        except (TooLargeError, UnavailableError) as error:
            self._pause(fields, began_s, error)
            return 0, {}
        self._page.note_success(fields)
        if not self._cursor and self._scan_position == position:
            self._clean_position = position
        if not states:
            return 0, {}
        ages_ms = stream_time_ms - self.codec.decode([value for _, value in states]).last_ms
        rows = np.flatnonzero(ages_ms > ttl_ms).tolist()
        return len(states), {states[i][0]: None for i in rows}
