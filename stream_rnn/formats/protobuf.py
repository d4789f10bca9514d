"""Protobuf: schemas of the registry as message classes, and the content of their messages.

The compiler of Protobuf runs once per schema, in a process of its own with a deadline, because a
schema is foreign text.  Names of fields stay as the schema writes them.
"""

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError as BadMessage
from google.protobuf.message import Message

from stream_rnn.errors import DecodeError, reason
from stream_rnn.formats.avro_content import CONTINUES
from stream_rnn.formats.avro_schema import SCHEMA_BYTES_MAX, AvroType
from stream_rnn.formats.logical import Moment, decimal_value
from stream_rnn.formats.protobuf_serialized import serialized_files

COMPILE_S = 20.0
NESTING_MAX = 100  # of messages in a message; upb has the same limit
INDEXES_MAX = 64
INDEX_BYTES_MAX = 5
MAIN = "stream_rnn_schema.proto"
KNOWN = (
    *(f"google.protobuf.{name}_pb2" for name in ("any", "timestamp", "duration", "struct")),
    *(f"google.protobuf.{name}_pb2" for name in ("wrappers", "empty", "field_mask", "descriptor")),
    *(f"confluent_kafka.schema_registry.confluent.{name}_pb2" for name in ("meta", "type.decimal")),
)
"""Modules of the files that a schema may import without a reference in the registry."""
_DECIMAL = "confluent.type.Decimal"
_WRAPPERS = tuple(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_JSON = ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue")
_NANOS = 1_000_000_000

Read = Callable[[Any], Any]


class Protobuf:
    """The messages of a schema.

    Args:
        text: Text of the schema, a file of Protobuf.
        references: Name and text of the files that it imports, each after its own imports.
        moment: What a ``google.protobuf.Timestamp`` becomes.

    Raises:
        DecodeError: The schema does not compile.
    """

    def __init__(self, text: str, references: Sequence[tuple[str, str]], moment: Moment) -> None:
        self._file, self._pool = _compile(text, tuple(references))
        self._moment = moment
        self._readers: dict[tuple[int, ...], tuple[type[Message], Read]] = {}
        self._made: dict[tuple[str, tuple[str, ...] | None], Read] = {}

    def content(self, value: bytes, skip: int, rest: bytes | None) -> dict[str, Any]:
        """Return the content of a message.

        Args:
            value: Value of a record.
            skip: Bytes of its frame.
            rest: Indexes of the message, from a header; ``None`` if they follow the frame.

        Raises:
            ValueError: The bytes are no message of the schema.
        """
        indexes, at = _indexes(value, skip) if rest is None else (_indexes(rest, 0)[0], skip)
        if indexes not in self._readers:
            descriptor = self._find(indexes)
            kind = message_factory.GetMessageClass(descriptor)
            self._readers[indexes] = kind, self._message(descriptor, self._moment.path)
        kind, read = self._readers[indexes]
        try:
            content = read(kind.FromString(value[at:]))
        except BadMessage as error:
            raise ValueError(reason(error)) from None
        return dict(content)

    def _find(self, indexes: Sequence[int]) -> Descriptor:
        """Return the message that the indexes name, level by level."""
        messages: Any = self._file.message_type
        name = self._file.package
        for index in indexes:
            if not 0 <= index < len(messages):
                raise ValueError(f"the schema has no message with the indexes {list(indexes)}")
            name = f"{name}.{messages[index].name}" if name else messages[index].name
            # The compiler adds a message for each map, which no writer counts.
            nested = messages[index].nested_type
            messages = [one for one in nested if not one.options.map_entry]
        return self._pool.FindMessageTypeByName(name)

    def _message(self, descriptor: Descriptor, path: tuple[str, ...] | None) -> Read:
        """Return the function that returns the content of a message.

        Args:
            descriptor: Type of the message.
            path: Rest of the path to the event time, ``None`` beside it.
        """
        name = descriptor.full_name
        if name == "google.protobuf.Timestamp":
            nanos = AvroType("long", "timestamp", "ns")
            convert = self._moment.converter(nanos, is_event_time=path == ())
            return lambda message: convert(message.seconds * _NANOS + message.nanos)
        if name == "google.protobuf.Duration":
            return lambda message: message.seconds + message.nanos / _NANOS
        if name == _DECIMAL:
            return lambda message: decimal_value(message.value, max(0, message.scale))
        if name in _WRAPPERS:
            value = self._value(descriptor.fields_by_name["value"], None)
            return lambda message: value(message.value)
        if name in _JSON:
            return partial(json_format.MessageToDict)
        if (name, path) not in self._made:
            self._made[name, path] = partial(self._read_later, descriptor, path)
            self._made[name, path] = self._make(descriptor, path)
        return self._made[name, path]

    def _read_later(
        self, descriptor: Descriptor, path: tuple[str, ...] | None, message: Any
    ) -> Any:
        return self._message(descriptor, path)(message)

    def _make(self, descriptor: Descriptor, path: tuple[str, ...] | None) -> Read:
        members = []
        for field in descriptor.fields:
            rest = path[1:] if path and path[0] == field.name else None
            members.append((field.name, field.has_presence, self._field(field, rest)))

        def read(message: Any) -> dict[str, Any]:
            return {
                name: value(getattr(message, name))
                for name, has_presence, value in members
                if not has_presence or message.HasField(name)
            }

        return read

    def _field(self, field: FieldDescriptor, path: tuple[str, ...] | None) -> Read:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            values = self._value(entry.fields_by_name["value"], None)
            return lambda items: {_key(key): values(items[key]) for key in items}
        if field.is_repeated:
            item = self._value(field, None)
            return lambda items: [item(one) for one in items]
        return self._value(field, path)

    def _value(self, field: FieldDescriptor, path: tuple[str, ...] | None) -> Read:
        if field.message_type is not None:
            return self._message(field.message_type, path)
        if field.enum_type is not None:
            names = field.enum_type.values_by_number
            return lambda number: names[number].name if number in names else number
        if field.type == FieldDescriptor.TYPE_BYTES:
            return lambda value: value.decode("latin-1")
        return _same


def _same(value: Any) -> Any:
    return value


def _key(key: Any) -> str:
    """Return the key of a map as JSON has it."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def _indexes(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
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


def _compile(
    text: str, references: tuple[tuple[str, str], ...]
) -> tuple[descriptor_pb2.FileDescriptorProto, descriptor_pool.DescriptorPool]:
    """Compile a schema in a process of its own.

    Returns:
        Descriptor of the schema, and a pool with all of its types.
    """
    if sum(len(one) for _, one in references) + len(text) > SCHEMA_BYTES_MAX:
        raise _refused(f"it has more than {SCHEMA_BYTES_MAX} characters")
    try:
        serialized = serialized_files(text, references, MAIN)
    except ValueError as error:
        raise _refused(reason(error)) from None
    if serialized is not None:
        known = descriptor_pb2.FileDescriptorSet.FromString(_known_types()).file
        return _pool([*known, *serialized])
    return _pool(_run_compiler(text, references))


def _run_compiler(
    text: str, references: tuple[tuple[str, str], ...]
) -> Sequence[descriptor_pb2.FileDescriptorProto]:
    """Return the descriptors of a schema and of all that it imports, the schema last."""
    with tempfile.TemporaryDirectory(prefix="stream-rnn-protobuf-") as name:
        directory = Path(name)
        for place, content in (*references, (MAIN, text)):
            if not _is_inside(place):
                raise _refused(f"it imports {place!r}")
            file = directory / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        known, made = directory / "known.descriptors", directory / "made.descriptors"
        known.write_bytes(_known_types())
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={directory}"),
            *(f"--descriptor_set_in={known}", f"--descriptor_set_out={made}"),
            *("--include_imports", MAIN),
        ]
        try:
            done = subprocess.run(  # noqa: S603  # a fixed command
                command, capture_output=True, text=True, timeout=COMPILE_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise _refused(f"it does not compile within {COMPILE_S:g} s") from None
        if done.returncode:
            why = done.stderr.replace(f"{directory}/", "").strip()[:500]
            raise _refused(f"it does not compile ({why})")
        return list(descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes()).file)


def _pool(
    files: Sequence[descriptor_pb2.FileDescriptorProto],
) -> tuple[descriptor_pb2.FileDescriptorProto, descriptor_pool.DescriptorPool]:
    """Return the last of some files, and a pool with the types of all."""
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in files:
            pool.Add(file)
            pool.FindFileByName(file.name)
    except (TypeError, KeyError) as error:
        raise _refused(reason(error)) from error
    return files[-1], pool


@cache
def _known_types() -> bytes:
    """Return the descriptors of the files that every schema may import."""
    files = descriptor_pb2.FileDescriptorSet()
    for name in KNOWN:
        importlib.import_module(name).DESCRIPTOR.CopyToProto(files.file.add())
    return bytes(files.SerializeToString())


def _is_inside(place: str) -> bool:
    path = PurePosixPath(place)
    return bool(place) and not path.is_absolute() and ".." not in path.parts and "\0" not in place


def _refused(why: str) -> DecodeError:
    return DecodeError("unsupported_schema", f"the schema cannot be used: {why}")
