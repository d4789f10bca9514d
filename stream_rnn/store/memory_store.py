"""The store in memory: for replays, which write nowhere, and for tests."""

from collections.abc import Sequence
from copy import deepcopy

from stream_rnn.errors import MovedError, TornError
from stream_rnn.store.state import Commit, FirstPosition, StoredPosition


class MemoryStore:
    """A :class:`stream_rnn.store.state.Store` in memory, which can return to an earlier state."""

    def __init__(self) -> None:
        self.stored = StoredPosition()
        self.states: dict[bytes, bytes] = {}
        self._scanned: list[bytes] = []

    async def read(self) -> StoredPosition:
        """Read everything except the hidden states."""
        return self._read_position()

    async def load(self, position: int, origin: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the hidden states of some keys."""
        self._check(position, origin)
        return [self.states.get(key) for key in keys]

    async def start(self, seen: StoredPosition, first: FirstPosition) -> None:
        """Delete everything and write the first position, if nothing changed since ``seen``."""
        await self.drop_seen(seen)
        self.stored = StoredPosition(
            first.position,
            first.origin,
            partitions=first.partitions,
            numerics=first.numerics,
            lost=first.lost,
        )

    async def commit(self, commit: Commit) -> None:
        """Write hidden states and position, if the position is the expected one."""
        self._check(commit.expected_position, commit.origin)
        self.states.update(commit.writes)
        for key in commit.deletes:
            self.states.pop(key, None)
        self.stored = StoredPosition(
            position=commit.position,
            origin=commit.origin,
            anchor=commit.anchor,
            keys=len(self.states),
            fields=len(self.states),
            stream_time_ms=commit.stream_time_ms,
            partitions=self.stored.partitions,
            numerics=commit.numerics,
            lost=self.stored.lost,
        )

    async def drop_seen(self, seen: StoredPosition) -> None:
        """Delete everything, if nothing changed since ``seen``."""
        current = self._read_position()
        expected = (seen.position, seen.origin, seen.fields)
        if (current.position, current.origin, current.fields) != expected:
            raise MovedError(f"the position is {current.position}, expected {seen.position}")
        self.stored, self.states = StoredPosition(), {}

    async def scan(
        self, position: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Read some hidden states from a cursor on."""
        if self.stored.position != position:
            raise MovedError(f"the position is {self.stored.position}, expected {position}")
        if not cursor:
            self._scanned = list(self.states)
        after = cursor + count
        page = [
            (key, self.states[key]) for key in self._scanned[cursor:after] if key in self.states
        ]
        return (0 if after >= len(self._scanned) else after), page

    def copy(self) -> "MemoryStore":
        """Return a copy for :meth:`restore`."""
        return deepcopy(self)

    def restore(self, older: "MemoryStore") -> None:
        """Return to the state at which ``older`` was copied."""
        self.stored, self.states = older.stored, dict(older.states)

    def _read_position(self) -> StoredPosition:
        stored = self.stored
        return StoredPosition(
            position=stored.position,
            origin=stored.origin,
            anchor=stored.anchor,
            keys=stored.keys,
            fields=len(self.states),
            stream_time_ms=stored.stream_time_ms,
            partitions=stored.partitions,
            numerics=stored.numerics,
            lost=stored.lost,
        )

    def _check(self, position: int, origin: int) -> None:
        stored = self.stored
        if (stored.position, stored.origin) != (position, origin):
            raise MovedError(f"the position is {stored.position}, expected {position}")
        if len(self.states) != stored.keys:
            raise TornError(f"{len(self.states)} hidden states, expected {stored.keys}")
