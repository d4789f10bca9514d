"""Fields as a schema of Avro, Protobuf or JSON Schema declares them, for a proposal.

The schema knows what a sample cannot show: all symbols of an enum, which numbers are times, and
which fields may be null.  Fields inside of arrays, maps and unions of several types have no path,
and are left to the sample, as are the deeper levels of a type that contains itself.
"""

import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from stream_rnn.errors import DecodeError
from stream_rnn.formats.avro_schema import AvroType, parse_avro
from stream_rnn.formats.frames import FRAME_BYTES, Frame
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.schemas import Schema
from stream_rnn.spec.columns import Column

DEPTH_MAX = 16
FIELDS_MAX = 10_000
ENTERED_MAX = 2
"""Maximum number of times that a type is on a path: once, and once within itself."""
NAMED_MAX = 12
DEFINITIONS = ("definitions", "$defs")
REFERENCES_MAX = 32

_UNIT_NAMES = {"ms": "millis", "us": "micros", "ns": "nanos"}
_LOGICAL_NAMES = {("local", "d"): "date"} | {
    (logical, unit): f"{prefix}-{name}"
    for logical, prefix in (
        ("timestamp", "timestamp"),
        ("local", "local-timestamp"),
        ("time", "time"),
    )
    for unit, name in _UNIT_NAMES.items()
}
"""Names of logical types in Avro, by what they mean and their unit."""

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SchemaField:
    """A field of a schema.

    Attributes:
        kind: Name of its type in the schema.
        symbols: Symbols of an enum, in the order of the schema.
        is_time: Whether it is a logical time, which is read as milliseconds since 1970.
        is_nullable: Whether a record may lack its value.
    """

    kind: str
    symbols: tuple[str, ...] = ()
    is_time: bool = False
    is_nullable: bool = False


def fields_of(
    schema: Schema, value: bytes = b"", frame: Frame | None = None
) -> dict[Parts, SchemaField]:
    """Return the fields of a schema by their paths; none of a schema that cannot be used.

    Args:
        schema: Schema of the registry.
        value: A value with this schema, whose message a Protobuf schema needs.
        frame: Frame of the value.
    """
    with suppress(DecodeError, ValueError, RecursionError):  # the last of nested JSON
        if schema.kind == "AVRO":
            root = parse_avro(schema.text, [text for _, text in schema.references])
            return dict(avro_fields(root))
        if schema.kind == "PROTOBUF":
            return dict(_protobuf_fields(schema, value, frame or Frame("", FRAME_BYTES)))
        if schema.kind == "JSON":
            return dict(_json_fields(json.loads(schema.text)))
    return {}


def avro_fields(root: AvroType) -> Iterator[tuple[Parts, SchemaField]]:
    """Yield the path and the declaration of each field."""
    yield from _walk(_expand_avro, root)


@dataclass(frozen=True, slots=True)
class _Place:
    """A type of a schema at a path.

    Attributes:
        parts: Path from the root on.
        kind: Type as its format has it.
        is_nullable: Whether a record may lack its value.
        around: Types that contain this one, each by its identity.
    """

    parts: Parts
    kind: Any
    is_nullable: bool = False
    around: tuple[Any, ...] = ()

    @property
    def is_entered(self) -> bool:
        """Whether the path is so short, and its last type so rarely on it, that it is walked."""
        times = self.around.count(self.around[-1])
        return len(self.parts) <= DEPTH_MAX and times <= ENTERED_MAX

    def inside(self, name: str, kind: Any, identity: Any, *, is_nullable: bool) -> "_Place":
        """Return the place of a field of this type, whose identity is given."""
        return _Place((*self.parts, name), kind, is_nullable, (*self.around, identity))


def _walk(
    expand: Callable[[_Place], Iterator[_Place | SchemaField]], root: Any
) -> Iterator[tuple[Parts, SchemaField]]:
    """Yield the path and the declaration of each field, those with the shortest paths first.

    A type may contain itself, or two fields of a type that has two fields of another one: paths are
    many more than types.  So a type is entered once within itself, and the number of fields is
    bounded.

    Args:
        expand: Function that yields the places inside of a type, or its declaration.
        root: Type of the record.
    """
    places, found = deque([_Place((), root)]), 0
    while places:
        place = places.popleft()
        for inner in expand(place):
            if isinstance(inner, SchemaField):
                yield place.parts, inner
                found += 1
            elif inner.is_entered and len(places) < FIELDS_MAX:
                places.append(inner)
        if found == FIELDS_MAX:
            return


def _expand_avro(place: _Place) -> Iterator[_Place | SchemaField]:
    kind, is_nullable = place.kind, place.is_nullable
    if (other := kind.non_null) is not None:
        kind, is_nullable = other, True
    if kind.kind == "record":
        for name, member in kind.fields.items():
            yield place.inside(name, member, id(kind), is_nullable=is_nullable)
    elif kind.kind != "union" and place.parts:
        logical = _LOGICAL_NAMES.get((kind.logical, kind.unit), kind.logical)
        name = f"{kind.kind} with the logical type {logical}" if logical else kind.kind
        is_time = bool(kind.unit) and kind.logical != "time"
        yield SchemaField(name, kind.symbols, is_time, is_nullable)


def _protobuf_fields(
    schema: Schema, value: bytes, frame: Frame
) -> Iterator[tuple[Parts, SchemaField]]:
    from stream_rnn.formats.protobuf import Protobuf, read_indexes  # noqa: PLC0415  # of an extra

    place = (value, frame.skip) if frame.rest is None else (frame.rest, 0)
    messages = Protobuf(schema.text, schema.references, Moment())
    yield from _walk(_expand_message, messages.find(read_indexes(*place)[0]))


def _expand_message(place: _Place) -> Iterator[_Place | SchemaField]:
    """Yield what a message, or a field of one, contains."""
    field = place.kind
    message = field.message_type if place.parts else field
    if message is None:
        values = () if field.enum_type is None else field.enum_type.values
        symbols = tuple(value.name for value in values)
        kind = "enum" if symbols else _scalar(field)
        yield SchemaField(kind, symbols, False, field.has_presence)
    elif message.full_name == "google.protobuf.Timestamp":
        yield SchemaField(message.full_name, (), True, True)
    elif message.file.package == "google.protobuf":
        yield SchemaField(message.full_name, (), False, True)
    else:
        for inner in message.fields:
            if not inner.is_repeated:
                yield place.inside(inner.name, inner, message.full_name, is_nullable=False)


def _scalar(field: Any) -> str:
    """Return the name of a scalar type, such as ``sint64``."""
    names = [name for name in dir(field) if name.startswith("TYPE_")]
    return next(n for n in names if getattr(field, n) == field.type).removeprefix("TYPE_").lower()


def _json_fields(root: Any) -> Iterator[tuple[Parts, SchemaField]]:
    yield from _walk(partial(_expand_json, root), root)


def _expand_json(root: Any, place: _Place) -> Iterator[_Place | SchemaField]:
    schema = _resolved(place.kind, root)
    if not isinstance(schema, dict):
        return
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            is_kept = isinstance(required, list) and name in required
            is_nullable = place.is_nullable or not is_kept
            yield place.inside(name, inner, id(schema), is_nullable=is_nullable)
    elif place.parts:
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        names = [str(kind) for kind in kinds if kind not in (None, "null")]
        enum = schema.get("enum")
        enum = [item for item in enum if item is not None] if isinstance(enum, list) else []
        symbols = tuple(enum) if all(isinstance(item, str) for item in enum) else ()
        if names or symbols:
            kind = "enum" if symbols else " or ".join(names)
            yield SchemaField(kind, symbols, False, "null" in kinds or place.is_nullable)


def _resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """Return the schema that a reference within the same text names."""
    for _ in range(REFERENCES_MAX):
        place = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(place, str):
            return schema
        top, _, name = place.removeprefix("#/").partition("/")
        definitions = root.get(top) if top in DEFINITIONS else None
        schema = definitions.get(name) if isinstance(definitions, dict) else None
    return None


def merge_fields(
    older: Mapping[Parts, SchemaField], newer: Mapping[Parts, SchemaField]
) -> dict[Parts, SchemaField]:
    """Return the fields of two schemas: the newer declaration, with the symbols of both."""
    merged = {**older, **newer}
    for path in older.keys() & newer.keys():
        symbols = dict.fromkeys((*older[path].symbols, *newer[path].symbols))
        merged[path] = replace(newer[path], symbols=tuple(symbols))
    return merged


def with_schema(
    columns: Sequence[Column], fields: Mapping[Parts, SchemaField], what: str
) -> tuple[list[Column], tuple[str, ...]]:
    """Return columns with what a schema says of them, and a sentence that names them.

    Args:
        columns: Columns of the sample.
        fields: Fields of the schema.
        what: Name of the schema, for the sentence.
    """
    declared = [replace(c, **_said(fields[c.parts])) if c.parts in fields else c for c in columns]
    named = [column.path for column in columns if column.parts in fields]
    if not named:
        return declared, ()
    absent = [".".join(path) for path in fields if path not in {c.parts for c in columns}]
    reasons = [
        f"The types of {_listed(named)} come from {what}; all other guesses come from the rows."
    ]
    if absent:
        reasons.append(f"The schema also has {_listed(absent)}, which no row of the sample has.")
    return declared, tuple(reasons)


def _said(field: SchemaField) -> dict[str, Any]:
    note = f"{field.kind} of the schema" + ", which may be null" * field.is_nullable
    notes = () if field.symbols else (note,)  # the vocabulary says so
    return {"symbols": field.symbols, "is_time": field.is_time, "notes": notes}


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:NAMED_MAX])
    return f"{shown} and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else shown
