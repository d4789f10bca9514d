"""The columns of many Avro bodies at once, by numpy.

The reader gives up a body that is bad or unusual; ``avro_content.py`` reads those one by one, says
what is wrong, and decides.  For every other body both give the same values
(``tests/property/test_avro.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.formats.avro_content import NESTING_MAX
from stream_rnn.formats.avro_cursors import Bodies, Cursors, Rows
from stream_rnn.formats.avro_schema import AvroType
from stream_rnn.formats.logical import PER_SECOND, Moment, decimal_value, ratio

NUMBER_MAX = 2**62
"""Bound of logical times, so that no unit makes them overflow."""
PASSES_MAX = 64
"""Maximum items of an array or a map here: each costs as much as a field of all bodies."""
BLOCKS_MAX = 8
"""Maximum blocks of an array or a map here, the empty last one included."""
ALL_PASSES_MAX = 1024
"""Maximum items of all arrays and maps of a micro-batch: nested ones multiply."""

Path = tuple[str, ...]
Move = Callable[[Cursors, Rows], None]
"""A function that reads a type in some bodies, and moves their cursors behind it."""


@dataclass(slots=True)
class Column:
    """The values of one path in N bodies.

    Attributes:
        values: Array of int64, float64 or bool, or a list of other values; what a body has that is
            bad, or has no value, is not defined.
        present: (N,) Whether a body has a value that is not null; ``None`` if all have.
    """

    values: NDArray[Any] | list[Any]
    present: NDArray[np.bool_] | None = None


class NotColumnarError(Exception):
    """A path leads through a map, an array or a union of several types."""


class AvroColumns:
    """Reads the values at some paths.

    Args:
        root: Type of the schema.
        paths: Paths from the record on.
        moment: What a logical time becomes.

    Raises:
        NotColumnarError: A path needs ``avro_content.py``.
    """

    def __init__(self, root: AvroType, paths: Sequence[Path], moment: Moment) -> None:
        self._moment = moment
        self._skips: dict[int, Move] = {}
        self._columns: dict[Path, Column] = {}
        if root.kind != "record":
            raise NotColumnarError
        self._move = self._record(root, {path: path for path in paths})

    def read(
        self, values: Sequence[bytes] | Bodies, skip: int
    ) -> tuple[dict[Path, Column], NDArray[np.bool_]]:
        """Read bodies.

        Args:
            values: N values of records, or these values joined.
            skip: Bytes of the frame before each body.

        Returns:
            Column of each path that the schema has, and (N,) which bodies are given up.
        """
        cursors = Cursors(values if isinstance(values, Bodies) else Bodies(values), skip)
        self._move(cursors, None)
        columns, self._columns = self._columns, {}
        return columns, cursors.given_up()

    def _wanted(self, kind: AvroType, paths: Mapping[Path, Path]) -> Move:
        """Return the function that reads a type with some wanted paths: {rest: whole path}."""
        if not paths:
            return self._skip(kind)
        if (other := kind.non_null) is not None:
            nulls = self._skip(AvroType("null"))
            read = self._wanted(other, paths)
            return _union([nulls if part.kind == "null" else read for part in kind.parts])
        if () in paths:
            return self._leaf(kind, paths[()])
        if kind.kind != "record":
            raise NotColumnarError
        return self._record(kind, paths)

    def _record(self, kind: AvroType, paths: Mapping[Path, Path]) -> Move:
        members = [
            self._wanted(part, {rest[1:]: path for rest, path in paths.items() if rest[0] == name})
            for name, part in kind.fields.items()
        ]
        return _nested(members)

    def _leaf(self, kind: AvroType, path: Path) -> Move:
        """Return the function that reads a scalar and keeps its column."""
        read = _scalar(kind, self._moment, is_event_time=path == self._moment.path)

        def leaf(cursors: Cursors, rows: Rows) -> None:
            values = read(cursors, rows)
            self._columns[path] = spread(values, rows, len(cursors))

        return leaf

    def _skip(self, kind: AvroType) -> Move:
        if id(kind) not in self._skips:
            self._skips[id(kind)] = partial(self._skip_later, kind)  # of a recursive type
            self._skips[id(kind)] = self._make_skip(kind)
        return self._skips[id(kind)]

    def _skip_later(self, kind: AvroType, cursors: Cursors, rows: Rows) -> None:
        self._skip(kind)(cursors, rows)

    def _make_skip(self, kind: AvroType) -> Move:
        if kind.kind in _SKIPS:
            return _SKIPS[kind.kind]
        if kind.kind == "union":
            return _union([self._skip(part) for part in kind.parts])
        if kind.kind == "record":
            return _nested([self._skip(part) for part in kind.fields.values()])
        if kind.kind in ("array", "map"):
            return _blocks(self._skip(kind.parts[0]), is_map=kind.kind == "map")
        return _make_sized_skip(kind)


def _make_sized_skip(kind: AvroType) -> Move:
    """Return the function that moves behind an ``enum`` or a ``fixed``."""
    if kind.kind == "enum":
        count = len(kind.symbols)
        return lambda cursors, rows: _nothing(cursors.index(rows, count))
    return _fixed_skip(kind.size)


def _fixed_skip(size: int) -> Move:
    return lambda cursors, rows: cursors.skip(rows, size)


def _nothing(_value: object) -> None:
    """Return nothing."""


_SKIPS: Mapping[str, Move] = {
    "null": lambda _cursors, _rows: None,
    "boolean": lambda cursors, rows: _nothing(cursors.boolean(rows)),
    "int": Cursors.skip_int32,
    "long": Cursors.skip_varint,
    "float": _fixed_skip(4),
    "double": _fixed_skip(8),
    "bytes": lambda cursors, rows: _nothing(cursors.span(rows)),
    "string": lambda cursors, rows: _nothing(cursors.span(rows)),
}


def _nested(members: Sequence[Move]) -> Move:
    def nested(cursors: Cursors, rows: Rows) -> None:
        with cursors.nested(rows, NESTING_MAX) as is_allowed:
            for move in members if is_allowed else ():
                move(cursors, rows)

    return nested


def _union(branches: Sequence[Move]) -> Move:
    if not branches:  # of which no value is
        raise NotColumnarError

    def union(cursors: Cursors, rows: Rows) -> None:
        chosen = cursors.index(rows, len(branches))
        if rows is None and (chosen == chosen[0]).all():
            branches[int(chosen[0])](cursors, None)
            return
        for number, move in enumerate(branches):
            is_chosen = chosen == number
            if len(some := cursors.alive(rows, is_chosen)):
                move(cursors, some)

    return union


def _blocks(item: Move, *, is_map: bool) -> Move:
    def blocks(cursors: Cursors, rows: Rows) -> None:
        with cursors.nested(rows, NESTING_MAX) as is_allowed:
            if is_allowed:
                _move_blocks(cursors, rows, item, is_map=is_map)

    return blocks


def _move_blocks(cursors: Cursors, rows: Rows, item: Move, *, is_map: bool) -> None:
    """Move behind an array or a map, block by block, and in a block item by item."""
    active = np.arange(len(cursors)) if rows is None else rows
    passes = blocks = 0
    while len(active := active[~cursors.bad[active]]):
        blocks += 1
        if blocks > BLOCKS_MAX:
            cursors.give_up(active, np.ones(len(active), bool))
            return
        count = cursors.varint(active)
        if (sized := count < 0).any():
            size = cursors.varint(active[sized])
            cursors.give_up(active[sized], (size < 0) | (count[sized] == np.iinfo(np.int64).min))
            count = np.abs(count)
        active, count = active[count > 0], count[count > 0]
        while len(some := active[(count > 0) & ~cursors.bad[active]]):
            if is_map:
                cursors.span(some)
            item(cursors, some)
            count -= 1
            passes += 1
            cursors.passes += 1
            if passes > PASSES_MAX or cursors.passes > ALL_PASSES_MAX:
                cursors.give_up(active, count > 0)


def spread(values: NDArray[Any] | list[Any], rows: Rows, count: int) -> Column:
    """Return a column of all bodies from the values of some."""
    if rows is None:
        return Column(values)
    present = np.zeros(count, bool)
    present[rows] = True
    if isinstance(values, list):
        spread = [None] * count
        for row, value in zip(rows.tolist(), values, strict=True):
            spread[row] = value
        return Column(spread, present)
    filled = np.zeros(count, values.dtype)
    filled[rows] = values
    return Column(filled, present)


def _scalar(
    kind: AvroType, moment: Moment, *, is_event_time: bool
) -> Callable[[Cursors, Rows], NDArray[Any] | list[Any]]:
    """Return the function that reads the values of a scalar type."""
    if kind.unit:
        unit = moment.unit if is_event_time and kind.logical != "time" else "ms"
        if unit not in PER_SECOND:
            raise NotColumnarError
        return _times(kind, unit)
    if kind.logical == "decimal" and kind.kind == "bytes":
        return lambda cursors, rows: [
            decimal_value(unscaled, kind.scale) for unscaled in cursors.slices(rows)
        ]
    if kind.kind == "enum" and kind.symbols:
        symbols = np.array(kind.symbols, object)
        return lambda cursors, rows: list(symbols.take(cursors.index(rows, len(symbols))).tolist())
    if kind.kind not in _READS:
        raise NotColumnarError
    return _READS[kind.kind]


def _read_texts(cursors: Cursors, rows: Rows) -> list[str]:
    return [text.decode("utf-8", "replace") for text in cursors.slices(rows)]


_READS: Mapping[str, Callable[[Cursors, Rows], NDArray[Any] | list[Any]]] = {
    "boolean": Cursors.boolean,
    "int": Cursors.int32,
    "long": Cursors.varint,
    "float": lambda cursors, rows: cursors.real(rows, is_double=False),
    "double": lambda cursors, rows: cursors.real(rows, is_double=True),
    "string": _read_texts,
}


def _times(kind: AvroType, unit: str) -> Callable[[Cursors, Rows], NDArray[Any]]:
    multiply, divide = ratio(kind.unit, "ms" if unit == "s" else unit)

    def times(cursors: Cursors, rows: Rows) -> NDArray[Any]:
        numbers = cursors.int32(rows) if kind.kind == "int" else cursors.varint(rows)
        limit = NUMBER_MAX // multiply
        if numbers.max(initial=0) > limit or numbers.min(initial=0) < -limit:
            outside = (numbers > limit) | (numbers < -limit)
            cursors.give_up(rows, outside)
            numbers = np.where(outside, 0, numbers)
        converted = numbers if multiply == divide else numbers * multiply // divide
        return converted / 1000 if unit == "s" else converted

    return times
