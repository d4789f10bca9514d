"""What a fold keeps per partition: the bytes of a hidden state, and the store that holds them.

A hidden state is 16 bytes of header and the raw tensor, all little-endian:

    byte 0      version, 1
    byte 1      flags, 0
    bytes 2-3   reserved, 0
    bytes 4-7   steps: events in this memory, unsigned
    bytes 8-15  time of its last event in ms, signed: the maximum of its events' times
    bytes 16-   float32: h as (L, H), for an LSTM (2, L, H) with h before c

:class:`Store` is what the processor asks for; ``store/redis_store.py`` keeps it in Redis and
``testing.py`` in memory, under the same contract tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import CorruptStateError

STATE_VERSION = 1
HEADER_BYTES = 16
STORE_FORMAT = 1


@dataclass(slots=True)
class States:
    """Hidden states of N keys, by column.

    Attributes:
        steps: (N,) events in each memory.
        last_ms: (N,) time of the last event of each memory.
        hidden: (N, D) the tensors, each flattened to D floats.
    """

    steps: NDArray[np.int64]
    last_ms: NDArray[np.int64]
    hidden: NDArray[np.float32]

    @classmethod
    def empty(cls, rows: int, floats: int) -> Self:
        """Make N states of no event: zeros."""
        return cls(
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
            np.zeros((rows, floats), np.float32),
        )


class StateCodec:
    """Turns states into bytes and back, many at a time.

    Args:
        floats: D, the floats of one hidden state.
    """

    def __init__(self, floats: int) -> None:
        self.floats = floats
        self.state_bytes = HEADER_BYTES + 4 * floats
        self._dtype = np.dtype(
            [
                ("version", "u1"),
                ("flags", "u1"),
                ("reserved", "<u2"),
                ("steps", "<u4"),
                ("last_ms", "<i8"),
                ("hidden", "<f4", (floats,)),
            ]
        )

    def encode(self, states: States) -> list[bytes]:
        """Return the bytes of each state."""
        assert states.hidden.shape == (len(states.steps), self.floats)
        assert states.hidden.dtype == np.float32
        packed = np.zeros(len(states.steps), self._dtype)
        packed["version"] = STATE_VERSION
        packed["steps"] = states.steps
        packed["last_ms"] = states.last_ms
        packed["hidden"] = states.hidden
        raw, size = packed.tobytes(), self.state_bytes
        return [raw[start : start + size] for start in range(0, len(raw), size)]

    def decode(self, values: Sequence[bytes]) -> States:
        """Return the states that some bytes are.

        Raises:
            CorruptStateError: wrong size, version or flags, or a number that is not finite.
        """
        sizes = {len(value) for value in values} - {self.state_bytes}
        if sizes:
            message = f"a hidden state has {sizes.pop()} bytes, not {self.state_bytes}"
            raise CorruptStateError(message)
        packed = np.frombuffer(b"".join(values), self._dtype)
        known = (packed["version"] == STATE_VERSION) & (packed["flags"] == 0)
        if not known.all():
            version = int(packed["version"][int(np.argmin(known))])
            raise CorruptStateError(f"a hidden state has version {version}, not {STATE_VERSION}")
        hidden = packed["hidden"].astype(np.float32)
        if not np.isfinite(hidden).all():
            raise CorruptStateError("a hidden state holds a number that is not finite")
        return States(packed["steps"].astype(np.int64), packed["last_ms"].astype(np.int64), hidden)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last folded record: tells a recreated log from the old one."""

    offset: int
    timestamp: int
    crc: int

    def __str__(self) -> str:
        return f"{self.offset} {self.timestamp} {self.crc}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what ``str`` wrote; an empty text is no anchor."""
        return cls(*(int(part) for part in text.split())) if text else None


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """What one atomic read of the store found.

    Attributes:
        position: the next offset to fold, or ``None``.
        origin: the first offset of the fold, or ``None``.
        anchor: the last folded record, if there was one.
        keys: hidden states there should be, counted by the commits.
        fields: hidden states there are.
        stream_time_ms: stream time, or ``None`` before any event has moved it.
        partitions: partitions of the source when the fold began, or ``None``.
        numerics: fingerprint of the numerics of the last commit.
        lost: what history was given up when the fold began; empty if none.
        is_corrupt: a hidden state was read that does not decode.
    """

    position: int | None = None
    origin: int | None = None
    anchor: Anchor | None = None
    keys: int = 0
    fields: int = 0
    stream_time_ms: int | None = None
    partitions: int | None = None
    numerics: str = ""
    lost: str = ""
    is_corrupt: bool = False

    @property
    def is_torn(self) -> bool:
        """Whether something else changed, added or took away hidden states."""
        return self.is_corrupt or self.fields != (self.keys if self.position is not None else 0)


@dataclass(frozen=True, slots=True)
class FirstPosition:
    """The begin of a fold; see ``start.lua``."""

    position: int
    origin: int
    partitions: int
    numerics: str
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one micro-batch leaves behind; see ``commit.lua``."""

    expected_position: int
    origin: int
    position: int
    anchor: Anchor | None
    stream_time_ms: int | None
    numerics: str
    writes: Sequence[tuple[bytes, bytes]]
    deletes: Sequence[bytes]


class Store(Protocol):
    """The hidden states of one fold of one partition."""

    async def read(self) -> StoredPosition:
        """Read all but the states, atomically."""

    async def load(self, position: int, origin: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the states of some keys, atomically with the position.

        Raises:
            MovedError: position or origin is another one.
            TornError: the count of hidden states is off.
        """

    async def start(self, seen: StoredPosition, first: FirstPosition) -> None:
        """Drop everything and write the first position, if nothing changed since ``seen``.

        Raises:
            MovedError: something changed.
        """

    async def commit(self, commit: Commit) -> None:
        """Write states and position if the position is the expected one.

        A commit whose answer was lost may have been applied: the next one is then moved.

        Raises:
            MovedError: position or origin is another one.
            TornError: the count of hidden states is off.
        """

    async def scan(
        self, position: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Read some ``count`` hidden states from a cursor on, for the sweep; 0 begins and ends.

        Raises:
            MovedError: the position is another one.
        """
