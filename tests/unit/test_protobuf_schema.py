"""Schemas of Protobuf: what compiles, which message a record names, and what is refused."""

import json
import sys

import pytest

from stream_rnn.errors import DecodeError, UnavailableError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.framed import COLUMNS_MIN, SchemasNeededError
from stream_rnn.formats import protobuf_schema
from stream_rnn.formats.avro_schema import SCHEMA_BYTES_MAX
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.protobuf import CHAIN_MAX, INDEXES_MAX, Protobuf
from stream_rnn.formats.protobuf_columns import ProtobufColumns
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from tests.protobuf_messages import EVENT, OLDER, PART, message_class
from tests.unit.framed_records import SPEC, Shelf, assert_same, event, records, settings

REFERENCES = (("parts/part.proto", PART),)
FRAME = b"\0\0\0\0\x0a"
MACHINE = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Sensor { optional float value = 1; }
message Machine {
  google.protobuf.Timestamp at = 1; optional double load = 2; Sensor sensor = 3;
  enum Kind { A = 0; B = 1; C = 2; }
  Kind kind = 4; bool on = 5; map<string, string> notes = 6;
}
"""
PROTO3 = 'syntax = "proto3";'


def machine(i):
    """Return an event as a value with schema 10; its message is the second one."""
    made = message_class(MACHINE, "Machine") if not KINDS else KINDS[0]
    KINDS[:] = [made]
    given, message = event(i), made()
    message.at.FromMilliseconds(given["at"])
    if given["load"] is not None:
        message.load = given["load"]
    if given["sensor"] is not None:
        message.sensor.SetInParent()
        if given["sensor"]["value"] is not None:
            message.sensor.value = given["sensor"]["value"]
    message.kind, message.on, message.notes["a"] = "ABC".index(given["kind"]), given["on"], "b"
    return FRAME + b"\2\2" + message.SerializeToString()


KINDS = []


def decoder(schema=MACHINE, **options):
    """Make a decoder with the schema 10."""
    schemas = Schemas(Shelf({"10": Schema("PROTOBUF", schema)}))
    return Decoder(FeatureSpec.model_validate(SPEC), settings(), schemas=schemas, **options)


@pytest.mark.parametrize("count", [1, COLUMNS_MIN, 300])
def test_a_record_of_protobuf_is_the_event_that_it_is_in_json(count):
    """By columns and one by one."""
    values = list(map(machine, range(count)))
    found = decoder().decode(records(values))
    expected = decoder().decode(records(json.dumps(event(i)).encode() for i in range(count)))
    assert_same(found, expected)
    messages = Protobuf(MACHINE, (), Moment())
    paths = [("at",), ("load",), ("sensor", "value"), ("kind",), ("on",)]
    _, given_up = ProtobufColumns(messages, paths).read(values, len(FRAME))
    assert not given_up.any()


def test_bad_bodies_cost_their_records_alone():
    """Cut, lengthened, and with indexes of no message, among good ones."""
    values = [machine(i) for i in range(3 * COLUMNS_MIN)]
    values[5], values[9] = values[5][:-1], values[9] + b"\x08"
    values[11] = FRAME + b"\2\x40" + values[11][7:]
    values[12], values[13] = FRAME + b"\x0f", FRAME
    found = decoder().decode(records(values))
    assert {row: error.code for row, error in found.skips.items()} == dict.fromkeys(
        (5, 9, 11, 12, 13), "bad_body"
    )
    assert all("schema id 10" in str(error) for error in found.skips.values())
    good = [i for i in range(len(values)) if i not in found.skips]
    alone = decoder().decode([records(values)[i] for i in good])
    assert found.columns == alone.columns


def test_a_header_may_hold_the_id_and_the_indexes():
    """The value is then the bare body."""
    header = (("__value_schema_id", FRAME + b"\2\2"),)
    values = [machine(i)[7:] for i in range(2 * COLUMNS_MIN)]
    found = decoder().decode(records(values, header))
    assert_same(found, decoder().decode(records(map(machine, range(2 * COLUMNS_MIN)))))


@pytest.mark.parametrize(
    ("indexes", "name"),
    [
        (b"\0", "shop.Other"),
        (b"\2\0", "shop.Other"),
        (b"\2\2", "shop.Event"),
        (b"\4\2\0", "shop.Event.Inner"),
        (b"\6\2\0\0", "shop.Event.Inner.Deep"),
    ],
)
def test_indexes_name_a_message_level_by_level(indexes, name):
    """A single zero is short for the first message; messages of maps are not counted."""
    messages = Protobuf(EVENT, REFERENCES, Moment())
    body = message_class(EVENT, name, REFERENCES)().SerializeToString()
    content = messages.content(FRAME + indexes + body, len(FRAME), None)
    names = {"shop.Other": {"name"}, "shop.Event.Inner.Deep": {"x"}}
    names["shop.Event.Inner"] = {"notes"}
    assert content.keys() == names.get(name, content.keys())


@pytest.mark.parametrize(
    "indexes",
    [b"", b"\x80", b"\2", b"\1", b"\2\x80\x80\x80\x80\x80\1", b"\4\0\0", b"\2\x04", b"\xff\x7f"],
)
def test_indexes_of_no_message_are_a_bad_body(indexes):
    """They end early, are negative, too many, or name a message that the schema lacks."""
    messages = Protobuf(EVENT, REFERENCES, Moment())
    with pytest.raises(ValueError, match=r"index|indexes"):
        messages.content(FRAME + indexes, len(FRAME), None)
    assert INDEXES_MAX < 1000


def test_the_older_syntax_has_presence_defaults_and_groups():
    """A field that is not set is missing, whatever its default; a group is an object."""
    made = message_class(OLDER, "Event")
    message = made(d=1.5)
    message.inner.x = 7
    message.many.extend([1, 2])
    older = Protobuf(OLDER, (), Moment())
    content = older.content(b"\0" + message.SerializeToString(), 0, None)
    assert content == {"d": 1.5, "inner": {"x": 7}, "many": [1, 2]}
    assert older.content(b"\0" + b"\x12\x02\xff\xfe" + b"\x18\x09", 0, None) == {
        "s": "\ufffd\ufffd",
        "many": [],
    }  # no UTF-8, an unknown symbol, and no required field


def test_unknown_fields_are_ignored():
    """A writer may have a newer schema."""
    newer = MACHINE.replace("message Sensor", "message Sensor { int32 x = 9; } message S")
    assert newer != MACHINE
    one = Protobuf(PROTO3 + "message M { int32 x = 1; }", (), Moment())
    two = message_class(PROTO3 + "message M { int32 x = 1; string y = 2; M z = 3; }", "M")
    body = two(x=7, y="text", z=two(x=8)).SerializeToString()
    assert one.content(b"\0" + body, 0, None) == {"x": 7}


def test_fields_may_have_the_names_of_methods():
    """Both readers read them."""
    text = PROTO3 + (
        "message M { optional int32 HasField = 1; int32 FromString = 2; int32 value = 3; }"
    )
    body = b"\0" + message_class(text, "M")(HasField=1, FromString=2, value=3).SerializeToString()
    messages = Protobuf(text, (), Moment())
    assert messages.content(body, 0, None) == {"HasField": 1, "FromString": 2, "value": 3}
    _, given_up = ProtobufColumns(messages, [("value",)]).read([body], 0)
    assert given_up.all()


def test_a_reference_does_not_replace_a_known_type():
    """A registry may list google's files, of which a reader has its own."""
    other = PROTO3 + "package google.protobuf; message Timestamp { string seconds = 1; }"
    text = PROTO3 + (
        'import "google/protobuf/timestamp.proto"; message M { google.protobuf.Timestamp at = 1; }'
    )
    messages = Protobuf(text, (("google/protobuf/timestamp.proto", other),), Moment())
    assert messages.content(b"\0\x0a\x02\x08\x02", 0, None) == {"at": 2000}
    own = Protobuf(other, (), Moment())
    assert own.content(b"\0\x0a\x01x", 0, None) == {"seconds": "x"}


CHAIN = (
    PROTO3
    + "".join(f"message M{i} {{ M{i + 1} a = 1; }}" for i in range(3000))
    + ("message M3000 {}")
)
SHORTER = (
    PROTO3
    + "".join(f"message M{i} {{ M{i + 1} a = 1; }}" for i in range(CHAIN_MAX - 1))
    + (f"message M{CHAIN_MAX - 1} {{}}")
)


@pytest.mark.parametrize(
    ("text", "references", "why"),
    [
        ("no schema", (), "does not compile"),
        (PROTO3 + 'import "absent.proto";', (), "absent.proto"),
        (PROTO3 + "message M { " * 500 + "}" * 500, (), "does not compile"),
        (" " * (SCHEMA_BYTES_MAX + 1), (), "characters"),
        (PROTO3 + "// \ud800", (), "surrogates"),
        (CHAIN, (), "longer than"),
        (PROTO3 + "message M {}", (("../escape.proto", PROTO3),), "no name of a file"),
        (PROTO3 + "message M {}", (("/escape.proto", PROTO3),), "no name of a file"),
        (PROTO3 + "message M {}", (("a", PROTO3), ("a/b", PROTO3)), "no name of a file"),
        (PROTO3 + "message M {}", (("x" * 300, PROTO3),), "no name of a file"),
        (PROTO3 + "message M {}", (("", PROTO3),), "no name of a file"),
        (PROTO3 + "message M {}", (("a\nb", PROTO3),), "no name of a file"),
        (PROTO3 + "message M { M m = 1; } message M {}", (), "does not compile"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(text, references, why):
    """It becomes a dead letter with the reason, and nothing else is raised."""
    with pytest.raises(DecodeError, match=why) as caught:
        Protobuf(text, references, Moment()).content(b"\0", 0, None)
    assert caught.value.code == "unsupported_schema"
    assert len(str(caught.value)) < 1000


def test_a_chain_of_messages_up_to_the_limit_is_read():
    """From a stack of some depth, as a worker has."""
    messages = Protobuf(SHORTER, (), Moment())

    def deeper(levels):
        return deeper(levels - 1) if levels else messages.content(b"\0", 0, None)

    assert deeper(100) == {}


def test_a_decimal_with_an_absurd_scale_is_a_bad_body():
    """Computing it would take minutes; a negative scale appends zeros."""
    text = (
        PROTO3
        + 'import "confluent/type/decimal.proto"; message M { confluent.type.Decimal d = 1; }'
    )
    kind = message_class(text, "M")
    messages = Protobuf(text, (), Moment())

    def read(value, scale):
        body = kind(d={"value": value, "scale": scale}).SerializeToString()
        return messages.content(b"\0" + body, 0, None)["d"]

    assert (read(b"\x04\xe2", 2), read(b"\x07", -3), read(b"\xff", 0)) == (12.5, 7000, -1)
    for scale in (2**31 - 1, -(2**31), 401):
        with pytest.raises(ValueError, match="scale"):
            read(b"\1", scale)


def test_a_compiler_that_does_not_end_makes_no_dead_letters(monkeypatch):
    """A slow machine is no verdict on a schema."""
    monkeypatch.setattr(protobuf_schema, "COMPILE_S", 0.0)
    with pytest.raises(UnavailableError, match="overloaded"):
        decoder(MACHINE + "// of this test").decode(records([machine(1)]))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces these limits")
def test_a_compiler_that_needs_too_much_is_ended(monkeypatch):
    """Its process has a limit of memory."""
    monkeypatch.setattr(protobuf_schema, "COMPILE_BYTES_MAX", 10_000_000)
    with pytest.raises(DecodeError) as caught:
        Protobuf(MACHINE + "// without memory", (), Moment())
    assert caught.value.code == "unsupported_schema"


def test_a_worker_compiles_outside_of_decode_and_once():
    """The event loop goes on meanwhile, and every partition uses the result."""
    text = MACHINE + "// of the worker"
    reader = decoder(text, fetches=False)
    with pytest.raises(SchemasNeededError):
        reader.decode(records([machine(1)]))
    reader.schemas.fetch("10")
    with pytest.raises(SchemasNeededError) as needed:
        reader.decode(records([machine(1)]))
    assert needed.value.schema_ids == ["10"]
    reader.prepare("10")
    assert len(reader.decode(records([machine(1)])).rows) == 1
    before = protobuf_schema.compile_schema.cache_info().misses
    decoder(text).decode(records([machine(1)]))
    assert protobuf_schema.compile_schema.cache_info().misses == before


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63), 10**12, 253_402_300_800])
@pytest.mark.parametrize("count", [1, COLUMNS_MIN])
def test_a_time_beyond_the_calendar_is_out_of_bounds(seconds, count):
    """By columns and one by one, as in JSON."""
    made = message_class(MACHINE, "Machine")()
    made.at.seconds = seconds
    value = FRAME + b"\2\2" + made.SerializeToString()
    found = decoder().decode(records([value] * count))
    assert {error.code for error in found.skips.values()} == {"time_out_of_bounds"}
    as_json = json.dumps({"at": seconds * 1000}).encode()
    other = decoder().decode(records([as_json] * count))
    assert {error.code for error in other.skips.values()} == {"time_out_of_bounds"}
