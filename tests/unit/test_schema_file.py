"""Schemas as lines of a file, and the bounds of those that a process knows."""

import json

import pytest

from stream_rnn.errors import ConfigError, DecodeError
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.formats import schemas as schemas_module
from stream_rnn.formats.open_schemas import open_schemas
from stream_rnn.formats.schema_file import EXPORT_MAGIC, encode_line, read_schemas
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.settings import Settings
from tests import models

NESTED = Schema("AVRO", '"int"', (("a", '"long"'), ("b", '{"type": "string"}')))
UNKNOWN = DecodeError("unknown_schema", "there is none")
LINES = [encode_line("7", NESTED), encode_line("ab" * 16, Schema("JSON", "{}"))]
LINES.append(encode_line("9", UNKNOWN))


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(content):
        path = tmp_path / "schemas.jsonl"
        path.write_bytes(content)
        return str(path)

    return write


@pytest.mark.parametrize("as_export", [False, True])
def test_a_file_has_what_was_written(file, as_export):
    """As lines, or in an export, whose binary part is not read."""
    lines = b"\n".join(LINES) + b"\n"
    if as_export:
        lines = EXPORT_MAGIC + b'{"app": "a", "schemas": 3}\n' + lines + b"\x00\xff binary"
    found = read_schemas(file(lines))
    assert found["7"] == NESTED
    assert found["ab" * 16].kind == "JSON"
    assert (found["9"].code, str(found["9"])) == ("unknown_schema", "there is none")


def test_an_export_without_schemas_has_none(file):
    """As those of a version before them."""
    assert read_schemas(file(EXPORT_MAGIC + b'{"app": "a"}\n{"partition": 0}\n')) == {}


BROKEN = {
    b"{": "line 1 is no schema",
    b"\n\n[]": "line 3 is no schema",
    b'{"id": "x", "kind": "AVRO", "schema": ""}': "id",
    b'{"id": "7", "kind": "AVRO"}': "either `kind` and `schema`, or `error`",
    b'{"id": "7", "kind": "AVRO", "schema": "", "error": "unknown_schema"}': "either",
    b'{"id": "7", "error": "other"}': "error",
    b'{"id": "7", "kind": "AVRO", "schema": "", "more": 1}': "more",
    LINES[0] + b"\n" + LINES[0]: "line 2: schema id 7 comes twice",
    EXPORT_MAGIC + b"no": "no export of states",
}


@pytest.mark.parametrize("content", BROKEN)
def test_a_line_that_is_no_schema_is_named(file, content):
    """With the path and the number of the line."""
    path = file(content)
    with pytest.raises(ConfigError) as error:
        read_schemas(path)
    assert path in str(error.value)
    assert BROKEN[content] in str(error.value)
    with pytest.raises(ConfigError, match="cannot read schemas no-such-file"):
        read_schemas("no-such-file")


def test_a_replay_needs_no_registry_with_a_file(file):
    """What the file lacks stops it, and what the file calls unknown is a dead letter."""
    schema = {
        "type": "record",
        "name": "E",
        "fields": [{"name": "x", "type": "double"}, {"name": "kind", "type": "string"}],
    }
    line = encode_line("7", Schema("AVRO", json.dumps(schema)))
    settings = Settings.build(schemas=file(line + b"\n" + LINES[2]))
    decoder = Decoder(models.small().spec, settings)
    body = b"\0\0\0\0\x07" + bytes(8) + b"\x02A"
    found = decoder.decode(
        [LogRecord(0, 5, b"k", body), LogRecord(1, 5, b"k", b"\0\0\0\0\x09body")]
    )
    assert found.columns["kind"] == ["A"]
    assert [error.code for error in found.skips.values()] == ["unknown_schema"]
    with pytest.raises(Exception, match="has no schema with id 8; register it"):
        decoder.decode([LogRecord(0, 5, b"k", b"\0\0\0\0\x08body")])


def test_an_id_never_stands_for_two_schemas():
    """The error names the id, and why that may be."""
    schemas = Schemas(open_schemas)
    schemas.add("7", NESTED)
    schemas.add("7", NESTED)
    schemas.add("9", UNKNOWN)
    schemas.add("9", DecodeError("unknown_schema", "in other words"))
    for schema_id in ("7", "9"):
        with pytest.raises(ConfigError, match=f"schema id {schema_id} stands for two schemas"):
            schemas.add(schema_id, Schema("JSON", "{}"))


def test_the_ids_and_characters_that_a_process_knows_are_bounded(monkeypatch):
    """A producer that frames records with ever new ids stops it, and is named as the cause."""
    monkeypatch.setattr(schemas_module, "SCHEMAS_MAX", 3)
    schemas = Schemas(open_schemas)
    for number in range(3):
        schemas.add(str(number), UNKNOWN)
    with pytest.raises(
        ConfigError, match=r"more than 3 schema ids.* last id is 3: find the producer"
    ):
        schemas.add("3", UNKNOWN)
    monkeypatch.setattr(schemas_module, "CHARACTERS_MAX", 100)
    schemas = Schemas(open_schemas)
    schemas.add("1", Schema("AVRO", "x" * 60))
    with pytest.raises(ConfigError, match="100 characters"):
        schemas.add("2", Schema("AVRO", "x" * 20, (("a", "x" * 30),)))
