"""Fields as a schema of Avro, Protobuf or JSON Schema declares them, for a proposal.

The schema knows what a sample cannot show: all symbols of an enum, which numbers are times, and
which fields may be null.  Fields inside of arrays, maps and unions of several types have no path,
and are left to the sample.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from stream_rnn.errors import DecodeError
from stream_rnn.formats.avro_schema import AvroType, parse_avro
from stream_rnn.formats.frames import FRAME_BYTES, Frame
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.schemas import Schema
from stream_rnn.spec.columns import Column

DEPTH_MAX = 16
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
    with suppress(DecodeError, ValueError):
        if schema.kind == "AVRO":
            root = parse_avro(schema.text, [text for _, text in schema.references])
            return dict(avro_fields(root))
        if schema.kind == "PROTOBUF":
            return dict(_protobuf_fields(schema, value, frame or Frame("", FRAME_BYTES)))
        if schema.kind == "JSON":
            root_schema = json.loads(schema.text)
            return dict(_json_fields(root_schema, root_schema, ()))
    return {}


def avro_fields(
    kind: AvroType, parts: Parts = (), *, is_nullable: bool = False
) -> Iterator[tuple[Parts, SchemaField]]:
    """Yield the path and the declaration of each field."""
    if kind.kind == "union":
        other = kind.non_null
        if other is not None:
            yield from avro_fields(other, parts, is_nullable=True)
    elif kind.kind == "record":
        for name, member in kind.fields.items() if len(parts) < DEPTH_MAX else ():
            yield from avro_fields(member, (*parts, name), is_nullable=is_nullable)
    elif parts:
        logical = _LOGICAL_NAMES.get((kind.logical, kind.unit), kind.logical)
        name = f"{kind.kind} with the logical type {logical}" if logical else kind.kind
        is_time = bool(kind.unit) and kind.logical != "time"
        yield parts, SchemaField(name, kind.symbols, is_time, is_nullable)


def _protobuf_fields(
    schema: Schema, value: bytes, frame: Frame
) -> Iterator[tuple[Parts, SchemaField]]:
    from stream_rnn.formats.protobuf import Protobuf, read_indexes  # noqa: PLC0415  # of an extra

    place = (value, frame.skip) if frame.rest is None else (frame.rest, 0)
    messages = Protobuf(schema.text, schema.references, Moment())
    yield from _message_fields(messages.find(read_indexes(*place)[0]), ())


def _message_fields(descriptor: Any, parts: Parts) -> Iterator[tuple[Parts, SchemaField]]:
    for field in descriptor.fields:
        path, kind = (*parts, field.name), field.message_type
        if field.is_repeated or len(path) > DEPTH_MAX:
            continue
        if kind is None:
            values = () if field.enum_type is None else field.enum_type.values
            symbols = tuple(value.name for value in values)
            yield (
                path,
                SchemaField(
                    "enum" if symbols else _scalar(field), symbols, False, field.has_presence
                ),
            )
        elif kind.full_name == "google.protobuf.Timestamp":
            yield path, SchemaField(kind.full_name, (), True, True)
        elif kind.file.package == "google.protobuf":
            yield path, SchemaField(kind.full_name, (), False, True)
        else:
            yield from _message_fields(kind, path)


def _scalar(field: Any) -> str:
    """Return the name of a scalar type, such as ``sint64``."""
    names = [name for name in dir(field) if name.startswith("TYPE_")]
    return next(n for n in names if getattr(field, n) == field.type).removeprefix("TYPE_").lower()


def _json_fields(
    schema: Any, root: Mapping[str, Any], parts: Parts, *, is_required: bool = True
) -> Iterator[tuple[Parts, SchemaField]]:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or len(parts) > DEPTH_MAX:
        return
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            is_kept = is_required and isinstance(required, list) and name in required
            yield from _json_fields(inner, root, (*parts, name), is_required=is_kept)
    elif parts:
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        names = [str(kind) for kind in kinds if kind not in (None, "null")]
        enum = [item for item in schema.get("enum") or () if item is not None]
        symbols = tuple(enum) if all(isinstance(item, str) for item in enum) else ()
        if names or symbols:
            kind = "enum" if symbols else " or ".join(names)
            is_nullable = "null" in kinds or not is_required
            yield parts, SchemaField(kind, symbols, False, is_nullable)


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
