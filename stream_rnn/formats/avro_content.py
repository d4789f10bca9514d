"""The content of one Avro body: the object that the same event has in JSON.

This reader decides which bodies are valid and what they mean.  ``avro_columns.py`` reads many
bodies at once, and must agree with it.  A body is valid only if it ends where its record ends.
Bytes of a string that are no UTF-8 become U+FFFD, as in Java.
"""

import struct
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from stream_rnn.formats.avro_schema import AvroType
from stream_rnn.formats.logical import Moment, decimal_value

NESTING_MAX = 64
EMPTY_ITEMS_MAX = 4096
"""Maximum number by which items, such as nulls, may exceed the bytes of their array."""
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
VARINT_BYTES_MAX = 10
CONTINUES = 0x80
"""The smallest byte after which an integer continues."""

Reader = Callable[["Body"], Any]
"""A function that reads a value of one type, and moves the body's cursor behind it."""


class BadBodyError(ValueError):
    """A body is not of its schema."""


class Body:
    """A cursor over the bytes of a body."""

    __slots__ = ("at", "data", "depth", "end")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at, self.end, self.depth = data, at, len(data), 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        if not 0 <= size <= self.end - self.at:
            raise BadBodyError(f"{size} bytes at byte {self.at} are beyond the end")
        start, self.at = self.at, self.at + size
        return self.data[start : self.at]

    def varint(self) -> int:
        """Return the next integer of up to 64 bits."""
        result = shift = 0
        for byte in self.data[self.at : self.at + VARINT_BYTES_MAX]:
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < CONTINUES:
                if result >> 64:
                    break
                self.at += shift // 7
                return (result >> 1) ^ -(result & 1)
        raise BadBodyError(f"an integer at byte {self.at} does not end, or has more than 64 bits")


def content_reader(root: AvroType, moment: Moment) -> Callable[[bytes, int], Any]:
    """Return a function that returns the content of a body.

    Args:
        root: Type of the schema.
        moment: What a logical time becomes.

    Returns:
        A function of a value's bytes and the offset of its body; it raises :class:`BadBodyError`.
    """
    read = _Readers(moment).of(root, moment.path)

    def content(data: bytes, start: int = 0) -> Any:
        body = Body(data, start)
        value = read(body)
        if body.at != body.end:
            raise BadBodyError(f"{body.end - body.at} bytes follow the record")
        return value

    return content


def contents_reader(root: AvroType, moment: Moment) -> Callable[[bytes, int], Iterator[Any]]:
    """Return a function that yields the contents of bodies that follow each other without frames.

    Args:
        root: Type of the schema.
        moment: What a logical time becomes.

    Returns:
        A function of the bytes and the number of bodies; it raises :class:`BadBodyError` at the
        first bad body, and if more bytes follow the last one.
    """
    read = _Readers(moment).of(root, moment.path)

    def contents(data: bytes, count: int) -> Iterator[Any]:
        if count > len(data) + EMPTY_ITEMS_MAX:
            raise BadBodyError(f"{count} records in {len(data)} bytes")
        body = Body(data)
        for _ in range(count):
            yield read(body)
        if body.at != body.end:
            raise BadBodyError(f"{body.end - body.at} bytes follow the last record")

    return contents


class _Readers:
    """Makes the readers of types; a recursive type has one reader for all its levels."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._made: dict[tuple[int, tuple[str, ...] | None], Reader] = {}

    def of(self, kind: AvroType, path: tuple[str, ...] | None) -> Reader:
        """Return the reader of a type.

        Args:
            kind: Type to read.
            path: Rest of the path to the event time, ``None`` beside it.
        """
        key = (id(kind), path)
        if key not in self._made:
            self._made[key] = partial(self._read_later, kind, path)  # of a recursive type
            self._made[key] = self._make(kind, path)
        return self._made[key]

    def _read_later(self, kind: AvroType, path: tuple[str, ...] | None, body: Body) -> Any:
        return self.of(kind, path)(body)

    def _make(self, kind: AvroType, path: tuple[str, ...] | None) -> Reader:
        if kind.logical:
            return self._make_logical(kind, path)
        if kind.kind in _SCALARS:
            return _SCALARS[kind.kind]
        if kind.kind == "union":
            branches = [self.of(part, path) for part in kind.parts]
            return lambda body: branches[_index(body, len(branches))](body)
        if kind.kind == "record":
            return self._make_record(kind, path)
        if kind.kind in ("array", "map"):
            return self._make_blocks(kind)
        return _make_sized(kind)

    def _make_record(self, kind: AvroType, path: tuple[str, ...] | None) -> Reader:
        members = [
            (name, self.of(part, path[1:] if path and path[0] == name else None))
            for name, part in kind.fields.items()
        ]

        def record(body: Body) -> dict[str, Any]:
            with _Nested(body):
                return {name: read(body) for name, read in members}

        return record

    def _make_blocks(self, kind: AvroType) -> Reader:
        read, is_map = self.of(kind.parts[0], None), kind.kind == "map"

        def blocks(body: Body) -> Any:
            found: dict[str, Any] | list[Any] = {} if is_map else []
            items, start = 0, body.at
            with _Nested(body):
                while count := _block_count(body):
                    for _ in range(count):
                        items += 1
                        if isinstance(found, dict):
                            name = _read_text(body)
                            found[name] = read(body)
                        else:
                            found.append(read(body))
                        if items > body.at - start + EMPTY_ITEMS_MAX:
                            raise BadBodyError(f"{items} items of no bytes at byte {start}")
            return found

        return blocks

    def _make_logical(self, kind: AvroType, path: tuple[str, ...] | None) -> Reader:
        if kind.logical == "decimal":
            scale = kind.scale
            if kind.kind == "fixed":
                return lambda body: decimal_value(body.take(kind.size), scale)
            return lambda body: decimal_value(body.take(body.varint()), scale)
        if kind.logical == "uuid":
            return lambda body: str(uuid.UUID(bytes=body.take(16)))
        convert = self._moment.converter(kind, is_event_time=path == ())
        number = _read_int if kind.kind == "int" else Body.varint
        return lambda body: convert(number(body))


def _make_sized(kind: AvroType) -> Reader:
    """Return the reader of an ``enum`` or a ``fixed``."""
    if kind.kind == "enum":
        return lambda body: kind.symbols[_index(body, len(kind.symbols))]
    return lambda body: body.take(kind.size).decode("latin-1")


class _Nested:
    """Counts how deeply the values of a body are nested."""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        self._body = body

    def __enter__(self) -> None:
        self._body.depth += 1
        if self._body.depth > NESTING_MAX:
            raise BadBodyError(f"values are nested deeper than {NESTING_MAX}")

    def __exit__(self, *_exception: object) -> None:
        self._body.depth -= 1


def _read_boolean(body: Body) -> bool:
    byte = body.take(1)[0]
    if byte > 1:
        raise BadBodyError(f"a boolean at byte {body.at - 1} is {byte}")
    return byte == 1


def _read_int(body: Body) -> int:
    number = body.varint()
    if not INT_MIN <= number <= INT_MAX:
        raise BadBodyError(f"an int before byte {body.at} has more than 32 bits")
    return number


def _read_text(body: Body) -> str:
    return body.take(body.varint()).decode("utf-8", "replace")


def _index(body: Body, count: int) -> int:
    index = body.varint()
    if not 0 <= index < count:
        raise BadBodyError(f"the branch or symbol {index} before byte {body.at} is none of {count}")
    return index


def _block_count(body: Body) -> int:
    """Return the number of items in the next block of an array or a map; 0 at its end."""
    count = body.varint()
    if count < 0:
        count = -count
        if body.varint() < 0:
            raise BadBodyError(f"the size of a block before byte {body.at} is negative")
    return count


_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_SCALARS: Mapping[str, Reader] = {
    "null": lambda _body: None,
    "boolean": _read_boolean,
    "int": _read_int,
    "long": Body.varint,
    "float": lambda body: _FLOAT.unpack(body.take(_FLOAT.size))[0],
    "double": lambda body: _DOUBLE.unpack(body.take(_DOUBLE.size))[0],
    "bytes": lambda body: body.take(body.varint()).decode("latin-1"),
    "string": _read_text,
}
