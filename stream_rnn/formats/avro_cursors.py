"""Cursors over many Avro bodies: one operation on whole arrays reads a value of every body.

Each body has a cursor of its own, which only moves forward.  A cursor that has left its body can
never stand at the end of it again, so the body is bad, whatever the bytes behind it are.  So a bad
body cannot shift its neighbours, and whether a body is valid depends on its own bytes alone.

All cursors often move by the same number of bytes: such a move only adds to one number.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream_rnn.formats.avro_content import CONTINUES, INT_MAX, INT_MIN

SHIFT_MAX = 64
"""Bytes that cursors may move together before they are compared with the ends of their bodies."""
PAD = bytes(SHIFT_MAX + 32)
"""Zeros behind the last body, for cursors that have left it and for reads of whole words."""
Rows = NDArray[np.intp] | None
"""Some of the bodies; ``None`` for all of them."""

_LOW7 = np.uint64(0x7F7F7F7F7F7F7F7F)
_STOPS = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
_STEPS = [  # (moved, by) to close the gaps of 1, 2 and 4 bits between groups of 7 bits
    (np.uint64(0x7F007F007F007F00), np.uint64(1)),
    (np.uint64(0x3FFF00003FFF0000), np.uint64(2)),
    (np.uint64(0x0FFFFFFF00000000), np.uint64(4)),
]
_SIZES = [  # (stops, expected, kept) of a word that begins with an integer of 0, 1, ... 8 bytes
    (
        np.uint64(0x8080808080808080 & mask),
        np.uint64(0x8080808080808080 & mask >> 8),
        np.uint64(0x7F7F7F7F7F7F7F7F & mask),
    )
    for mask in ((1 << 8 * size) - 1 for size in range(9))
]
_ZIGZAG = np.array([(byte >> 1) ^ -(byte & 1) for byte in range(CONTINUES)], np.int64)
_INT_BYTES, _LONG_BYTES = 4, 8
"""Bytes of an integer up to which it cannot be outside of the range of its type."""
_NONE = np.empty(0, np.int64)


@lru_cache(maxsize=256)
def _index_table(count: int) -> NDArray[np.int64]:
    """Return the index that each first byte stands for; -1 if it is none, or has more bytes."""
    table = np.full(256, -1, np.int64)
    even = 2 * np.arange(min(count, CONTINUES // 2))
    table[even] = even // 2
    return table


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

    def longest(self) -> int:
        """Return the bytes of the longest value."""
        return int((self.end - self.start).max())

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

    Attributes:
        data: The buffer.
        end: (N,) Where each body ends.
        bad: (N,) Bodies that are given up so far.
        depth: How deeply the values that are read are nested.
        passes: Items of arrays and maps that are read so far, each in some bodies at once.
    """

    def __init__(self, bodies: Bodies, skip: int) -> None:
        self.data, self.end = bodies.data, bodies.end
        # A cursor stands at its base plus the shift that all have in common.
        self._base, self._shift = bodies.start + skip, 0
        self.bad = self._base > self.end
        self._base[self.bad] = self.end[self.bad]
        self.depth = self.passes = 0
        size = len(self.data)
        self._bytes = np.frombuffer(self.data, np.uint8)
        # Views of the buffer in which element i consists of the bytes from i on.
        self._words = np.ndarray((size - 7,), "<u8", self.data, strides=(1,))
        self._doubles = np.ndarray((size - 7,), "<f8", self.data, strides=(1,))
        self._floats = np.ndarray((size - 3,), "<f4", self.data, strides=(1,))

    def __len__(self) -> int:
        return len(self.end)

    def starts(self, rows: Rows) -> NDArray[np.int64]:
        """Return where the cursors are, none of them outside of its body."""
        if self._shift:
            self.move(None, self._base + self._shift)
        return self._base if rows is None else self._base[rows]

    def move(self, rows: Rows, to: NDArray[np.int64]) -> None:
        """Move cursors; a body whose cursor would leave it is bad."""
        end = self.end if rows is None else self.end[rows]
        beyond = to > end
        if beyond.any():
            self.give_up(rows, beyond)
            to = np.where(beyond, end, to)
        if rows is None:
            self._base, self._shift = to, 0
        else:
            self._base[rows] = to

    def skip(self, rows: Rows, size: int) -> None:
        """Move cursors by the same number of bytes."""
        if rows is not None or size > SHIFT_MAX:
            self.move(rows, self.starts(rows) + size)
            return
        if self._shift + size > SHIFT_MAX:
            self.starts(None)
        self._shift += size

    def give_up(self, rows: Rows, which: NDArray[np.bool_]) -> None:
        """Mark bodies as bad, and move their cursors to the end."""
        chosen = np.flatnonzero(which) if rows is None else rows[which]
        self.bad[chosen] = True
        self._base[chosen] = self.end[chosen] - self._shift

    def given_up(self) -> NDArray[np.bool_]:
        """Return the bodies that are bad, or do not end where their cursors are."""
        is_elsewhere: NDArray[np.bool_] = self.starts(None) != self.end
        return self.bad | is_elsewhere

    def varint(self, rows: Rows) -> NDArray[np.int64]:
        """Read an integer of up to 64 bits."""
        if rows is None and (numbers := self._alike(_LONG_BYTES)) is not None:
            return numbers
        start = self.starts(rows)
        first = self._bytes[start]
        if first.max(initial=0) < CONTINUES:  # all have one byte, as most lengths and branches do
            self.move(rows, start + 1)
            return _ZIGZAG[first]
        words = self._words[start]
        stops = ~words & _STOPS
        lowest = stops & (~stops + _ONE)
        mask = (lowest << _ONE) - _ONE  # all bits up to the end of the integer
        groups = _close_gaps(words & mask & _LOW7, _LONG_BYTES)
        to = start + (np.bitwise_count(mask) >> 3)
        if (is_long := stops == 0).any():
            self._finish_long(rows, is_long, groups, to)
        self.move(rows, to)
        return _signed(groups)

    def _alike(self, bytes_max: int, *, is_read: bool = True) -> NDArray[np.int64] | None:
        """Read an integer of all bodies, if all have 1 or 2 bytes, or all the same number of them.

        Args:
            bytes_max: Maximum number of bytes, up to 8.
            is_read: Whether the integers are wanted.

        Returns:
            (N,) Integers, without meaning if they are not wanted; ``None``, and no cursor has
            moved, if they have other numbers of bytes.
        """
        word = int(self._words[self._base[0] + self._shift])
        stops = ~word & int(_STOPS)
        size = (stops & -stops).bit_length() // 8  # of the first one; 0 for more than 8
        if size > 2:
            words = self._words[self._shift :][self._base]
            marks, expected, kept = _SIZES[size]
            if size > bytes_max or not (words & marks == expected).all():
                return None
            self.skip(None, size)
            return _signed(_close_gaps(words & kept, size)) if is_read else _NONE
        first = self._bytes[self._shift :].take(self._base)
        if first.max() < CONTINUES:
            self.skip(None, 1)
            return _ZIGZAG.take(first) if is_read else _NONE
        second = self._bytes[self._shift + 1 :].take(self._base)
        if (first & second).max() >= CONTINUES:
            return None
        has_two = first >> 7
        self.move(None, self._base + (self._shift + 1) + has_two)
        if not is_read:
            return _NONE
        groups = (first & 0x7F) + (second.astype(np.int16) << 7) * has_two
        return ((groups >> 1) ^ -(groups & 1)).astype(np.int64)

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
        if rows is None and (numbers := self._alike(_INT_BYTES)) is not None:
            return numbers
        numbers = self.varint(rows)
        outside = (numbers < INT_MIN) | (numbers > INT_MAX)
        if outside.any():
            self.give_up(rows, outside)
        return numbers

    def skip_int32(self, rows: Rows) -> None:
        """Move behind an integer of up to 32 bits."""
        if rows is not None or self._alike(_INT_BYTES, is_read=False) is None:
            self.int32(rows)

    def skip_varint(self, rows: Rows) -> None:
        """Move behind an integer of up to 64 bits."""
        if rows is not None or self._alike(_LONG_BYTES, is_read=False) is None:
            self.varint(rows)

    def index(self, rows: Rows, count: int) -> NDArray[np.int64]:
        """Read the number of a branch or of a symbol."""
        if rows is None:
            numbers = _index_table(count).take(self._bytes[self._shift :].take(self._base))
            if numbers.min() >= 0:
                self.skip(None, 1)
                return numbers
        numbers = self.varint(rows)
        outside = (numbers < 0) | (numbers >= count)
        if outside.any():
            self.give_up(rows, outside)
            numbers = np.where(outside, 0, numbers)
        return numbers

    def boolean(self, rows: Rows) -> NDArray[np.bool_]:
        """Read a boolean."""
        if rows is None:
            read = self._bytes[self._shift :].take(self._base)
        else:
            read = self._bytes[self.starts(rows)]
        self.skip(rows, 1)
        if read.max(initial=0) > 1:
            self.give_up(rows, read > 1)
        return read.astype(bool)

    def real(self, rows: Rows, *, is_double: bool) -> NDArray[np.float64]:
        """Read a floating-point number."""
        numbers = self._doubles if is_double else self._floats
        read = numbers[self._shift :][self._base] if rows is None else numbers[self.starts(rows)]
        self.skip(rows, numbers.itemsize)
        if is_double:
            return read.astype(np.float64, copy=False)
        with np.errstate(invalid="ignore"):  # of a signalling NaN
            return read.astype(np.float64)

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
        if rows is None:
            self._base = to  # the shift is 0 since the starts are known
        else:
            self._base[rows] = to
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


def _close_gaps(groups: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Return integers from their groups of 7 bits in up to 8 bytes."""
    for moved, by in _STEPS[: (size - 1).bit_length()]:
        groups = groups - (high := groups & moved) + (high >> by)
    return groups


def _signed(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the signed numbers that unsigned ones stand for: 0, -1, 1, -2, ..."""
    signed: NDArray[np.int64] = ((numbers >> _ONE) ^ (~(numbers & _ONE) + _ONE)).view(np.int64)
    return signed
