"""The local cache: hidden states that this worker has committed, as rows of growing arrays.

The cache contains only states that this worker has committed since the partition last found its
start.  A state enters the cache after Redis has answered ``ok``, never before.  Any doubt about the
position clears the cache.
"""

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.store.state import HEADER_BYTES, StateCodec, States

ROWS_INITIAL = 1024
ROW_OVERHEAD_BYTES = 200  # the key, its entry in the dictionary, and its last use


class StateCache:
    """Hidden states of one partition; the least recently used ones are evicted first.

    Args:
        floats: Number of floats of one hidden state, D.
        bytes_max: Maximum size in bytes; 0 disables the cache.

    Attributes:
        last_counts: Numbers of cached keys and of missing keys at the last load.
    """

    def __init__(self, floats: int, bytes_max: int) -> None:
        self._floats = floats
        self._rows_max = self._rows_within(bytes_max)
        self.last_counts = (0, 0)
        self.clear()

    def __len__(self) -> int:
        return len(self._row)

    def _rows_within(self, bytes_max: int) -> int:
        return bytes_max // (4 * self._floats + HEADER_BYTES + ROW_OVERHEAD_BYTES)

    def clear(self) -> None:
        """Remove all states."""
        rows = min(ROWS_INITIAL, self._rows_max)
        self._row: dict[bytes, int] = {}
        self._free = list(range(rows - 1, -1, -1))
        self._states = States.empty(rows, self._floats)
        self._last_use: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._use_count = 0

    def limit(self, bytes_max: int) -> bool:
        """Change the maximum size, and evict the least recently used states beyond it.

        Returns:
            Whether the cache had more rows than it may have now, which takes time.
        """
        self._rows_max = self._rows_within(bytes_max)
        if len(self._last_use) <= self._rows_max:
            return False
        self._shrink()
        return True

    def take_over(self, other: "StateCache") -> None:
        """Store the states of another cache, within the maximum size of this one; empty the other."""
        keys = other.keys()
        self.put(keys, other.states(other.rows(keys)))
        other.clear()

    def keys(self) -> list[bytes]:
        """Return all keys, the least recently used one first."""
        keys = list(self._row)
        order = np.argsort(self._last_use[self.rows(keys)], kind="stable")
        return [keys[i] for i in order.tolist()]

    def _shrink(self) -> None:
        """Evict states and rows beyond the maximum size."""
        limit = self._rows_max
        if len(self._row) > limit:
            self._evict(len(self._row) - limit, frozenset())
        self._free = [row for row in self._free if row < limit]
        beyond = [key for key, row in self._row.items() if row >= limit]
        old = np.array([self._row[key] for key in beyond], np.int64)
        new = np.array([self._free.pop() for _ in beyond], np.int64)
        self._row.update(zip(beyond, new.tolist(), strict=True))
        states = self._states
        columns: list[NDArray[Any]] = [states.steps, states.last_ms, states.hidden, self._last_use]
        for column in columns:
            column[new] = column[old]
            # In place, because the worker may not have the memory for a copy; nobody has a view.
            column.resize((limit, *column.shape[1:]), refcheck=False)

    def rows(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """Return the row of each key; -1 for a key that is not cached."""
        get = self._row.get
        return np.fromiter((get(key, -1) for key in keys), np.int64, len(keys))

    def states(self, rows: NDArray[np.int64]) -> States:
        """Return copies of the states in some rows."""
        self._use_count += 1
        self._last_use[rows] = self._use_count
        current = self._states
        return States(current.steps[rows], current.last_ms[rows], current.hidden[rows])

    def put(self, keys: Sequence[bytes], states: States) -> None:
        """Store the states of a commit; if the cache is too small for all, store the last ones."""
        surplus = max(0, len(keys) - self._rows_max)
        keys = keys[surplus:]
        if not keys:
            return
        self._make_room(sum(key not in self._row for key in keys), set(keys))
        rows = np.fromiter((self._allocate_row(key) for key in keys), np.int64, len(keys))
        self._use_count += 1
        self._last_use[rows] = self._use_count
        self._states.steps[rows] = states.steps[surplus:]
        self._states.last_ms[rows] = states.last_ms[surplus:]
        self._states.hidden[rows] = states.hidden[surplus:]

    def drop(self, keys: Sequence[bytes]) -> None:
        """Remove the states of some keys."""
        for key in keys:
            row = self._row.pop(key, None)
            if row is not None:
                self._free.append(row)

    def _allocate_row(self, key: bytes) -> int:
        row = self._row.get(key)
        if row is None:
            row = self._row[key] = self._free.pop()
        return row

    def _make_room(self, rows: int, protected: AbstractSet[bytes]) -> None:
        while len(self._free) < rows and len(self._last_use) < self._rows_max:
            self._grow()
        if len(self._free) < rows:
            self._evict(rows - len(self._free), protected)

    def _grow(self) -> None:
        old_rows, current = len(self._last_use), self._states
        rows = min(max(2 * old_rows, ROWS_INITIAL), self._rows_max)
        more = States.empty(rows - old_rows, self._floats)
        self._states = States(
            np.concatenate([current.steps, more.steps]),
            np.concatenate([current.last_ms, more.last_ms]),
            np.concatenate([current.hidden, more.hidden]),
        )
        self._last_use = np.concatenate([self._last_use, np.zeros(rows - old_rows, np.int64)])
        self._free.extend(range(rows - 1, old_rows - 1, -1))

    def _evict(self, rows: int, protected: AbstractSet[bytes]) -> None:
        """Remove the least recently used keys: more than needed, so that evictions are rare."""
        keys = [key for key in self._row if key not in protected]
        count = min(len(keys), max(rows, len(self._row) // 8))
        used = self._last_use[np.fromiter((self._row[key] for key in keys), np.int64, len(keys))]
        oldest = np.argpartition(used, count - 1)[:count]
        self.drop([keys[i] for i in oldest])


async def load_states(
    cache: StateCache,
    codec: StateCodec,
    keys: Sequence[bytes],
    read: Callable[[Sequence[bytes]], Awaitable[list[bytes | None]]],
) -> tuple[NDArray[np.bool_], States]:
    """Load the states of K keys from the cache, or from the store if they are not cached.

    Args:
        cache: Cache of the partition.
        codec: Codec of its states.
        keys: K distinct keys.
        read: Reads the states of keys from the store.

    Returns:
        (K,) whether each key has a state; and the states of the K keys, zeros if a key has none.

    Raises:
        CorruptStateError: A stored state cannot be decoded.
    """
    rows = cache.rows(keys)
    cached = rows >= 0
    hits = int(np.count_nonzero(cached))
    cache.last_counts = (hits, len(keys) - hits)
    has_state, states = cached.copy(), States.empty(len(keys), codec.floats)
    if cached.any():
        _assign(states, np.flatnonzero(cached), cache.states(rows[cached]))
    missing = np.flatnonzero(~cached)
    if len(missing):
        values = await read([keys[i] for i in missing.tolist()])
        stored_rows = missing[[value is not None for value in values]]
        has_state[stored_rows] = True
        _assign(states, stored_rows, codec.decode([v for v in values if v is not None]))
    return has_state, states


def _assign(states: States, rows: NDArray[np.int64], values: States) -> None:
    states.steps[rows] = values.steps
    states.last_ms[rows] = values.last_ms
    states.hidden[rows] = values.hidden
