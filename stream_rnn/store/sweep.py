"""The sweep, which finds expired hidden states in Redis for the next commit to delete.

The fold never uses an expired state again, with or without the sweep.  So the sweep only frees
memory: it reads a few states at a time, and its progress changes no prediction.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from stream_rnn.settings import Settings
from stream_rnn.store.state import StateCodec, Store


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

    async def expired(
        self, position: int, stream_time_ms: int | None, changed: AbstractSet[bytes]
    ) -> list[bytes]:
        """Return keys with expired states, for the commit that expects ``position``.

        Args:
            position: Position in Redis.
            stream_time_ms: Stream time after the micro-batch in milliseconds.
            changed: Keys that the micro-batch itself writes or deletes.
        """
        ttl, now = self.settings.state_ttl, self.clock()
        if ttl is None or stream_time_ms is None or now < self._next_s:
            return []
        self._next_s = now + self.settings.sweep_interval_s
        self._cursor, states = await self.store.scan(
            position, self._cursor, self.settings.sweep_fields_max
        )
        if not states:
            return []
        ages_ms = stream_time_ms - self.codec.decode([value for _, value in states]).last_ms
        expired = np.flatnonzero(ages_ms > ttl * 1000).tolist()
        return [states[i][0] for i in expired if states[i][0] not in changed]
