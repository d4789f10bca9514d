"""The option ``value_format``: records of another format are dead letters that say so."""

import json

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.envelope import Envelope
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.framed import COLUMNS_MIN, open_framed
from stream_rnn.fold.records import FileRecord
from stream_rnn.fold.value_formats import check_registry
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.bundle import fingerprint_of
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.files import read_batches
from stream_rnn.replay.logs import FileLog
from stream_rnn.replay.send import SendOptions, send
from tests import models
from tests.unit.framed_records import SPEC, as_avro, as_json, as_later, records, settings, shelf
from tests.unit.test_protobuf_schema import MACHINE, machine

VALUES = {
    "json": [as_json(1)],
    "avro": [as_avro(1), as_later(2)],
    "protobuf": [machine(3)],
    "json_schema": [b"\0\0\0\0\x09" + as_json(4)],
}


def spec(value_format="auto", **event):
    """Return the spec with a format."""
    event = {**SPEC["event"], "value_format": value_format, **event}
    return FeatureSpec.model_validate({**SPEC, "event": event})


def decoder(value_format, **event):
    """Make a decoder that knows schemas of all formats."""
    source = shelf()
    source.schemas["10"] = Schema("PROTOBUF", MACHINE)
    return Decoder(spec(value_format, **event), settings(), schemas=Schemas(source))


@pytest.mark.parametrize("value_format", VALUES)
@pytest.mark.parametrize("times", [1, COLUMNS_MIN])
@pytest.mark.parametrize("event", [{}, {"only": [{"path": "kind", "in": ["A", "B", "C"]}]}])
def test_a_record_of_another_format_is_a_dead_letter_that_says_so(value_format, times, event):
    """In a batch of all formats, by columns and one by one; a forget has no format."""
    values = [value for of_format in VALUES.values() for value in of_format] * times + [None]
    formats = [name for name, of_format in VALUES.items() for _ in of_format] * times
    found = decoder(value_format, **event).decode(records(values))
    assert found.forgets == [len(formats)]
    for row, name in enumerate(formats):
        if name == value_format:
            assert row not in found.skips
        else:
            assert found.skips[row].code == "wrong_format"
            assert f"event.value_format is {value_format}" in str(found.skips[row])
    everything = decoder("auto", **event).decode(records(values))
    assert len(everything.rows) == len(formats)
    (_, one), *_ = [(n, v) for n, v in zip(formats, values, strict=False) if n == value_format]
    assert not decoder(value_format, **event).decode(records([one] * 40)).skips


def test_json_asks_no_registry():
    """What is framed is refused without its schema."""
    reader = decoder("json")
    found = reader.decode(records([as_json(1), as_avro(1), b"\0\0\0\0\x63body", b"{"]))
    assert [found.skips[row].code for row in (1, 2, 3)] == ["wrong_format"] * 2 + ["not_json"]
    assert "schema id 99" in str(found.skips[2])
    assert reader.schemas is None
    assert open_framed(spec("json"), settings(schema_registry_url="http://localhost:1")) is None


def test_a_file_has_its_own_format(tmp_path):
    """The rows of a file are events, whatever the format of the topic is."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(b'{"machine": "m",' + as_json(i)[1:] for i in range(50)))
    rows = [row for batch in read_batches(path, spec("avro")) for row in batch]
    assert {type(row) for row in rows} == {FileRecord}
    for chosen in (rows, rows[:1]):
        assert not decoder("avro").decode(chosen).skips
    mixed = decoder("avro").decode([*rows[:3], *records([as_json(1)])])
    assert mixed.skips.keys() == {3}
    envelope = spec("avro", forget_when={"path": "kind", "equals": "B"}).event
    framed = open_framed(spec("avro"), settings(schema_registry_url="http://localhost:1"))
    opened = Envelope(envelope, settings(), framed)
    assert opened.forgets(rows[1])
    assert not opened.forgets(records([as_json(1)])[0])


def test_the_fold_covers_the_format_and_auto_is_as_before():
    """A bundle without the option keeps its fingerprint."""
    model = models.small()
    plain = fingerprint_of(model.spec, model.cell, {})
    event = model.spec.event.model_copy(update={"value_format": "auto"})
    same = model.spec.model_copy(update={"event": event})
    assert "value_format" not in json.dumps(same.model_dump(mode="json"))
    assert fingerprint_of(same, model.cell, {}) == plain
    event = model.spec.event.model_copy(update={"value_format": "avro"})
    other = fingerprint_of(model.spec.model_copy(update={"event": event}), model.cell, {})
    assert fold_id(other, settings()) != fold_id(plain, settings())


def test_a_format_with_schemas_needs_a_registry():
    """A worker does not start without one."""
    with pytest.raises(ConfigError, match="schema_registry_url"):
        check_registry(spec("avro").event, settings())
    check_registry(spec("json").event, settings())
    check_registry(spec("avro").event, settings(schema_registry_url="http://localhost:1"))


async def test_send_refuses_a_format_that_it_does_not_write(tmp_path):
    """It writes JSON, which the worker would refuse."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(as_json(1))
    with pytest.raises(ConfigError, match="send writes JSON"):
        await send(FileLog(path, spec("avro")), settings(), SendOptions("topic"), lambda _: None)
