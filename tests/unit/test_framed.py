"""Framed records: each record's frame decides its format, and nothing else decides its verdict."""

import io
import json
from dataclasses import dataclass, field

import fastavro
import numpy as np
import pytest

from stream_rnn.errors import DecodeError, UnavailableError
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.fold.framed import COLUMNS_MIN, SchemasNeededError
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings

SPEC = {
    "name": "machines",
    "event": {"key": ["machine"], "time": {"path": "at", "unit": "ms"}},
    "features": [
        {"name": "load", "kind": "numeric", "path": "load"},
        {"name": "inner", "kind": "numeric", "path": "sensor.value"},
        {"name": "kind", "kind": "categorical", "path": "kind", "vocabulary": ["A", "B"]},
        {"name": "on", "kind": "boolean", "path": "on"},
    ],
    "heads": [{"name": "next_load", "kind": "regression", "of": "next", "path": "load"}],
}
SENSOR = {
    "type": "record",
    "name": "Sensor",
    "fields": [{"name": "value", "type": ["null", "float"]}],
}
WRITER = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "load", "type": ["null", "double"]},
        {"name": "sensor", "type": ["null", SENSOR]},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"]}},
        {"name": "on", "type": "boolean"},
        {"name": "notes", "type": {"type": "map", "values": "string"}},
    ],
}
LATER = {  # a writer's next schema: fields added, reordered and removed, a type widened
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "extra", "type": {"type": "array", "items": "long"}},
        {"name": "kind", "type": ["null", "string"]},
        {"name": "load", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
TIME_MS = 1_700_000_000_000


@dataclass
class Shelf:
    """A source of schemas in memory."""

    schemas: dict[str, Schema]
    asked: list[str] = field(default_factory=list)
    is_away: bool = False

    def fetch(self, schema_id):
        """Return a schema."""
        self.asked.append(schema_id)
        if self.is_away:
            raise UnavailableError("the registry does not answer")
        if schema_id not in self.schemas:
            raise DecodeError("unknown_schema", f"there is no schema with id {schema_id}")
        return self.schemas[schema_id]


def shelf():
    """Make a source of the schemas 7 and 8, of JSON Schema as 9, and of Protobuf as 10."""
    return Shelf(
        {
            "7": Schema("AVRO", json.dumps(WRITER)),
            "8": Schema("AVRO", json.dumps(LATER)),
            "9": Schema("JSON", "{}"),
            "11": Schema("AVRO", "{"),
            "ab" * 16: Schema("AVRO", json.dumps(LATER)),
        }
    )


def settings(**more):
    """Make settings."""
    return Settings.build(app="app", source="events", predictions="out", **more)


def decoder(source=None, **options):
    """Make a decoder with schemas."""
    schemas = Schemas(source or shelf())
    return Decoder(FeatureSpec.model_validate(SPEC), settings(), schemas=schemas, **options)


def avro(schema, value, number):
    """Return a framed body."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    return b"\0" + number.to_bytes(4, "big") + body.getvalue()


def event(i):
    """Return an event as JSON has it."""
    return {
        "at": TIME_MS + i,
        "load": None if i % 5 == 0 else i / 8,
        "sensor": None if i % 7 == 0 else {"value": None if i % 3 == 0 else i / 4},
        "kind": "ABC"[i % 3],
        "on": i % 2 == 0,
    }


def as_json(i):
    """Return the event as a value in JSON."""
    return json.dumps(event(i)).encode()


def as_avro(i):
    """Return the event as a value with schema 7."""
    return avro(WRITER, {**event(i), "at": 1000 * (TIME_MS + i) + 999, "notes": {"a": "b"}}, 7)


def as_later(i):
    """Return an event as a value with schema 8."""
    return avro(LATER, {"extra": [i] * (i % 4), "kind": "A", "load": i, "at": TIME_MS + i}, 8)


def records(values, headers=()):
    """Make records of values."""
    return [LogRecord(i, TIME_MS + i, b"key", value, headers) for i, value in enumerate(values)]


def assert_same(found, expected):
    """Check that two decoded micro-batches are the same."""
    assert found.columns == expected.columns
    assert repr(found.columns) == repr(expected.columns)
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.time_ms, expected.time_ms)
    assert (found.forgets, found.filtered, found.keys) == (
        expected.forgets,
        expected.filtered,
        expected.keys,
    )
    assert {row: error.code for row, error in found.skips.items()} == {
        row: error.code for row, error in expected.skips.items()
    }


@pytest.mark.parametrize("count", [1, COLUMNS_MIN - 1, COLUMNS_MIN, 500])
def test_an_avro_record_is_the_event_that_it_is_in_json(count):
    """By columns and one by one."""
    found = decoder().decode(records(map(as_avro, range(count))))
    assert_same(found, decoder().decode(records(map(as_json, range(count)))))
    assert len(found.rows) == count


def test_each_record_is_of_its_own_format():
    """JSON, two schemas of Avro, JSON Schema, a forget and bad ones in one micro-batch."""
    values = []
    for i in range(400):
        later = {**event(i), "sensor": None, "kind": "A", "load": i, "on": None}
        framed_json = b"\0\0\0\0\x09" + as_json(i)
        values.append(
            [
                (as_avro(i), as_json(i)),
                (as_later(i), json.dumps(later).encode()),
                (framed_json, as_json(i)),
                (as_json(i), as_json(i)),
                (None, None),
                (as_avro(i)[:-1], b"not json"),
                (as_later(i) + b"\0", b"not json"),
                (b"\0\0\0\0\x63body", b"not json"),
                (b"\0\0\0\0\x0bbody", b"not json"),
                (b"\0\0\0\0\x09{", b"not json"),
            ][i * 7 % 10]
        )
    found = decoder().decode(records(one for one, _ in values))
    expected = decoder().decode(records(other for _, other in values))
    assert {error.code for error in expected.skips.values()} == {"not_json"}
    codes = {error.code for error in found.skips.values()}
    assert codes == {"bad_body", "unknown_schema", "unsupported_schema"}
    found.skips = dict.fromkeys(found.skips, DecodeError("not_json", ""))
    assert_same(found, expected)


@pytest.mark.parametrize("bad", [(), (5, 70)])
def test_events_keep_their_order_where_several_schemas_are_read_by_column(bad):
    """A key's events must not change places, whatever their schemas are."""
    values = [(as_avro, as_later)[i % 3 % 2](i) for i in range(4 * COLUMNS_MIN)]
    for row in bad:
        values[row] = values[row][:-1]
    found = decoder().decode(records(values))
    assert found.skips.keys() == set(bad)
    kept = [i for i in range(len(values)) if i not in bad]
    assert found.rows.tolist() == kept
    assert found.time_ms.tolist() == [TIME_MS + i for i in kept]
    alone = [decoder().decode([records(values)[i]]).columns["load"][0] for i in kept]
    assert found.columns["load"] == alone


def test_framed_json_is_read_as_json():
    """All of one schema, with and without a bad one among them."""
    values = [b"\0\0\0\0\x09" + as_json(i) for i in range(50)]
    expected = decoder().decode(records(map(as_json, range(50))))
    assert_same(decoder().decode(records(values)), expected)
    for bad, code in ((b"\0\0\0\0\x09{", "bad_body"), (b"\0\0\0\0\x09[]", "wrong_schema")):
        found = decoder().decode(records([*values, bad]))
        assert found.rows.tolist() == list(range(50))
        assert found.columns == expected.columns
        assert found.skips[50].code == code
    reader = decoder()
    reader._settings = settings(value_bytes_max=len(values[0]) - 1)
    assert reader.decode(records([values[0]])).skips[0].code == "value_too_large"


def test_the_verdict_on_a_record_never_depends_on_its_neighbours():
    """One by one, each record has the values that it has among the others."""
    values = [as_avro(i) if i % 9 else as_avro(i)[: 5 + i % 11] for i in range(120)]
    together = decoder().decode(records(values))
    assert len(together.skips) > 5
    rows = together.rows.tolist()
    for row, value in enumerate(values):
        alone = decoder().decode(records([value]))
        assert (row in together.skips) == bool(alone.skips)
        if not alone.skips:
            i = rows.index(row)
            assert alone.columns == {path: [c[i]] for path, c in together.columns.items()}


@pytest.mark.parametrize("kind", [[], {"type": "enum", "name": "None", "symbols": []}])
@pytest.mark.parametrize("name", ["load", "other"])
@pytest.mark.parametrize("count", [1, COLUMNS_MIN])
def test_a_type_without_values_costs_its_rows_alone(kind, name, count):
    """A union of no branches, or an enum of no symbols, whether the spec names the field or not."""
    source = shelf()
    fields = [{"name": name, "type": kind}]
    writer = {"type": "record", "name": "Event", "fields": fields}
    source.schemas["12"] = Schema("AVRO", json.dumps(writer))
    values = [b"\0\0\0\0\x0c\0"] * count + [as_avro(1)]
    decoded = decoder(source).decode(records(values))
    assert [skip.code for skip in decoded.skips.values()] == ["bad_body"] * count
    assert decoded.rows.tolist() == [count]


@pytest.mark.parametrize("size", range(6))
@pytest.mark.parametrize("row", [0, 20, 40])
def test_a_value_that_is_cut_costs_its_row_alone(size, row):
    """Wherever it stands, also before it has a whole schema id."""
    values = [as_avro(i) for i in range(40)]
    values.insert(row, as_avro(50)[:size])
    found = decoder().decode(records(values))
    assert list(found.skips) == [row]
    assert found.rows.tolist() == [i for i in range(41) if i != row]
    assert found.skips[row].code == decoder().decode(records([values[row]])).skips[0].code


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["timestamp-micros", "plain", "double"])
def test_an_event_time_does_not_depend_on_the_number_of_records(unit, kind):
    """A valid one, one far ahead and one outside of the calendar; as an array and one by one."""
    per_ms = {"s": 0.001, "ms": 1, "us": 1000, "ns": 1_000_000}[unit]
    logical = {"type": "long", "logicalType": kind}
    types = {"timestamp-micros": logical, "plain": "long", "double": "double"}
    schema = {**WRITER, "fields": [{"name": "at", "type": types[kind]}]}
    spec = {**SPEC, "event": {"key": ["machine"], "time": {"path": "at", "unit": unit}}}
    source = Shelf({"7": Schema("AVRO", json.dumps(schema))})
    reader = Decoder(FeatureSpec.model_validate(spec), settings(), schemas=Schemas(source))

    def value(i, days):
        number = (TIME_MS + i + days * 86_400_000) * (
            1000 if kind == "timestamp-micros" else per_ms
        )
        return avro(schema, {"at": number if kind == "double" else int(number)}, 7)

    usual = [value(i, 0) for i in range(COLUMNS_MIN)]
    ahead, never = value(0, 1000), value(0, 3_000_000 if unit != "ns" or kind != "plain" else 1000)
    for values in (usual, [*usual, ahead], [*usual, never, ahead]):
        together = reader.decode(records(values))
        alone = [reader.decode([record]) for record in records(values)]
        assert together.time_ms.tolist() == [t for one in alone for t in one.time_ms.tolist()]
        assert {row: str(error) for row, error in together.skips.items()} == {
            row: str(one.skips[0]) for row, one in enumerate(alone) if one.skips
        }
        assert together.columns["at"] == [at for one in alone for at in one.columns["at"]]
    assert len(together.skips) == 2


def test_a_header_names_the_schema_of_a_bare_body():
    """By its number, or by its GUID."""
    bare = as_later(3)[5:]
    for header in (b"\0\0\0\0\x08", b"\x01" + b"\xab" * 16):
        found = decoder().decode(records([bare], (("__value_schema_id", header),)))
        assert found.columns["load"] == [3.0]


def test_without_a_registry_a_framed_record_is_no_event():
    """The dead letter names the schema id and the setting."""
    spec = FeatureSpec.model_validate(SPEC)
    (error,) = Decoder(spec, settings()).decode(records([as_avro(1)])).skips.values()
    assert error.code == "framed"
    assert "schema id 7" in str(error)
    assert "schema_registry_url" in str(error)


def test_an_id_is_asked_for_once_and_what_it_stands_for_stays():
    """An id without a schema has none for this fold, even if one is registered later."""
    source = shelf()
    reader = Decoder(FeatureSpec.model_validate(SPEC), settings(), schemas=Schemas(source))
    for _ in range(3):
        found = reader.decode(records([as_avro(1), b"\0\0\0\0\x63body"]))
        source.schemas["99"] = Schema("AVRO", json.dumps(LATER))
        assert [error.code for error in found.skips.values()] == ["unknown_schema"]
    assert source.asked == ["7", "99"]


def test_an_unknown_id_makes_no_dead_letter_if_the_fold_is_to_stop():
    """The message names the id and every remedy; a schema that comes later is used."""
    source = shelf()
    schemas = Schemas(source, stops_at_unknown=True)
    reader = Decoder(FeatureSpec.model_validate(SPEC), settings(), schemas=schemas)
    values = records([b"\0\0\0\0\x63" + as_later(1)[5:]])
    with pytest.raises(UnavailableError, match=r"id 99; register .*--schemas.* dead_letter"):
        reader.decode(values)
    source.schemas["99"] = Schema("AVRO", json.dumps(LATER))
    assert not reader.decode(values).skips


def test_a_worker_fetches_schemas_outside_of_decode():
    """It gets the ids that it needs, and decodes again."""
    reader = decoder(fetches=False)
    values = records([as_avro(1), as_later(2), as_avro(3)])
    with pytest.raises(SchemasNeededError) as needed:
        reader.decode(values)
    assert sorted(needed.value.schema_ids) == ["7", "8"]
    for schema_id in needed.value.schema_ids:
        reader.schemas.fetch(schema_id)
    assert len(reader.decode(values).rows) == 3


def test_a_registry_that_is_away_makes_no_dead_letters():
    """The error goes to the caller, who tries again."""
    source = shelf()
    source.is_away = True
    with pytest.raises(UnavailableError):
        decoder(source).decode(records([as_avro(1)]))
