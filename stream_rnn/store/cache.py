"""The local cache: hidden states that this worker committed, as rows of growing arrays.

It holds only what came out of an unbroken chain of commits since a validated load, and is filled
after Redis said ``ok``, never before.  Any doubt clears it.
"""

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from stream_rnn.store.state import HEADER_BYTES, StateCodec, States

ROWS_AT_FIRST = 1024
ROW_OVERHEAD_BYTES = 200  # the key, its place in the dictionary, and when it was used


class StateCache:
    """Hidden states of one partition, least recently used out first.

    Args:
        floats: D, the floats of one hidden state.
        bytes_max: bound of the whole; 0 keeps nothing.
    """

    def __init__(self, floats: int, bytes_max: int) -> None:
        self._floats = floats
        self._rows_max = bytes_max // (4 * floats + HEADER_BYTES + ROW_OVERHEAD_BYTES)
        self.last = (0, 0)  # of the last load: keys that were here, and keys that were not
        self.clear()

    def __len__(self) -> int:
        return len(self._row)

    def clear(self) -> None:
        """Forget everything."""
        rows = min(ROWS_AT_FIRST, self._rows_max)
        self._row: dict[bytes, int] = {}
        self._free = list(range(rows - 1, -1, -1))
        self._states = States.empty(rows, self._floats)
        self._used = np.zeros(rows, np.int64)
        self._uses = 0

    def rows(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """Return the row of each key, -1 for one that is not here."""
        get = self._row.get
        return np.fromiter((get(key, -1) for key in keys), np.int64, len(keys))

    def states(self, rows: NDArray[np.int64]) -> States:
        """Return copies of some rows."""
        self._uses += 1
        self._used[rows] = self._uses
        held = self._states
        return States(held.steps[rows], held.last_ms[rows], held.hidden[rows])

    def put(self, keys: Sequence[bytes], states: States) -> None:
        """Keep what a commit wrote; of more than fit, the last ones."""
        surplus = max(0, len(keys) - self._rows_max)
        keys = keys[surplus:]
        if not keys:
            return
        self._make_room(sum(key not in self._row for key in keys), set(keys))
        rows = np.fromiter((self._row_for(key) for key in keys), np.int64, len(keys))
        self._uses += 1
        self._used[rows] = self._uses
        self._states.steps[rows] = states.steps[surplus:]
        self._states.last_ms[rows] = states.last_ms[surplus:]
        self._states.hidden[rows] = states.hidden[surplus:]

    def drop(self, keys: Sequence[bytes]) -> None:
        """Forget some keys."""
        for key in keys:
            row = self._row.pop(key, None)
            if row is not None:
                self._free.append(row)

    def _row_for(self, key: bytes) -> int:
        row = self._row.get(key)
        if row is None:
            row = self._row[key] = self._free.pop()
        return row

    def _make_room(self, rows: int, wanted: AbstractSet[bytes]) -> None:
        while len(self._free) < rows and len(self._used) < self._rows_max:
            self._grow()
        if len(self._free) < rows:
            self._evict(rows - len(self._free), wanted)

    def _grow(self) -> None:
        old, held = len(self._used), self._states
        new = min(2 * old, self._rows_max)
        more = States.empty(new - old, self._floats)
        self._states = States(
            np.concatenate([held.steps, more.steps]),
            np.concatenate([held.last_ms, more.last_ms]),
            np.concatenate([held.hidden, more.hidden]),
        )
        self._used = np.concatenate([self._used, np.zeros(new - old, np.int64)])
        self._free.extend(range(new - 1, old - 1, -1))

    def _evict(self, rows: int, wanted: AbstractSet[bytes]) -> None:
        """Drop the least recently used but ``wanted``; more than asked, so that it is rare."""
        keys = [key for key in self._row if key not in wanted]
        count = min(len(keys), max(rows, len(self._row) // 8))
        used = self._used[np.fromiter((self._row[key] for key in keys), np.int64, len(keys))]
        oldest = np.argpartition(used, count - 1)[:count]
        self.drop([keys[i] for i in oldest])


async def load_states(
    cache: StateCache,
    codec: StateCodec,
    keys: Sequence[bytes],
    read: Callable[[Sequence[bytes]], Awaitable[list[bytes | None]]],
) -> tuple[NDArray[np.bool_], States]:
    """Load the states of K keys: what the cache lacks is read from the store.

    Args:
        cache: of this partition.
        codec: of its states.
        keys: K distinct keys.
        read: reads some keys from the store.

    Returns:
        Which keys have a state (K,), and the states (K,), zeros where there is none.

    Raises:
        CorruptStateError: a stored state does not decode.
    """
    rows = cache.rows(keys)
    cached = rows >= 0
    hits = int(np.count_nonzero(cached))
    cache.last = (hits, len(keys) - hits)
    held, states = cached.copy(), States.empty(len(keys), codec.floats)
    if cached.any():
        _assign(states, np.flatnonzero(cached), cache.states(rows[cached]))
    missing = np.flatnonzero(~cached)
    if len(missing):
        values = await read([keys[i] for i in missing.tolist()])
        found = missing[[value is not None for value in values]]
        held[found] = True
        _assign(states, found, codec.decode([v for v in values if v is not None]))
    return held, states


def _assign(states: States, rows: NDArray[np.int64], some: States) -> None:
    states.steps[rows] = some.steps
    states.last_ms[rows] = some.last_ms
    states.hidden[rows] = some.hidden
