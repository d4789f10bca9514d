"""The store in memory: for replay, which writes nowhere, and for tests."""

from collections.abc import Sequence
from copy import deepcopy

from stream_rnn.errors import MovedError, TornError
from stream_rnn.store.state import Commit, FirstPosition, StoredPosition


class MemoryStore:
    """A :class:`stream_rnn.store.state.Store` in memory; it can fall back to what it was."""

    def __init__(self) -> None:
        self.held = StoredPosition()
        self.states: dict[bytes, bytes] = {}

    async def read(self) -> StoredPosition:
        """Read all but the states."""
        return self._seen()

    async def load(self, position: int, origin: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the states of some keys."""
        self._check(position, origin)
        return [self.states.get(key) for key in keys]

    async def start(self, seen: StoredPosition, first: FirstPosition) -> None:
        """Drop everything and write the first position, if nothing changed since ``seen``."""
        now = self._seen()
        if (now.position, now.origin, now.fields) != (seen.position, seen.origin, seen.fields):
            raise MovedError(f"the position is {now.position}, seen was {seen.position}")
        self.states = {}
        self.held = StoredPosition(
            first.position,
            first.origin,
            partitions=first.partitions,
            numerics=first.numerics,
            lost=first.lost,
        )

    async def commit(self, commit: Commit) -> None:
        """Write states and position if the position is the expected one."""
        self._check(commit.expected_position, commit.origin)
        self.states.update(commit.writes)
        for key in commit.deletes:
            self.states.pop(key, None)
        self.held = StoredPosition(
            position=commit.position,
            origin=commit.origin,
            anchor=commit.anchor,
            keys=len(self.states),
            fields=len(self.states),
            stream_time_ms=commit.stream_time_ms,
            partitions=self.held.partitions,
            numerics=commit.numerics,
            lost=self.held.lost,
        )

    async def scan(
        self, position: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Read some hidden states from a cursor on."""
        if self.held.position != position:
            raise MovedError(f"the position is {self.held.position}, expected {position}")
        found = list(self.states.items())[cursor : cursor + count]
        after = cursor + len(found)
        return (0 if after >= len(self.states) else after), found

    def copy(self) -> "MemoryStore":
        """Return what this store is now; ``restore`` goes back to it."""
        return deepcopy(self)

    def restore(self, older: "MemoryStore") -> None:
        """Become what the store was when ``older`` was copied from it."""
        self.held, self.states = older.held, dict(older.states)

    def _seen(self) -> StoredPosition:
        held = self.held
        return StoredPosition(
            position=held.position,
            origin=held.origin,
            anchor=held.anchor,
            keys=held.keys,
            fields=len(self.states),
            stream_time_ms=held.stream_time_ms,
            partitions=held.partitions,
            numerics=held.numerics,
            lost=held.lost,
        )

    def _check(self, position: int, origin: int) -> None:
        held = self.held
        if (held.position, held.origin) != (position, origin):
            raise MovedError(f"the position is {held.position}, expected {position}")
        if len(self.states) != held.keys:
            raise TornError(f"{len(self.states)} hidden states, expected {held.keys}")
