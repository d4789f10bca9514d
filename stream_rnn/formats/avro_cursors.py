"""Cursors over many Avro bodies: one operation on whole arrays reads a value of every body.

Each body has a cursor of its own, which never leaves it.  So a bad body cannot shift its
neighbours, and whether a body is valid depends on its own bytes alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from stream_rnn.formats.avro_content import INT_MAX, INT_MIN

PAD = bytes(16)
Rows = NDArray[np.intp] | None
"""Some of the bodies; ``None`` for all of them."""

_LOW7 = np.uint64(0x7F7F7F7F7F7F7F7F)
_STOPS = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
_STEPS = [  # (kept, moved, by) to close the gaps of 1, 2 and 4 bits between groups of 7 bits
    (np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00), np.uint64(1)),
    (np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000), np.uint64(2)),
    (np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000), np.uint64(4)),
]


class Bodies:
    """N values of records in one buffer, which ends in some zeros.

    Args:
        values: The values.

    Attributes:
        values: As above.
        data: The buffer.
        start: (N,) Where each value begins.
        end: (N,) Where each value ends.
    """

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values = values
        self.data = b"".join((*values, PAD))
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        self.end = np.cumsum(sizes)
        self.start = self.end - sizes

    def all_begin_with(self, prefix: bytes) -> bool:
        """Return whether all values begin with the same bytes, at most 8."""
        if (self.end - self.start).min() < len(prefix):
            return False
        words = np.ndarray((len(self.data) - 7,), ">u8", self.data, strides=(1,))
        shift = np.uint64(64 - 8 * len(prefix))
        wanted = int.from_bytes(prefix, "big")
        return bool((words[self.start] >> shift == wanted).all())


class Cursors:
    """The cursors over N bodies in one buffer.

    Args:
        bodies: The bodies.
        skip: Bytes of the frame before each body.
    """

    def __init__(self, bodies: Bodies, skip: int) -> None:
        self.data, self.end = bodies.data, bodies.end
        self.at = bodies.start + skip
        self.bad = self.at > self.end
        self.at[self.bad] = self.end[self.bad]
        self.depth = 0
        size = len(self.data)
        self._bytes = np.frombuffer(self.data, np.uint8)
        self._signed = self._bytes.view(np.int8)
        # Views of the buffer in which element i consists of the bytes from i on.
        self._words = np.ndarray((size - 7,), "<u8", self.data, strides=(1,))
        self._doubles = np.ndarray((size - 7,), "<f8", self.data, strides=(1,))
        self._floats = np.ndarray((size - 3,), "<f4", self.data, strides=(1,))

    def __len__(self) -> int:
        return len(self.end)

    def starts(self, rows: Rows) -> NDArray[np.int64]:
        """Return where the cursors are."""
        return self.at if rows is None else self.at[rows]

    def move(self, rows: Rows, to: NDArray[np.int64]) -> None:
        """Move cursors; a body whose cursor would leave it is bad."""
        end = self.end if rows is None else self.end[rows]
        beyond = to > end
        if beyond.any():
            self.give_up(rows, beyond)
            to = np.where(beyond, end, to)
        if rows is None:
            self.at = to
        else:
            self.at[rows] = to

    def give_up(self, rows: Rows, which: NDArray[np.bool_]) -> None:
        """Mark bodies as bad, and let their cursors stay at the end."""
        chosen = np.flatnonzero(which) if rows is None else rows[which]
        self.bad[chosen] = True
        self.at[chosen] = self.end[chosen]

    def varint(self, rows: Rows) -> NDArray[np.int64]:
        """Read an integer of up to 64 bits."""
        start = self.starts(rows)
        first = self._signed[start]
        if (first >= 0).all():  # all have one byte, as most lengths and branches do
            self.move(rows, start + 1)
            return ((first >> 1) ^ -(first & 1)).astype(np.int64)
        words = self._words[start]
        stops = ~words & _STOPS
        lowest = stops & (~stops + _ONE)
        mask = (lowest << _ONE) - _ONE  # all bits up to the end of the integer
        groups = words & mask & _LOW7
        for kept, moved, by in _STEPS:
            groups = (groups & kept) | ((groups & moved) >> by)
        to = start + (np.bitwise_count(mask) >> 3)
        if (is_long := stops == 0).any():
            self._finish_long(rows, is_long, groups, to)
        numbers = (groups >> _ONE) ^ (~(groups & _ONE) + _ONE)
        self.move(rows, to)
        signed: NDArray[np.int64] = numbers.view(np.int64)
        return signed

    def _finish_long(
        self,
        rows: Rows,
        is_long: NDArray[np.bool_],
        groups: NDArray[np.uint64],
        to: NDArray[np.int64],
    ) -> None:
        """Read the ninth and the tenth byte of integers that have more than 8 bytes."""
        ninth = self._bytes[to[is_long]].astype(np.uint64)
        tenth = self._bytes[to[is_long] + 1].astype(np.uint64)
        has_ten = ninth > 0x7F
        groups[is_long] |= (ninth & np.uint64(0x7F)) << np.uint64(56)
        groups[is_long] |= np.where(has_ten, tenth << np.uint64(63), np.uint64(0))
        to[is_long] += 1 + has_ten
        too_long = np.zeros(len(is_long), bool)
        too_long[is_long] = has_ten & (tenth > 1)
        if too_long.any():
            self.give_up(rows, too_long)
            to[too_long] = (self.end if rows is None else self.end[rows])[too_long]

    def int32(self, rows: Rows) -> NDArray[np.int64]:
        """Read an integer of up to 32 bits."""
        numbers = self.varint(rows)
        outside = (numbers < INT_MIN) | (numbers > INT_MAX)
        if outside.any():
            self.give_up(rows, outside)
        return numbers

    def index(self, rows: Rows, count: int) -> NDArray[np.int64]:
        """Read the number of a branch or of a symbol."""
        numbers = self.varint(rows)
        outside = (numbers < 0) | (numbers >= count)
        if outside.any():
            self.give_up(rows, outside)
            numbers = np.where(outside, 0, numbers)
        return numbers

    def boolean(self, rows: Rows) -> NDArray[np.bool_]:
        """Read a boolean."""
        start = self.starts(rows)
        read = self._bytes[start]
        self.move(rows, start + 1)
        if (outside := read > 1).any():
            self.give_up(rows, outside)
        return read.astype(bool)

    def real(self, rows: Rows, *, is_double: bool) -> NDArray[np.float64]:
        """Read a floating-point number."""
        start = self.starts(rows)
        with np.errstate(invalid="ignore"):  # of a signalling NaN
            read = (self._doubles if is_double else self._floats)[start].astype(np.float64)
        self.move(rows, start + (8 if is_double else 4))
        return read

    def span(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Read a length, and return where the bytes of that length begin and end."""
        length = self.varint(rows)
        start = self.starts(rows)
        end = self.end if rows is None else self.end[rows]
        outside = (length < 0) | (length > end - start)
        if outside.any():
            self.give_up(rows, outside)
            start = self.starts(rows)
            length = np.where(outside, 0, length)
        to = start + length
        self.move(rows, to)
        return start, to

    def slices(self, rows: Rows) -> list[bytes]:
        """Read a length, and return the bytes of that length."""
        starts, ends = self.span(rows)
        data = self.data
        return [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def alive(self, rows: Rows, which: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return those of the chosen bodies that are not bad."""
        chosen = np.flatnonzero(which) if rows is None else rows[which]
        return chosen[~self.bad[chosen]]

    @contextmanager
    def nested(self, rows: Rows, limit: int) -> Iterator[bool]:
        """Count how deeply values are nested; beyond the limit, give up, and yield ``False``."""
        self.depth += 1
        is_allowed = self.depth <= limit
        if not is_allowed:
            self.give_up(rows, np.ones(len(self.starts(rows)), bool))
        yield is_allowed
        self.depth -= 1
