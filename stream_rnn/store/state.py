"""The bytes of a hidden state, and the protocol of a store for one partition of a fold.

A hidden state is a header of 16 bytes and the raw tensor, all little-endian:

    byte 0      version: 1, or 2 if a tail follows h
    byte 1      flags, 0
    bytes 2-3   reserved, 0
    bytes 4-7   steps: number of events in this memory, unsigned
    bytes 8-15  greatest event time in this memory in ms, signed
    bytes 16-   float32: h as (L, H), for an LSTM (2, L, H) with h before c; then the tail

The *tail* is what the features with ``lag = true`` read of the key's last event, followed by y of the
heads with ``surprise = true`` at that event.

The processor uses :class:`Store`; ``store/redis_store.py`` implements it in Redis and
``store/memory_store.py`` in memory, under the same contract tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import CorruptStateError

STATE_VERSION = 1
TAIL_VERSION = 2
HEADER_BYTES = 16
STORE_FORMAT = 1


@dataclass(slots=True)
class States:
    """Hidden states of N keys, by column.

    Attributes:
        steps: (N,) number of events in each memory.
        last_ms: (N,) greatest event time in each memory, in milliseconds.
        hidden: (N, D + E) tensors, each flattened to D floats, and the tails of E floats.
    """

    steps: NDArray[np.int64]
    last_ms: NDArray[np.int64]
    hidden: NDArray[np.float32]

    @classmethod
    def empty(cls, rows: int, floats: int) -> Self:
        """Return ``rows`` states of zeros, without any event."""
        return cls(
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
            np.zeros((rows, floats), np.float32),
        )


class StateCodec:
    """Converts many states to bytes and back.

    Args:
        floats: Number of floats of one hidden state, D.
        tail: Number of floats of its tail, E.

    Attributes:
        floats: Number of floats of one state, D + E.
        version: Version of the bytes.
        state_bytes: Number of bytes of one state.
    """

    def __init__(self, floats: int, tail: int = 0) -> None:
        self.floats = floats = floats + tail
        self.version = TAIL_VERSION if tail else STATE_VERSION
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
        packed["version"] = self.version
        packed["steps"] = states.steps
        packed["last_ms"] = states.last_ms
        packed["hidden"] = states.hidden
        raw, size = packed.tobytes(), self.state_bytes
        return [raw[start : start + size] for start in range(0, len(raw), size)]

    def decode(self, values: Sequence[bytes]) -> States:
        """Return the states that some bytes encode.

        Raises:
            CorruptStateError: The size, the version or the flags are wrong, or a number is not
                finite.
        """
        sizes = {len(value) for value in values} - {self.state_bytes}
        if sizes:
            message = f"a hidden state has {sizes.pop()} bytes, not {self.state_bytes}"
            raise CorruptStateError(message)
        packed = np.frombuffer(b"".join(values), self._dtype)
        known = (packed["version"] == self.version) & (packed["flags"] == 0)
        if not known.all():
            version = int(packed["version"][int(np.argmin(known))])
            raise CorruptStateError(f"a hidden state has version {version}, not {self.version}")
        hidden = packed["hidden"].astype(np.float32)
        if not np.isfinite(hidden).all():
            raise CorruptStateError("a hidden state contains a number that is not finite")
        return States(packed["steps"].astype(np.int64), packed["last_ms"].astype(np.int64), hidden)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The identity of the last folded record, by which recovery recognizes a recreated log.

    Attributes:
        offset: Offset of the record.
        timestamp: Timestamp of the record in milliseconds.
        crc: CRC-32 of the key and the value of the record.
    """

    offset: int
    timestamp: int
    crc: int

    def __str__(self) -> str:
        return f"{self.offset} {self.timestamp} {self.crc}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse the output of ``str``; an empty text is no anchor."""
        return cls(*(int(part) for part in text.split())) if text else None


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """The store's contents except the hidden states, from one atomic read.

    Attributes:
        position: Next offset to fold; ``None`` before the first start.
        origin: First offset of the fold; ``None`` before the first start.
        anchor: Anchor of the last folded record, if any.
        keys: Number of hidden states that the last commit counted.
        fields: Number of hidden states in the store.
        stream_time_ms: Stream time in milliseconds; ``None`` before the first event.
        partitions: Number of partitions of the source when the fold began.
        numerics: Identifier of the torch build, numpy version and CPU type of the last commit.
        lost: Description of the history that was given up when the fold began; empty if none.
        is_corrupt: Whether a hidden state could not be decoded; set by recovery.
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
        """Whether another program changed, added or removed hidden states."""
        return self.is_corrupt or self.fields != (self.keys if self.position is not None else 0)


@dataclass(frozen=True, slots=True)
class FirstPosition:
    """The first position of a fold; see ``start.lua``."""

    position: int
    origin: int
    partitions: int
    numerics: str
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """The writes of one micro-batch; see ``commit.lua``."""

    expected_position: int
    origin: int
    position: int
    anchor: Anchor | None
    stream_time_ms: int | None
    numerics: str
    writes: Sequence[tuple[bytes, bytes]]
    deletes: Sequence[bytes]


NO_COMMIT = Commit(
    expected_position=-1,  # which no store has, so every store answers "moved" and writes nothing
    origin=-1,
    position=0,
    anchor=None,
    stream_time_ms=None,
    numerics="",
    writes=(),
    deletes=(),
)


class Store(Protocol):
    """The hidden states of one fold of one partition."""

    async def read(self) -> StoredPosition:
        """Read everything except the hidden states, atomically."""

    async def load(self, position: int, origin: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the hidden states of some keys, atomically with the position.

        Raises:
            MovedError: Position or origin is not the expected one.
            TornError: The number of hidden states is not the committed one.
        """

    async def start(self, seen: StoredPosition, first: FirstPosition) -> None:
        """Delete everything and write the first position, if nothing changed since ``seen``.

        Raises:
            MovedError: Something has changed.
        """

    async def commit(self, commit: Commit) -> None:
        """Write hidden states and position, if the position is the expected one.

        The new position may be the expected one: such a commit only deletes expired states.  A commit whose reply was lost may have been applied; a repetition then raises
        ``MovedError``.

        Raises:
            MovedError: Position or origin is not the expected one.
            TornError: The number of hidden states is not the committed one.
        """

    async def drop_seen(self, seen: StoredPosition) -> None:
        """Delete everything, if nothing changed since ``seen``.

        A drop whose reply was lost may have been applied; a repetition then raises ``MovedError``.
        Only the end of a roll-out calls this, for a fold that no worker runs any more.

        Raises:
            MovedError: Something has changed.
        """

    async def scan(
        self, position: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Read about ``count`` hidden states from a cursor on, atomically with the position.

        The cursor 0 begins a scan, and a returned 0 ends it.

        Raises:
            MovedError: The position is not the expected one.
        """
