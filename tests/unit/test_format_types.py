"""The tables of types in ``spec/README.md``: each row is read, and has the content that it states."""

import io
import json
import re
from pathlib import Path
from pprint import pformat

import fastavro
import pytest

import stream_rnn
from stream_rnn.fold.framed import FramedRecords
from stream_rnn.formats.frames import Frame
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.event import Event
from tests.protobuf_messages import message_class
from tests.unit.framed_records import Shelf

PAGE = (Path(stream_rnn.__file__).parent / "spec" / "README.md").read_text()
BYTES, BYTES_TEXT = b"\x00\xff\x41", "\0\xffA"
UUID_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"
TIME_MS = 1_700_000_000_123
ABSENT = object()


def rows(table):
    """Return the first cell of each row of a table."""
    lines = PAGE[PAGE.index(f"\n| {table} | becomes |\n") :].splitlines()[3:]
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(line.split("|")[1].strip())
    return found


def logical(kind, name, **more):
    """Return a logical type."""
    return {"type": kind, "logicalType": name, **more}


def fixed(size, name="", **more):
    """Return a fixed, of a logical type or of none."""
    made = {"type": "fixed", "name": "F", "size": size, **more}
    return {**made, "logicalType": name} if name else made


INNER = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]}
MICROS = 1000 * TIME_MS + 999
AVRO = {  # row: (type, value that is written without the logical type, content)
    "`null`": [("null", None, None)],
    "`boolean`": [("boolean", True, True), ("boolean", False, False)],
    "`int`, `long`, `float`, `double`": [
        ("int", -(2**31), -(2**31)),
        ("long", 2**63 - 1, 2**63 - 1),
        ("float", 0.5, 0.5),
        ("double", 1e300, 1e300),
    ],
    "`string`, `enum`": [
        ("string", "a ä", "a ä"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
    ],
    "`bytes`, `fixed`": [("bytes", BYTES, BYTES_TEXT), (fixed(3), BYTES, BYTES_TEXT)],
    "`record`, `map`": [
        (INNER, {"x": 7}, {"x": 7}),
        ({"type": "map", "values": "int"}, {"a": 1}, {"a": 1}),
    ],
    "`array`": [({"type": "array", "items": "int"}, [1, 2], [1, 2])],
    "union": [
        (["null", "int"], None, None),
        (["null", "int"], 7, 7),
        (["int", "string", "boolean"], "a", "a"),
    ],
    "`decimal`": [
        (logical("bytes", "decimal", precision=9, scale=2), b"\x04\xe2", 12.5),
        (logical("bytes", "decimal", precision=9), b"\xff", -1),
        (fixed(2, "decimal", precision=4, scale=1), b"\x00\x7d", 12.5),
    ],
    "`uuid`": [
        (logical("string", "uuid"), UUID_TEXT, UUID_TEXT),
        (fixed(16, "uuid"), bytes(range(16)), UUID_TEXT),
    ],
    "`timestamp-millis`, `timestamp-micros`, `timestamp-nanos`": [
        (logical("long", "timestamp-millis"), TIME_MS, TIME_MS),
        (logical("long", "timestamp-micros"), MICROS, TIME_MS),
        (logical("long", "timestamp-nanos"), 1000 * MICROS, TIME_MS),
        (logical("long", "timestamp-micros"), -1, -1),
    ],
    "`local-timestamp-millis`, `local-timestamp-micros`, `local-timestamp-nanos`, `date`": [
        (logical("long", "local-timestamp-millis"), TIME_MS, TIME_MS),
        (logical("long", "local-timestamp-micros"), MICROS, TIME_MS),
        (logical("long", "local-timestamp-nanos"), 1000 * MICROS, TIME_MS),
        (logical("int", "date"), 2, 172_800_000),
    ],
    "`time-millis`, `time-micros`": [
        (logical("int", "time-millis"), 3_600_000, 3_600_000),
        (logical("long", "time-micros"), 3_600_000_999, 3_600_000),
    ],
    "`duration`, other logical types, a `decimal` whose scale or precision is invalid": [
        (fixed(12, "duration"), bytes(12), "\0" * 12),
        (logical("long", "unheard-of"), 7, 7),
        (logical("bytes", "decimal", precision=2, scale=3), b"\1\2", "\1\2"),
    ],
}

NUMBERS = [
    "int32",
    "int64",
    "uint32",
    "uint64",
    "sint32",
    "sint64",
    "fixed32",
    "fixed64",
    "sfixed32",
    "sfixed64",
]
GOOGLE = "google.protobuf."
DECIMAL_MESSAGE = "message M { confluent.type.Decimal v = 1; }"


def proto(kind, before="", file=""):
    """Return a schema with a field ``v`` of a type."""
    imported = f'import "google/protobuf/{file}.proto"; ' * bool(file)
    return f'syntax = "proto3"; {imported}message M {{ {before} {kind} v = 1; }}'


PROTOBUF = {  # row: (schema, values of the message as Python, content of v)
    "`double`, `float`": [(proto("double"), 1e300, 1e300), (proto("float"), 0.5, 0.5)],
    ", ".join(f"`{name}`" for name in NUMBERS): [(proto(name), 7, 7) for name in NUMBERS],
    "`bool`": [(proto("bool"), True, True)],
    "`string`": [(proto("string"), "a ä", "a ä")],
    "`bytes`": [(proto("bytes"), BYTES, BYTES_TEXT)],
    "enum": [
        (proto("E", "enum E { A = 0; B = 1; }"), 1, "B"),
        (proto("E", "enum E { A = 0; B = 1; }"), 9, 9),
    ],
    "message, group": [
        (proto("I", "message I { int32 xY_z = 1; }"), {"xY_z": 7}, {"xY_z": 7}),
        (
            'syntax = "proto2"; message M { optional group V = 1 { optional int32 x = 1; } }',
            {"x": 7},
            {"x": 7},
        ),
    ],
    "`repeated`": [
        (proto("repeated int32"), [1, 2], [1, 2]),
        (proto("repeated int32"), ABSENT, []),
    ],
    "`map`": [
        (proto("map<string, int32>"), {"a": 1}, {"a": 1}),
        (proto("map<int32, bool>"), {-7: True}, {"-7": True}),
        (proto("map<bool, string>"), {True: "x"}, {"true": "x"}),
    ],
    "`oneof`": [
        ('syntax = "proto3"; message M { oneof o { int32 v = 1; int32 w = 2; } }', 0, 0),
        ('syntax = "proto3"; message M { oneof o { int32 v = 1; int32 w = 2; } }', ABSENT, ABSENT),
    ],
    "a field that is not set and has presence": [
        (proto("optional double"), ABSENT, ABSENT),
        (proto("I", "message I {}"), ABSENT, ABSENT),
        ('syntax = "proto2"; message M { optional int32 v = 1 [default = 7]; }', ABSENT, ABSENT),
    ],
    "a field that is not set and has no presence": [
        (proto("double"), ABSENT, 0.0),
        (proto("int64"), ABSENT, 0),
        (proto("bool"), ABSENT, False),
        (proto("string"), ABSENT, ""),
        (proto("E", "enum E { A = 0; }"), ABSENT, "A"),
    ],
    "`google.protobuf.Timestamp`": [
        (
            proto(f"{GOOGLE}Timestamp", file="timestamp"),
            {"seconds": -1, "nanos": 999_999_999},
            -1,
        ),
    ],
    "`google.protobuf.Duration`": [
        (proto(f"{GOOGLE}Duration", file="duration"), {"seconds": 2, "nanos": 500_000_000}, 2.5),
    ],
    (
        "`google.protobuf.DoubleValue`, `google.protobuf.Int64Value`, `google.protobuf.BoolValue`, "
        "`google.protobuf.StringValue`, `google.protobuf.BytesValue` and other wrappers"
    ): [
        (proto(f"{GOOGLE}{name}Value", file="wrappers"), {"value": value}, content)
        for name, value, content in [
            *(("Double", 0.5, 0.5), ("Float", 0.5, 0.5), ("Int64", 0, 0), ("UInt64", 7, 7)),
            *(("Int32", 7, 7), ("UInt32", 7, 7), ("Bool", False, False), ("String", "", "")),
            ("Bytes", BYTES, BYTES_TEXT),
        ]
    ]
    + [(proto(f"{GOOGLE}DoubleValue", file="wrappers"), ABSENT, ABSENT)],
    "`google.protobuf.Struct`, `google.protobuf.Value`, `google.protobuf.ListValue`": [
        (
            proto(f"{GOOGLE}Struct", file="struct"),
            {"a": 1.5, "b": None, "c": [True, "x"], "d": {"e": {}}},
            {"a": 1.5, "b": None, "c": [True, "x"], "d": {"e": {}}},
        ),
        (proto(f"{GOOGLE}Value", file="struct"), {"number_value": 1.5}, 1.5),
        (proto(f"{GOOGLE}Value", file="struct"), {"null_value": 0}, None),
        (proto(f"{GOOGLE}ListValue", file="struct"), [1.5, "x"], [1.5, "x"]),
    ],
    "`google.protobuf.Any`, `google.protobuf.FieldMask`, `google.protobuf.Empty`": [
        (
            proto(f"{GOOGLE}Any", file="any"),
            {"type_url": "t", "value": BYTES},
            {"type_url": "t", "value": BYTES_TEXT},
        ),
        (proto(f"{GOOGLE}FieldMask", file="field_mask"), {"paths": ["a"]}, {"paths": ["a"]}),
        (proto(f"{GOOGLE}Empty", file="empty"), {}, {}),
    ],
    "`confluent.type.Decimal`": [
        (
            f'syntax = "proto3"; import "confluent/type/decimal.proto"; {DECIMAL_MESSAGE}',
            {"value": value, "scale": scale},
            content,
        )
        for value, scale, content in [(b"\x04\xe2", 2, 12.5), (b"\xff", 0, -1), (b"\x07", -2, 700)]
    ],
}

JSON = {  # row: (schema of the property v, JSON of the value or ABSENT, content)
    "`object`": [({"type": "object"}, '{"x": 7}', {"x": 7})],
    "`array`": [({"type": "array"}, "[1, 2]", [1, 2])],
    "`string`, of any `format` and `contentEncoding`": [
        ({"type": "string", "format": "date-time"}, '"2026-01-02"', "2026-01-02"),
        ({"type": "string", "contentEncoding": "base64"}, '"AA=="', "AA=="),
    ],
    "`number`, `integer`": [
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "integer"}, str(2**63), 2**63),
    ],
    "`boolean`": [({"type": "boolean"}, "true", True)],
    "`null`": [({"type": "null"}, "null", None)],
    "`enum`, `const`, `oneOf`, `anyOf`, `$ref`": [
        ({"enum": ["A", "B"]}, '"C"', "C"),
        ({"const": 1}, "2", 2),
        ({"oneOf": [{"type": "string"}, {"type": "number"}]}, "7", 7),
    ],
    "`default` of an absent property": [({"type": "number", "default": 7}, ABSENT, ABSENT)],
}


@pytest.mark.parametrize(
    ("table", "cases"), [("Avro", AVRO), ("Protobuf", PROTOBUF), ("JSON Schema", JSON)]
)
def test_each_row_of_the_page_has_a_case(table, cases):
    """And the other way round."""
    assert [re.sub(r"\s+", " ", row) for row in rows(table)] == list(cases)


def content(kind, schema, body):
    """Return the content of a body."""
    schemas = Schemas(Shelf({"7": Schema(kind, schema)}))
    schemas.fetch("7")
    reader = FramedRecords([], Event(), schemas, fetches=False)
    return reader.content(b"\0\0\0\0\7" + body, Frame("7", 5))


def flat(cases):
    """Return the cases of all rows."""
    return [case for row in cases.values() for case in row]


@pytest.mark.parametrize(("kind", "value", "expected"), flat(AVRO))
def test_types_of_avro(kind, value, expected):
    """A body of fastavro."""
    plain = kind
    if isinstance(kind, dict) and "logicalType" in kind:
        plain = {name: option for name, option in kind.items() if name != "logicalType"}
        plain = plain["type"] if plain["type"] != "fixed" else plain
    record = {"type": "record", "name": "R", "fields": [{"name": "v", "type": plain}]}
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(record), {"v": value})
    schema = json.dumps({**record, "fields": [{"name": "v", "type": kind}]})
    assert repr(content("AVRO", schema, body.getvalue())) == repr({"v": expected})


@pytest.mark.parametrize(("schema", "value", "expected"), flat(PROTOBUF))
def test_types_of_protobuf(schema, value, expected):
    """A body of google's runtime."""
    message = message_class(schema, "M")()
    if value is not ABSENT:
        _set(message, value)
    found = content("PROTOBUF", schema, b"\0" + message.SerializeToString())
    assert pformat(found.get("v", ABSENT)) == pformat(expected)


def _set(message, value):
    inner = message.v
    if isinstance(value, list) and not hasattr(inner, "SetInParent"):
        inner.extend(value)
    elif isinstance(value, list):
        inner.SetInParent()
        inner.extend(value)
    elif isinstance(value, dict) and message.DESCRIPTOR.fields_by_name["v"].is_repeated:
        inner.update(value)
    elif isinstance(value, dict) and inner.DESCRIPTOR.full_name == f"{GOOGLE}Struct":
        inner.SetInParent()
        inner.update(value)
    elif isinstance(value, dict):
        inner.SetInParent()
        for name, part in value.items():
            if isinstance(part, list):
                getattr(inner, name).extend(part)
            else:
                setattr(inner, name, part)
    else:
        message.v = value


@pytest.mark.parametrize(("schema", "text", "expected"), flat(JSON))
def test_types_of_json_schema(schema, text, expected):
    """A body of JSON, which its schema does not change."""
    body = "{}" if text is ABSENT else f'{{"v": {text}}}'
    whole = json.dumps({"type": "object", "properties": {"v": schema}, "required": ["v", "w"]})
    found = content("JSON", whole, body.encode())
    assert pformat(found.get("v", ABSENT)) == pformat(expected)
