"""Framed records: each record's frame decides its format, and nothing else decides its verdict."""

import json

import pytest

from stream_rnn.errors import DecodeError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.framed import COLUMNS_MIN
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from tests.unit.framed_records import (
    SPEC,
    TIME_MS,
    WRITER,
    Shelf,
    as_avro,
    as_json,
    as_later,
    assert_same,
    avro,
    decoder,
    event,
    records,
    settings,
    shelf,
)


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
