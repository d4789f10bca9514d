"""Predictions in Avro, Protobuf and JSON Schema: what other people's deserializers read."""

import hashlib
import io
import json
import struct
from contextlib import suppress
from functools import cache

import fastavro
import numpy as np
import orjson
import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro.schema import parse_schema
from google.protobuf import json_format, message_factory
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_rnn.errors import BundleError, ConfigError, DecodeError
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.protobuf import Protobuf
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.heads import Binary, Multiclass, Quantile, Regression, TimeToNext
from stream_rnn.predictions.decoder import PredictionDecoder, body_of, shortest
from stream_rnn.predictions.schema import Prediction
from stream_rnn.predictions.wire_schema import (
    FRAMED_FORMATS,
    REGISTRY_KINDS,
    BundleHeads,
    Wire,
    output_fields,
    read_bundle_heads,
    schema_text,
)
from stream_rnn.settings import Settings
from tests.prediction_writers import make_writer

HEADS = (
    Binary(name="late", kind="binary", path="delay", above=15),
    TimeToNext(name="wait-for", kind="time_to_next"),
    Regression(name="load", kind="regression", path="load"),
    Quantile(name="load-range", kind="quantile", path="load", quantiles=(0.025, 0.5, 0.9)),
    Multiclass(
        name="next",
        kind="multiclass",
        path="step",
        classes=("A", 'B"', "100 %s", "Ü" * 90),
        end=True,
    ),
)
FIELDS = output_fields(HEADS)
OWN = BundleHeads(FIELDS, "ab" * 8)
OWN_DECODER = PredictionDecoder(OWN)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
probabilities = st.floats(0, 1, width=32)
numbers = st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 63, 64, 127, 128, 8191, 8192, 2**62])
rows = st.lists(
    st.tuples(
        st.binary(max_size=12) | st.text(max_size=80).map(str.encode),
        probabilities,
        floats,
        st.lists(probabilities, min_size=5, max_size=5),
        numbers,
        st.integers(-(2**62), 2**62),
        numbers.filter(bool),
    ),
    min_size=1,
    max_size=8,
)


def writer_of(wire=None, heads=HEADS, **changes):
    """Make a writer."""
    given = {"wire": wire} if wire else {}
    return make_writer(heads, **{"top_k": 3, **given, **changes})


def write(rows, writer):
    """Write some rows of :data:`rows`."""
    keys, late, load, following, offsets, times, steps = zip(*rows, strict=True)
    outputs = {
        "late": np.array(late, np.float32),
        "wait-for": np.array(load, np.float32),
        "load": np.array(load, np.float32)[::-1],
        "load-range": np.sort(np.array([load, late, load], np.float32).T, axis=1),
        "next": np.array(following, np.float32),
    }
    columns = (np.array(column, np.int64) for column in (offsets, times, steps))
    return writer.write(keys, *columns, outputs)


ROW = (b"UA-EWR", 0.31, 812.5, [0.2, 0.7, 0.05, 0.05, 0.0], 1234, -5, 17)


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
@settings(deadline=None)
@given(rows)
@example([ROW])
@example(
    [ROW, (b"\xff", 0.0, -0.0, [0.0] * 5, 2**63 - 1, 0, 1), (b"", 1.0, 1e-45, [1.0] * 5, 0, 1, 2)]
)
def test_a_prediction_is_the_same_object_in_every_format(wire_format, rows):
    """The same values, the same shortest decimals, the same classes in the same order."""
    values = write(rows, writer_of(Wire(wire_format, 7)))
    for value, in_json in zip(values, write(rows, writer_of()), strict=True):
        assert OWN_DECODER.content(value) == json.loads(in_json)
        assert OWN_DECODER.parse(value) == Prediction.parse(in_json)


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
def test_heads_have_the_order_of_the_bundle_in_every_format(wire_format):
    """A schema has them in the order of their names, and a table has one order of columns."""
    names = tuple(head.name for head in HEADS)
    decoder = PredictionDecoder(OWN._replace(names=names))
    (value,) = write([ROW], writer_of(Wire(wire_format, 7)))
    assert tuple(decoder.parse(value).outputs) == names


@pytest.mark.parametrize("wire_format", ["avro", "protobuf"])
@given(rows)
def test_a_rows_bytes_do_not_depend_on_its_neighbours(wire_format, rows):
    """They are the same alone, whatever the lengths of keys and numbers beside it."""
    rows = [(*row[:2], 2.5, *row[3:]) for row in rows]  # a column is reversed above
    writer = writer_of(Wire(wire_format, 7))
    assert write(rows, writer) == [write([row], writer)[0] for row in rows]


@given(rows)
def test_fastavro_reads_the_float32_values(rows):
    """The body ends where fastavro ends, and numbers are bit for bit those of the network."""
    schema = parse_schema(json.loads(schema_text("avro", FIELDS)))
    for row, value in zip(rows, write(rows, writer_of(Wire("avro", 7))), strict=True):
        assert value[:5] == b"\0\0\0\0\7"
        body = io.BytesIO(value[5:])
        read = fastavro.schemaless_reader(body, schema, None)
        assert not body.read()
        assert bits(read["outputs"]["late"]["probability"]) == bits(row[1])
        assert bits(read["outputs"]["wait_for"]["value"]) == bits(row[2])
        assert bits(read["outputs"]["next"]["probability"]) == bits(max(row[3]))
        numbers = read["source"]["offset"], read["event_time_ms"], read["steps"]
        assert numbers == row[4:]


def bits(number):
    """Return a float32 as its bytes."""
    return struct.pack("<f", number)


@cache
def message_class():
    """Return the class of predictions that the runtime of Protobuf makes of the schema."""
    messages = Protobuf(schema_text("protobuf", FIELDS), (), Moment())
    return message_factory.GetMessageClass(
        messages._pool.FindMessageTypeByName("stream_rnn.Prediction")
    )


@settings(deadline=None)
@given(rows)
def test_the_runtime_of_protobuf_reads_the_float32_values(rows):
    """It reads every field, and loses nothing when it writes the message again."""
    kind = message_class()
    for value, in_json in zip(
        write(rows, writer_of(Wire("protobuf", 7))), write(rows, writer_of()), strict=True
    ):
        assert value[:6] == b"\0\0\0\0\7\0"
        message = kind.FromString(value[6:])
        read = json_format.MessageToDict(message)
        expected = json.loads(in_json)
        assert read["source"].get("offset", "0") == str(expected["source"]["offset"])
        assert int(read["steps"]) == expected["steps"]
        assert read.get("key", "") == expected.get("key", "")
        assert read["outputs"].keys() == expected["outputs"].keys()
        late = message.outputs.late.probability
        assert bits(late) == bits(expected["outputs"]["late"]["probability"])
        assert kind.FromString(message.SerializeToString()) == message


def test_the_deserializers_of_confluent_read_avro_and_json_schema():
    """They get the schema by the id in the frame, and validate JSON."""
    client = SchemaRegistryClient.new_client({"url": "mock://registry"})
    context = SerializationContext("delays", MessageField.VALUE)
    expected = json.loads(write([ROW], writer_of())[0])
    for wire_format, deserializer in (
        ("avro", AvroDeserializer),
        ("json_schema", JSONDeserializer),
    ):
        text = schema_text(wire_format, FIELDS)
        schema = RegistrySchema(text, REGISTRY_KINDS[wire_format])
        schema_id = client.register_schema(f"{wire_format}-value", schema)
        (value,) = write([ROW], writer_of(Wire(wire_format, schema_id)))
        given = (client,) if wire_format == "avro" else (text, None, client)
        read = deserializer(*given)(value, context)
        assert read["source"] == expected["source"]
        assert read["outputs"]["late"]["probability"] == pytest.approx(0.31)


def test_an_id_may_have_any_byte():
    """Also that of a per cent sign, with which the template of JSON is filled."""
    (value,) = write([ROW], writer_of(Wire("json_schema", 0x25256225)))
    assert value[:5] == b"\0%%b%"
    assert body_of(value) == write([ROW], writer_of())[0]


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
def test_the_text_of_a_schema_depends_on_names_and_kinds_alone(wire_format):
    """Not on the order of the heads, their classes or their labels."""
    other = Multiclass(name="next", kind="multiclass", path="other", classes=("X", "Y"))
    heads = [other, *HEADS[:-1][::-1]]
    assert schema_text(wire_format, output_fields(heads)) == schema_text(wire_format, FIELDS)
    assert schema_text(wire_format, output_fields(heads[:3])) != schema_text(wire_format, FIELDS)


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
def test_a_schema_without_quantiles_is_what_it_was(wire_format):
    """A worker finds the schema that an earlier version has registered."""
    texts = [schema_text(wire_format, output_fields(heads)) for heads in (HEADS, HEADS[:3])]
    assert ["p2_5" in text for text in texts] == [True, False]
    digests = {
        "avro": "b8bb7018d73f81130b0e45712b9dec3a356302c085e01f26eaa66b7731f3e1a5",
        "protobuf": "8d0e6ed16eaf6e172e3026a54e58bc67cf2abe41e6ee98d01459fcba4e1f8ec4",
        "json_schema": "97409e3cc58e1c2c9e129d8edd15bf3a180fd1d04e3cef93432112be0bebcdfc",
    }
    digest = hashlib.sha256(texts[1].encode()).hexdigest()
    assert digest == digests[wire_format]


def test_a_reader_of_avro_may_have_more_or_fewer_heads():
    """Readers of the older and of the newer schema read both, as BACKWARD and FORWARD ask for."""
    few, many = (
        parse_schema(json.loads(schema_text("avro", output_fields(heads))))
        for heads in (HEADS[:1], HEADS)
    )
    (value,) = write([ROW], writer_of(Wire("avro", 7)))
    read = fastavro.schemaless_reader(io.BytesIO(value[5:]), many, few)
    assert read["outputs"] == {"late": {"probability": pytest.approx(0.31)}}
    body = io.BytesIO()
    fastavro.schemaless_writer(body, few, read)
    body.seek(0)
    assert fastavro.schemaless_reader(body, few, many)["outputs"]["next"] is None


def test_a_head_keeps_its_number_in_protobuf_when_others_come():
    """A number that moves would change what a field means."""
    numbers = {field.head: field.number for field in FIELDS}
    for count in range(1, len(HEADS)):
        assert all(field.number == numbers[field.head] for field in output_fields(HEADS[:count]))
    many = output_fields(
        [Regression(name=f"h{i}", kind="regression", path="x") for i in range(900)]
    )
    assert len({field.number for field in many}) == 900


def test_names_that_a_schema_does_not_tell_apart_are_refused():
    """Avro allows no ``-``; the error names both heads and the remedy."""
    heads = [Regression(name=name, kind="regression", path="x") for name in ("a-b", "A_b")]
    with pytest.raises(ConfigError, match=r"heads A_b and a-b.*rename one"):
        output_fields(heads)


def test_a_schema_of_the_registry_reads_what_another_bundle_has_written():
    """Heads have their names, although a field may not."""

    class Source:
        def fetch(self, schema_id):
            wire_format = {"7": "avro", "8": "protobuf"}[schema_id]
            return Schema(REGISTRY_KINDS[wire_format], schema_text(wire_format, FIELDS))

    decoder = PredictionDecoder(schemas=Schemas(Source()))
    for wire_format, schema_id in (("avro", 7), ("protobuf", 8)):
        (value,) = write([ROW], writer_of(Wire(wire_format, schema_id)))
        assert decoder.content(value)["outputs"].keys() == {head.name for head in HEADS}


@pytest.mark.parametrize("wire_format", ["avro", "protobuf"])
def test_a_bundle_does_not_read_the_predictions_of_another(wire_format):
    """Heads of the same kinds would get wrong names; the error names the remedy."""
    (value,) = write([ROW], writer_of(Wire(wire_format, 7), fingerprint="cd" * 32))
    with pytest.raises(DecodeError, match=r"schema id 7: .*set schema_registry_url"):
        PredictionDecoder(OWN).parse(value)
    with pytest.raises(
        DecodeError, match=r"schema id 7: give a bundle, or set schema_registry_url"
    ):
        PredictionDecoder().parse(value)


@settings(deadline=None)  # the first Protobuf compiles its schema
@given(st.sampled_from(FRAMED_FORMATS), st.integers(0, 250), st.binary(max_size=8))
def test_a_damaged_body_is_an_error_and_no_crash(wire_format, at, noise):
    """Whatever stands in the topic."""
    (value,) = write([ROW], writer_of(Wire(wire_format, 7)))
    damaged = value[:5] + (value[5 : 5 + at] + noise + value[5 + at :])[: len(value)]
    for one in (damaged, value[: 5 + at], value[:5] + noise):
        with suppress(DecodeError):
            OWN_DECODER.parse(one)


@pytest.mark.parametrize("body", ["{}", " {}", '\n{"outputs": []}', " []"])
def test_a_json_value_that_is_no_prediction_is_an_error(body):
    """Also with white space before it, which another reader takes."""

    class Source:
        def fetch(self, _schema_id):
            return Schema("JSON", "{}")

    with pytest.raises(DecodeError):
        PredictionDecoder(None, Schemas(Source())).parse(b"\0\0\0\0\7" + body.encode())


@given(floats)
@example(1e-45)
@example(3.4028234663852886e38)
@example(2.0**-20)
def test_the_shortest_decimal_is_that_of_json(number):
    """The same text, and the same float32."""
    array = np.array([number], np.float32)
    assert bits(shortest(float(array[0]))) == array.tobytes()
    (in_json,) = orjson.loads(orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY))
    assert (
        len(repr(shortest(float(array[0])))) <= len(repr(in_json))
        or np.frexp(abs(number))[0] == 0.5
    )


def test_the_format_is_part_of_the_fold_and_the_schema_id_is_not():
    """Other bytes are another fold; ids belong to a registry. JSON keeps the id that it had."""

    def identity(**more):
        return fold_id("f", Settings.build(app="a", **more))

    ids = {identity(predictions_format=one) for one in ("json", *FRAMED_FORMATS)}
    assert len(ids) == 4
    assert identity() == identity(predictions_format="json")
    avro = identity(predictions_format="avro")
    assert avro == identity(predictions_format="avro", predictions_schema_id=9)


def test_heads_are_read_from_a_bundle_without_its_tensors(tmp_path):
    """The error names the directory."""
    heads = read_bundle_heads("stream_rnn/demo/bundle")
    assert [(field.head, field.kind) for field in heads.fields] == [("late", "Binary")]
    with pytest.raises(BundleError, match=str(tmp_path)):
        read_bundle_heads(tmp_path)
