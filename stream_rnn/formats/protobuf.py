"""The content of messages of Protobuf: the object that the same event has in JSON.

Names of fields stay as the schema writes them.  Only the fields that the feature spec names are
read; the parser of Protobuf decides which bodies are valid, so this changes no verdict.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError as BadMessage
from google.protobuf.message import Message

from stream_rnn.errors import reason
from stream_rnn.formats.avro_content import CONTINUES
from stream_rnn.formats.avro_schema import SCALE_MAX, AvroType
from stream_rnn.formats.logical import Moment, decimal_value
from stream_rnn.formats.protobuf_schema import References, compile_schema, is_known_file, refused

CHAIN_MAX = 150
"""Maximum number of types, each of which a field of the one before has."""
INDEXES_MAX = 64
INDEX_BYTES_MAX = 5
NANOS = 1_000_000_000
TIMESTAMP = AvroType("long", "timestamp", "ns")
"""The type of Avro that a ``google.protobuf.Timestamp`` equals."""

Path = tuple[str, ...]
Read = Callable[[Any], Any]
Wanted = Mapping[str, Any] | None
"""Names of the fields to read, with those of their messages; ``None`` for all."""


class Protobuf:
    """The messages of a schema.

    Args:
        text: Text of the schema, a file of Protobuf.
        references: Name and text of the files that it imports, each after its own imports.
        moment: What a ``google.protobuf.Timestamp`` becomes.
        paths: Paths of the fields to read; empty for all fields.

    Attributes:
        moment: As above.

    Raises:
        DecodeError: The schema does not compile.
        UnavailableError: The compiler cannot run.
    """

    def __init__(
        self, text: str, references: References, moment: Moment, paths: Sequence[Path] = ()
    ) -> None:
        self._file, self._pool = compile_schema(text, tuple(references))
        self.moment = moment
        self._wanted = _tree(paths) if paths else None
        self._kinds: dict[tuple[int, ...], tuple[type[Message], Read]] = {}

    def content(self, value: bytes, skip: int, rest: bytes | None) -> Any:
        """Return the content of a message.

        Args:
            value: Value of a record.
            skip: Bytes of its frame.
            rest: Indexes of the message, from a header; ``None`` if they follow the frame.

        Raises:
            ValueError: The bytes are no message of the schema.
            DecodeError: The message cannot be used.
        """
        indexes, at = (
            read_indexes(value, skip) if rest is None else (read_indexes(rest, 0)[0], skip)
        )
        if indexes not in self._kinds:
            descriptor = self.find(indexes)
            kind = message_factory.GetMessageClass(descriptor)
            read = _Readers(self.moment).message(descriptor, self._wanted, self.moment.path)
            self._kinds[indexes] = kind, read
        kind, read = self._kinds[indexes]
        try:
            return read(kind.FromString(value[at:]))
        except BadMessage as error:
            raise ValueError(reason(error)) from None

    def find(self, indexes: Sequence[int]) -> Descriptor:
        """Return the message that the indexes name, level by level.

        Raises:
            ValueError: The schema has no such message.
            DecodeError: The message cannot be used.
        """
        messages: Any = self._file.message_type
        name = self._file.package
        for index in indexes:
            if not 0 <= index < len(messages):
                raise ValueError(f"the schema has no message with the indexes {list(indexes)}")
            name = f"{name}.{messages[index].name}" if name else messages[index].name
            # The compiler adds a message for each map, which writers in Java do not count.
            nested = messages[index].nested_type
            messages = [one for one in nested if not one.options.map_entry]
        descriptor = self._pool.FindMessageTypeByName(name)
        _check_chain(descriptor)
        return descriptor


def _check_chain(root: Descriptor) -> None:
    """Check that no chain of messages is so long that making their classes would fail.

    Raises:
        DecodeError: A chain exceeds :data:`CHAIN_MAX`.
    """
    seen, chain = {root.full_name}, [iter(root.fields)]
    while chain:
        for field in chain[-1]:
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                chain.append(iter(inner.fields))
                break
        else:
            chain.pop()
        if len(chain) > CHAIN_MAX:
            raise refused(f"a chain of its messages is longer than {CHAIN_MAX}")


def _tree(paths: Sequence[Path]) -> Wanted:
    """Return the names on some paths as a tree; ``None`` stands for a whole value."""
    if () in paths:
        return None
    return {
        name: _tree([path[1:] for path in paths if path[0] == name]) for name, *_ in sorted(paths)
    }


class _Readers:
    """Makes the functions that return the content of messages.

    A recursive message has one function for all its levels.
    """

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._made: dict[tuple[str, Path | None], Read] = {}

    def message(self, descriptor: Descriptor, wanted: Wanted, path: Path | None) -> Read:
        """Return the function that returns the content of a message.

        Args:
            descriptor: Type of the message.
            wanted: Fields to read.
            path: Rest of the path to the event time, ``None`` beside it.
        """
        if is_known_file(descriptor.file.name) and (name := descriptor.full_name) in _KNOWN:
            if name == _TIMESTAMP:
                return timestamp(self._moment, is_event_time=path == ())
            return _KNOWN[name]
        if wanted is not None:
            return self._make(descriptor, wanted, path)
        return partial(self._read_later, descriptor, path)

    def _read_later(self, descriptor: Descriptor, path: Path | None, message: Any) -> Any:
        """Return the whole content of a message; a recursive one refers to itself."""
        key = descriptor.full_name, path
        if key not in self._made:
            self._made[key] = self._make(descriptor, None, path)
        return self._made[key](message)

    def _make(self, descriptor: Descriptor, wanted: Wanted, path: Path | None) -> Read:
        members = []
        for field in descriptor.fields:
            if wanted is None or field.name in wanted:
                inner = None if wanted is None else wanted[field.name]
                rest = path[1:] if path and path[0] == field.name else None
                value = self._field(field, inner, rest)
                members.append((field.name, field.has_presence, value))
        has_field = message_factory.GetMessageClass(descriptor).HasField  # not a field of this name

        def read(message: Any) -> dict[str, Any]:
            return {
                name: value(getattr(message, name))
                for name, has_presence, value in members
                if not has_presence or has_field(message, name)
            }

        return read

    def _field(self, field: FieldDescriptor, wanted: Wanted, path: Path | None) -> Read:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            value = self._value(entry.fields_by_name["value"], None, None)
            return lambda items: {_key(key): value(items[key]) for key in items}
        if field.is_repeated:
            item = self._value(field, None, None)
            return lambda items: [item(one) for one in items]
        return self._value(field, wanted, path)

    def _value(self, field: FieldDescriptor, wanted: Wanted, path: Path | None) -> Read:
        if field.message_type is not None:
            return self.message(field.message_type, wanted, path)
        if field.enum_type is not None:
            names = {number: one.name for number, one in field.enum_type.values_by_number.items()}
            return lambda number: names.get(number, number)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _latin
        return text if field.type == FieldDescriptor.TYPE_STRING else _same


def _same(value: Any) -> Any:
    return value


def _latin(value: bytes) -> str:
    return value.decode("latin-1")


def text(value: str | bytes) -> str:
    """Return a string, which a parser of proto2 gives as bytes if they are no UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def timestamp(moment: Moment, *, is_event_time: bool) -> Read:
    """Return the function that returns the content of a ``google.protobuf.Timestamp``."""
    convert = moment.converter(TIMESTAMP, is_event_time=is_event_time)
    return lambda message: convert(message.seconds * NANOS + message.nanos)


def _decimal(message: Any) -> int | float:
    """Return a ``confluent.type.Decimal``; a scale below 0 appends zeros.

    Raises:
        ValueError: The scale exceeds :data:`SCALE_MAX`.
    """
    scale = message.scale
    if abs(scale) > SCALE_MAX:
        raise ValueError(f"the scale of a decimal is {scale}; the limit is {SCALE_MAX}")
    if scale >= 0:
        return decimal_value(message.value, scale)
    unscaled = int.from_bytes(message.value, "big", signed=True) * 10**-scale
    return decimal_value(unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True), 0)


def _struct(message: Any) -> dict[str, Any]:
    return {text(name): _struct_value(message.fields[name]) for name in message.fields}


def _struct_value(message: Any) -> Any:
    """Return a ``google.protobuf.Value``; one that is not set is null."""
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    value = getattr(message, kind)
    if kind == "struct_value":
        return _struct(value)
    return [_struct_value(one) for one in value.values] if kind == "list_value" else value


_TIMESTAMP = "google.protobuf.Timestamp"
WRAPPERS = tuple(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_KNOWN: Mapping[str, Read] = {
    **dict.fromkeys(WRAPPERS, lambda message: message.value),
    _TIMESTAMP: _same,
    "google.protobuf.Duration": lambda message: message.seconds + message.nanos / NANOS,
    "google.protobuf.BytesValue": lambda message: _latin(message.value),
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _struct_value,
    "google.protobuf.ListValue": lambda message: [_struct_value(one) for one in message.values],
    "confluent.type.Decimal": _decimal,
}
"""Functions that return the content of messages with a meaning of their own."""


def _key(key: Any) -> str:
    """Return the key of a map as JSON has it."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return text(key) if isinstance(key, bytes) else str(key)


def read_indexes(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """Read the indexes that name a message: a length and as many numbers; a length of 0 is [0].

    Returns:
        The indexes, and the offset behind them.
    """
    count, at = _varint(data, at)
    if count == 0:
        return (0,), at
    if not 0 < count <= INDEXES_MAX:
        raise ValueError(f"{count} indexes of a message; the limit is {INDEXES_MAX}")
    indexes = []
    for _ in range(count):
        index, at = _varint(data, at)
        indexes.append(index)
    return tuple(indexes), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    for byte in data[at : at + INDEX_BYTES_MAX]:
        result |= (byte & 0x7F) << shift
        shift += 7
        if byte < CONTINUES:
            return (result >> 1) ^ -(result & 1), at + shift // 7
    raise ValueError("the indexes of the message do not end")
