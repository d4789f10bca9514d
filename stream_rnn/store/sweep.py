"""The sweep: expired hidden states leave Redis in the owner's next commit.

Expiry itself needs no sweep: an expired state is never used again.  The sweep only frees memory,
so it looks at a few states at a time, and how far it got changes no prediction.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from stream_rnn.settings import Settings
from stream_rnn.store.state import StateCodec, Store


@dataclass(slots=True)
class Sweep:
    """Goes round the hidden states of one partition.

    Args:
        settings: expiry and the sweep's bounds.
        codec: reads a state's time.
        store: the fold's hidden states.
        clock: monotonic seconds.
    """

    settings: Settings
    codec: StateCodec
    store: Store
    clock: Callable[[], float]
    _cursor: int = 0
    _next_s: float = 0.0

    async def expired(
        self, position: int, stream_time_ms: int | None, touched: AbstractSet[bytes]
    ) -> list[bytes]:
        """Return some keys whose states are expired, for the commit that expects ``position``.

        Args:
            position: the position in Redis.
            stream_time_ms: stream time after the micro-batch.
            touched: keys that the micro-batch writes or deletes itself.
        """
        ttl, now = self.settings.state_ttl, self.clock()
        if ttl is None or stream_time_ms is None or now < self._next_s:
            return []
        self._next_s = now + self.settings.sweep_interval_s
        self._cursor, found = await self.store.scan(
            position, self._cursor, self.settings.sweep_fields_max
        )
        if not found:
            return []
        ages_ms = stream_time_ms - self.codec.decode([value for _, value in found]).last_ms
        old = np.flatnonzero(ages_ms > ttl * 1000).tolist()
        return [found[i][0] for i in old if found[i][0] not in touched]
