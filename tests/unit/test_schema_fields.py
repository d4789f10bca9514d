"""Fields as schemas declare them, and the spec that is proposed for an Avro file."""

import json

import pytest

from stream_rnn.formats.frames import Frame
from stream_rnn.formats.schemas import Schema
from stream_rnn.notebook.spec import propose_spec
from stream_rnn.replay.files import read_batches
from stream_rnn.spec.schema_fields import FIELDS_MAX, SchemaField, fields_of, merge_fields
from tests.protobuf_messages import EVENT, PART
from tests.unit.framed_records import WRITER
from tests.unit.test_avro_files import FILE_WRITER, row, write


def test_fields_of_avro():
    """Nested ones by their paths, unions with null as nullable, maps not at all."""
    fields = fields_of(Schema("AVRO", json.dumps(WRITER)))
    assert fields == {
        ("at",): SchemaField("long with the logical type timestamp-micros", (), True, False),
        ("load",): SchemaField("double", (), False, True),
        ("sensor", "value"): SchemaField("float", (), False, True),
        ("kind",): SchemaField("enum", ("A", "B", "C"), False, False),
        ("on",): SchemaField("boolean", (), False, False),
        ("notes",): SchemaField("map", (), False, False),
    }


def test_logical_types_have_the_names_of_avro():
    """A person looks them up there."""
    day = {"name": "day", "type": {"type": "int", "logicalType": "date"}}
    local = {"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-micros"}}
    record = {"type": "record", "name": "E", "fields": [day, local]}
    fields = fields_of(Schema("AVRO", json.dumps(record)))
    assert fields["day",].kind == "int with the logical type date"
    assert fields["at",].kind == "long with the logical type local-timestamp-micros"


def test_fields_of_protobuf():
    """Of the message that a value names; recursive messages end."""
    schema = Schema("PROTOBUF", EVENT, (("parts/part.proto", PART),))
    fields = fields_of(schema, b"\0\0\0\0\7\2\2", Frame("7", 5))
    assert fields["kind",] == SchemaField("enum", ("A", "B", "C"), False, False)
    assert fields["od",] == SchemaField("double", (), False, True)
    assert fields["at",].is_time
    assert fields["part", "name"] == SchemaField("string", (), False, True)
    assert ("many",) not in fields
    assert max(map(len, fields)) <= 16
    assert fields_of(schema, b"\0\0\0\0\7\0", Frame("7", 5)).keys() == {("name",)}
    assert fields_of(schema, b"\0\0\0\0\7", Frame("7", 5)) == {}


def test_fields_of_json_schema():
    """References within the text, several types, and enums of texts."""
    schema = {
        "required": ["a", "b"],
        "properties": {
            "a": {"type": "number"},
            "b": {"$ref": "#/definitions/b"},
            "c": {"type": ["string", "null"]},
            "d": {"properties": {"e": {"enum": ["x", "y", None]}}},
            "f": {"$ref": "#/definitions/f"},
            "g": True,
        },
        "definitions": {"b": {"enum": [1, 2], "type": "integer"}, "f": {"$ref": "#/definitions/f"}},
    }
    assert fields_of(Schema("JSON", json.dumps(schema))) == {
        ("a",): SchemaField("number"),
        ("b",): SchemaField("integer"),
        ("c",): SchemaField("string", (), False, True),
        ("d", "e"): SchemaField("enum", ("x", "y"), False, True),
    }


@pytest.mark.parametrize("kind", ["AVRO", "PROTOBUF", "JSON", "OTHER"])
@pytest.mark.parametrize("text", ["{", "[]", "7", '{"properties": 7}', ""])
def test_a_schema_that_cannot_be_used_declares_nothing(kind, text):
    """The sample decides then."""
    assert fields_of(Schema(kind, text), b"\0\0\0\0\7\0", Frame("7", 5)) == {}


NODE = {"v": {"type": "number"}, "a": {"$ref": "#/$defs/N"}, "b": {"$ref": "#/$defs/N"}}
TREES = {
    "AVRO": {
        "type": "record",
        "name": "N",
        "fields": [
            *({"name": name, "type": ["null", "N"]} for name in "ab"),
            {"name": "v", "type": "int"},
        ],
    },
    "PROTOBUF": 'syntax = "proto3"; message N { N a = 1; N b = 2; int32 v = 3; }',
    "JSON": {"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": NODE}}},
}
"""A type that has two fields of its own type, in each format."""


@pytest.mark.parametrize("kind", TREES)
def test_a_type_is_entered_once_within_itself(kind):
    """Its paths double with each level; the sample has the deeper ones that occur."""
    text = TREES[kind] if kind == "PROTOBUF" else json.dumps(TREES[kind])
    fields = fields_of(Schema(kind, text), b"\0\0\0\0\7\0", Frame("7", 5))
    assert set(fields) == {("v",), ("a", "v"), ("b", "v")}


def test_a_schema_has_more_paths_than_are_declared():
    """Each of 14 types has two fields of the next one; the fields with the shortest paths count."""
    kind = "int"
    for level in range(14):
        name = kind["name"] if level else "int"
        fields = [{"name": "a", "type": kind}, {"name": "b", "type": name}]
        kind = {"type": "record", "name": f"L{level}", "fields": fields}
    kind["fields"].append({"name": "last", "type": "boolean"})
    found = fields_of(Schema("AVRO", json.dumps(kind)))
    assert len(found) <= FIELDS_MAX
    assert ("last",) in found


@pytest.mark.parametrize("schema", ['{"properties": {"a": {"enum": 7}}}', "[" * 100_000])
def test_a_strange_schema_of_json_declares_nothing(schema):
    """Whatever its keywords have for values."""
    assert fields_of(Schema("JSON", schema)) == {}


def test_symbols_of_two_schemas_are_joined():
    """A writer may add one."""
    older = {("k",): SchemaField("enum", ("A", "B")), ("x",): SchemaField("int")}
    newer = {("k",): SchemaField("enum", ("B", "C"), False, True)}
    merged = merge_fields(older, newer)
    assert merged == {
        ("k",): SchemaField("enum", ("A", "B", "C"), False, True),
        ("x",): older["x",],
    }


def test_a_spec_of_an_avro_file_has_what_its_schema_declares(tmp_path):
    """Symbols that no row has, times by their logical type, and a sentence that says so."""
    rows = [{**row(i), "kind": "AB"[i % 2], "at": row(i * 60_000)["at"]} for i in range(300)]
    path = write(tmp_path / "log.avro", rows)
    proposed = propose_spec(path, key="machine", target="on")
    vocabulary = next(f.vocabulary for f in proposed.spec.features if f.name == "kind")
    assert vocabulary == ("A", "B", "C")
    assert proposed.spec.event.time.path == "at"
    text = " ".join(line.lstrip("# ") for line in proposed.toml.splitlines())
    assert "come from the schema of the file" in text
    assert "double of the schema, which may be null" in text
    assert len([r for batch in read_batches(path, proposed.spec) for r in batch]) == len(rows)
    assert FILE_WRITER["fields"][0]["name"] == "machine"
