"""Schemas of Avro as a tree of types, with bounds for what a hostile schema may ask for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, log10
from typing import Any

from stream_rnn.errors import DecodeError, reason

SCHEMA_BYTES_MAX = 1_000_000
TYPES_MAX = 20_000
DEPTH_MAX = 64
SYMBOLS_MAX = 100_000
SCALE_MAX = 400
FIXED_BYTES_MAX = 1_000_000

_PARSED = "__fastavro_parsed__"
_TIMES = {
    "timestamp-millis": "ms",
    "timestamp-micros": "us",
    "timestamp-nanos": "ns",
    "local-timestamp-millis": "ms",
    "local-timestamp-micros": "us",
    "local-timestamp-nanos": "ns",
}
_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


@dataclass(slots=True, eq=False)
class AvroType:
    """A type of a schema.

    Attributes:
        kind: Name of the type in Avro, such as ``long`` or ``record``.
        logical: Logical type that changes what a value means; empty if there is none.
        unit: Unit of a logical time since 1970 or since midnight: ``ms``, ``us``, ``ns`` or ``d``.
        scale: Scale of a decimal.
        size: Bytes of a ``fixed``.
        symbols: Symbols of an ``enum``.
        parts: Branches of a ``union``, the items of an ``array``, the values of a ``map``.
        fields: Fields of a ``record`` by name, in the order of the schema.
    """

    kind: str
    logical: str = ""
    unit: str = ""
    scale: int = 0
    size: int = 0
    symbols: tuple[str, ...] = ()
    parts: list["AvroType"] = field(default_factory=list)
    fields: dict[str, "AvroType"] = field(default_factory=dict)

    @property
    def non_null(self) -> "AvroType | None":
        """The other type of a union of null and one type; otherwise ``None``."""
        if self.kind != "union" or len(self.parts) != 2:
            return None
        others = [part for part in self.parts if part.kind != "null"]
        return others[0] if len(others) == 1 else None


def parse_avro(text: str, references: Sequence[str] = ()) -> AvroType:
    """Parse a schema.

    Args:
        text: Schema as JSON.
        references: Schemas that it refers to by name, each after those to which it refers itself.

    Raises:
        DecodeError: The text is no schema of Avro, or exceeds a limit.
    """
    from fastavro.schema import (  # noqa: PLC0415  # of the extra `registry`
        SchemaParseException,
        UnknownType,
        parse_schema,
    )

    named: dict[str, Any] = {}
    try:
        for reference in references:
            parse_schema(load_avro(reference), named)
        parsed = parse_schema(load_avro(text), named)
        return _Builder(named).build(parsed, 0)
    except RecursionError:
        raise _refused(f"its types are nested deeper than {DEPTH_MAX}") from None
    except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError) as error:
        raise _refused(f"it is no schema of Avro ({reason(error)})") from error


def load_avro(text: str) -> Any:
    """Return what the parser of fastavro takes for a schema; see :func:`parse_avro`."""
    if len(text) > SCHEMA_BYTES_MAX:
        raise _refused(f"it has {len(text)} characters; the limit is {SCHEMA_BYTES_MAX}")
    if _PARSED in text:
        raise _refused(f"it has the name {_PARSED}, with which the parser would not check it")
    try:
        return _as_written(json.loads(text))
    except ValueError:
        if text.strip() in _PRIMITIVES:  # a registry may store the schema "string" without quotes
            return text.strip()
        raise


def _as_written(schema: Any) -> Any:
    """Return a schema without what does not change how its writer writes a body.

    A registry may have schemas with wrong defaults, because Java's parser can leave them unchecked.
    An invalid decimal is its type without the logical type.

    Source: Avro specification 1.11.1, Logical Types.
    """
    if isinstance(schema, list):
        return [_as_written(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = {"default"}
    if schema.get("logicalType") == "decimal" and not _is_decimal(schema):
        left_out.add("logicalType")
    return {name: _as_written(part) for name, part in schema.items() if name not in left_out}


def _is_decimal(schema: Mapping[str, Any]) -> bool:
    """Return whether a decimal has a scale that its precision allows, and bytes for it."""
    scale, precision = schema.get("scale", 0), schema.get("precision") or 0
    if type(scale) is not int or type(precision) is not int or min(scale, precision) < 0:
        return False
    if not precision:  # the specification demands one, and no number depends on it
        return True
    size = schema.get("size") if schema.get("type") == "fixed" else None
    fits = not isinstance(size, int) or precision <= floor(log10(2) * (8 * size - 1))
    return fits and scale <= precision


def _refused(why: str) -> DecodeError:
    return DecodeError("unsupported_schema", f"the schema cannot be used: {why}")


class _Builder:
    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._made: dict[
            str, AvroType
        ] = {}  # each named type once: a large enum may be named often
        self._count = 0

    def build(self, schema: Any, depth: int) -> AvroType:
        """Return the type of a schema that fastavro has parsed."""
        self._count += 1
        if self._count > TYPES_MAX:
            raise _refused(f"it has more than {TYPES_MAX} types")
        if depth > DEPTH_MAX:
            raise _refused(f"its types are nested deeper than {DEPTH_MAX}")
        if isinstance(schema, list):
            return AvroType("union", parts=[self.build(part, depth + 1) for part in schema])
        if isinstance(schema, str):
            return self._named_type(schema, depth)
        return self._defined_type(schema["type"], schema, depth)

    def _defined_type(self, kind: Any, schema: Mapping[str, Any], depth: int) -> AvroType:
        if kind in ("record", "error"):
            return self._record(schema, depth)
        if kind in ("array", "map"):
            items = schema["items" if kind == "array" else "values"]
            return AvroType(kind, parts=[self.build(items, depth + 1)])
        if kind == "enum":
            return self._made.setdefault(schema["name"], _enum(schema["symbols"]))
        if kind == "fixed":
            return self._made.setdefault(schema["name"], _scalar(kind, schema))
        if kind in _PRIMITIVES:
            return _scalar(kind, schema)
        return self.build(kind, depth + 1)  # a name, or a type within

    def _named_type(self, name: str, depth: int) -> AvroType:
        if name in _PRIMITIVES:
            return AvroType(name)
        return self._made.get(name) or self.build(self._named[name], depth + 1)

    def _record(self, schema: Mapping[str, Any], depth: int) -> AvroType:
        record = self._made[schema["name"]] = AvroType("record")
        for member in schema["fields"]:
            if not isinstance(member["name"], str):  # the parser does not look
                raise _refused(f"the name of a field is {member['name']!r:.40}, which is no text")
            record.fields[member["name"]] = self.build(member["type"], depth + 1)
        return record


def _enum(symbols: Sequence[str]) -> AvroType:
    if len(symbols) > SYMBOLS_MAX:
        raise _refused(f"an enum has more than {SYMBOLS_MAX} symbols")
    return AvroType("enum", symbols=tuple(symbols))


def _scalar(kind: str, schema: Mapping[str, Any]) -> AvroType:
    logical, size = schema.get("logicalType", ""), schema.get("size", 0)
    if type(size) is not int or not 0 <= size <= FIXED_BYTES_MAX:
        raise _refused(
            f"a fixed has {size!r:.40} bytes; it must be a whole number, and the limit is {FIXED_BYTES_MAX}"
        )
    scalar = AvroType(kind, size=size)
    if kind in ("bytes", "fixed") and logical == "decimal":
        scale = schema.get("scale", 0)
        if not isinstance(scale, int) or not 0 <= scale <= SCALE_MAX:
            raise _refused(f"the scale of a decimal is {scale}; the limit is {SCALE_MAX}")
        scalar.logical, scalar.scale = "decimal", scale
    elif logical == "uuid" and kind == "fixed" and size == 16:
        scalar.logical = "uuid"
    elif kind == "long" and logical in _TIMES:
        scalar.logical = "local" if logical.startswith("local") else "timestamp"
        scalar.unit = _TIMES[logical]
    elif (kind, logical) == ("int", "date"):
        scalar.logical, scalar.unit = "local", "d"
    elif (kind, logical) in (("int", "time-millis"), ("long", "time-micros")):
        scalar.logical, scalar.unit = "time", "ms" if kind == "int" else "us"
    return scalar
