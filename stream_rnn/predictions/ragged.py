"""Rows of bytes of different lengths, built column by column with numpy.

A column is a matrix of bytes with one row for each prediction.  ``join`` puts columns side by side
and returns the bytes of all rows, one after the other.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

VARINT_BYTES_MAX = 10
VARIABLE_MAX, GROUPS_MAX, SHAPES_MAX = 4, 4, 20_000
"""Columns of different lengths, groups of rows with equal lengths, and their numbers, up to which
rows are built group by group."""
Bytes = NDArray[np.uint8]
Lengths = NDArray[np.int64]


class Column(NamedTuple):
    """A column of N rows.

    Attributes:
        data: (N, W) bytes; those behind the length of a row have no meaning.
        lengths: (N,) number of bytes of each row; ``None`` if it is W for all.
    """

    data: Bytes
    lengths: Lengths | None = None


def constant(value: bytes, count: int) -> Column:
    """Return N equal rows."""
    row = np.frombuffer(value, np.uint8)
    return Column(np.broadcast_to(row, (count, len(value))))


def floats(values: NDArray[np.float32]) -> Column:
    """Return (N,) numbers as float32 in little-endian order."""
    return Column(np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4))


def varints(values: NDArray[np.uint64]) -> Column:
    """Return (N,) numbers with seven bits in each byte, the lowest first."""
    least, most = (int(one) for one in (values.min(initial=values[0]), values.max(initial=0)))
    width = _varint_bytes(most)
    data = np.empty((len(values), width), np.uint8)
    for byte in range(width):
        data[:, byte] = values >> np.uint64(7 * byte)
    data[:, :-1] |= 0x80
    data[:, -1] &= 0x7F
    if _varint_bytes(least) == width:
        return Column(data)
    limits = np.array([1 << 7 * byte for byte in range(1, width)], np.uint64)
    lengths = 1 + np.searchsorted(limits, values, side="right")
    data[np.arange(len(values)), lengths - 1] &= 0x7F
    return Column(data, lengths)


def _varint_bytes(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))


def zigzag(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Map signed numbers to unsigned ones of similar size: 0, -1, 1, -2, ..."""
    return ((values << 1) ^ (values >> 63)).view(np.uint64)


def encode_varint(value: int) -> bytes:
    r"""Return one number of seven bits in each byte.

    Example:
        >>> encode_varint(300)
        b'\xac\x02'
    """
    groups = []
    while True:
        value, group = value >> 7, value & 0x7F
        groups.append(group | (0x80 if value else 0))
        if not value:
            return bytes(groups)


class Table(NamedTuple):
    """Texts, to be chosen by number.

    Attributes:
        data: (C, W) bytes.
        lengths: (C,) number of bytes of each text.
    """

    data: Bytes
    lengths: Lengths

    def choose(self, numbers: NDArray[np.int64]) -> Column:
        """Return the text of each row."""
        return Column(self.data[numbers], self.lengths[numbers])


@lru_cache(maxsize=64)
def table(texts: tuple[bytes, ...]) -> Table:
    """Return texts as a table; all writers of a process share it."""
    lengths = np.array([len(text) for text in texts], np.int64)
    width = int(lengths.max(initial=0))
    data = np.frombuffer(b"".join(text.ljust(width, b"\0") for text in texts), np.uint8)
    return Table(data.reshape(len(texts), width), lengths)


def total_lengths(columns: Sequence[Column]) -> Lengths:
    """Return the number of bytes of each row of columns that stand side by side."""
    fixed = sum(column.data.shape[1] for column in columns if column.lengths is None)
    result = np.full(len(columns[0].data), fixed, np.int64)
    for column in columns:
        if column.lengths is not None:
            result += column.lengths
    return result


def rows(columns: Sequence[Column]) -> list[bytes]:
    """Return the bytes of each row of columns that stand side by side."""
    variable = [column.lengths for column in columns if column.lengths is not None]
    if not variable:
        return _equal_rows([column.data for column in columns])
    if len(variable) <= VARIABLE_MAX:
        shape = np.zeros_like(variable[0])
        for lengths in variable:
            shape = shape * (VARINT_BYTES_MAX + 1) + lengths
        if int(shape.max()) < SHAPES_MAX:
            shapes = np.flatnonzero(np.bincount(shape)).tolist()
            if len(shapes) <= GROUPS_MAX:
                return _rows_by_shape(columns, shape, shapes)
    data = np.concatenate([column.data for column in columns], axis=1)
    whole = data[np.concatenate([_mask(column) for column in columns], axis=1)].tobytes()
    offsets = [0, *np.cumsum(total_lengths(columns)).tolist()]
    return [whole[begin:end] for begin, end in pairwise(offsets)]


def _rows_by_shape(columns: Sequence[Column], shape: Lengths, shapes: Sequence[int]) -> list[bytes]:
    """Build the rows whose lengths are equal in each column together."""
    result = np.empty(len(shape), object)
    for one in shapes:
        chosen = np.flatnonzero(shape == one)
        first = int(chosen[0])
        result[chosen] = _equal_rows(
            [
                column.data[chosen]
                if column.lengths is None
                else column.data[chosen, : column.lengths[first]]
                for column in columns
            ]
        )
    return cast("list[bytes]", result.tolist())


def _equal_rows(parts: Sequence[Bytes]) -> list[bytes]:
    data = np.concatenate(parts, axis=1)
    count, width = data.shape
    whole = data.tobytes()
    return [whole[begin : begin + width] for begin in range(0, count * width, width)]


def _mask(column: Column) -> NDArray[np.bool_]:
    width = column.data.shape[1]
    if column.lengths is None:
        return np.broadcast_to(np.True_, column.data.shape)
    return np.arange(width) < column.lengths[:, None]
