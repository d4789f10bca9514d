"""The schemas of predictions at a real registry, and its clients' own deserializers."""

import json

import numpy as np
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import json_format, message_factory

from stream_rnn.errors import ConfigError
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.protobuf import Protobuf
from stream_rnn.local.registry import LocalRegistry
from stream_rnn.model.heads import Binary, Multiclass, Regression
from stream_rnn.predictions.decoder import open_decoder
from stream_rnn.predictions.subject import open_subject
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS, Wire, output_fields, schema_text
from stream_rnn.predictions.writer import PredictionWriter
from stream_rnn.settings import Settings

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]
HEADS = (
    Binary(name="late", kind="binary", path="delay", above=15),
    Regression(name="wait-for", kind="regression", path="wait"),
    Multiclass(name="next", kind="multiclass", path="step", classes=("A", "B", "C")),
)


@pytest.fixture(scope="module")
def registry():
    """Run a registry; skip where it cannot be had."""
    server = LocalRegistry()
    try:
        server.start()
    except ConfigError as error:
        server.remove()
        pytest.skip(f"no schema registry: {error}")
    yield server.url
    server.stop()
    server.remove()


def subject_of(registry, wire_format, heads, topic="delays"):
    """Return the subject of some heads."""
    settings = Settings.build(
        predictions=f"{topic}-{wire_format}",
        predictions_format=wire_format,
        schema_registry_url=registry,
    )
    return open_subject(settings, output_fields(heads))


def written(wire_format, schema_id):
    """Return a prediction, and the same in JSON."""
    values = []
    for wire in (Wire(wire_format, schema_id), Wire("json")):
        writer = PredictionWriter(
            heads=HEADS,
            name="delay",
            fingerprint="ab" * 32,
            numerics="01234567",
            topic="flights",
            partition=2,
            app="departures",
            fold_id="0123456789ab",
            top_k=2,
            wire=wire,
        )
        outputs = {
            "late": np.array([0.31], np.float32),
            "wait-for": np.array([812.5], np.float32),
            "next": np.array([[0.2, 0.7, 0.1]], np.float32),
        }
        columns = (np.array([one]) for one in (1234, 1_357_034_220_000, 17))
        values += writer.write([b"UA-EWR"], *columns, outputs)
    return values[0], json.loads(values[1])


def deserializer_of(wire_format, client):
    """Return the deserializer of Confluent's client, or the runtime of Protobuf behind the frame.

    Confluent's deserializer of Protobuf needs a package that the extra does not install.
    """
    text = schema_text(wire_format, output_fields(HEADS))
    if wire_format == "avro":
        return AvroDeserializer(client)
    if wire_format == "json_schema":
        return JSONDeserializer(text, None, client)
    messages = Protobuf(text, (), Moment())
    descriptor = messages._pool.FindMessageTypeByName("stream_rnn.Prediction")
    kind = message_factory.GetMessageClass(descriptor)
    return lambda value, _: json_format.MessageToDict(kind.FromString(value[6:]))


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
def test_what_is_registered_is_what_every_client_reads(registry, wire_format):
    """Its own id again at every start; Confluent's deserializer and ours read the prediction."""
    subject = subject_of(registry, wire_format, HEADS)
    assert (subject.find(), subject.versions()) == (None, [])
    schema_id = subject.register()
    assert subject_of(registry, wire_format, HEADS[::-1]).find() == schema_id
    assert subject.register() == schema_id
    assert subject.versions() == [1]

    value, expected = written(wire_format, schema_id)
    client = SchemaRegistryClient({"url": registry})
    context = SerializationContext(subject.name.removesuffix("-value"), MessageField.VALUE)
    read = deserializer_of(wire_format, client)(value, context)
    assert read["outputs"]["late"]["probability"] == pytest.approx(0.31)
    assert int(read["source"]["offset"]) == expected["source"]["offset"]
    assert open_decoder(registry, None, None, 10).content(value) == expected


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
def test_a_head_more_is_compatible(registry, wire_format):
    """By the default of registries; in Avro in both directions, and a head less, too."""
    subject = subject_of(registry, wire_format, HEADS[:2], "more")
    client = SchemaRegistryClient({"url": registry})
    subject.register()
    level = "FULL_TRANSITIVE" if wire_format == "avro" else "BACKWARD_TRANSITIVE"
    client.set_compatibility(subject.name, level)
    more = subject_of(registry, wire_format, HEADS, "more")
    assert more.incompatible_versions() == []
    more.register()
    less = subject_of(registry, wire_format, HEADS[1:], "more").incompatible_versions()
    assert less == ([] if wire_format == "avro" else [1, 2])
    same = subject_of(registry, wire_format, HEADS[::-1], "more")
    assert same.find() == more.find()
    changed = [Regression(name="late", kind="regression", path="delay"), HEADS[1]]
    wrong = subject_of(registry, wire_format, changed, "more")
    assert wrong.incompatible_versions() == [1, 2]
    with pytest.raises(ConfigError, match="not compatible with the versions before"):
        wrong.register()


def test_an_unknown_id_is_an_error_of_the_record(registry):
    """It names the registry and the id."""
    value, _ = written("avro", 987_654_321)
    client = SchemaRegistryClient({"url": registry})
    with pytest.raises(SchemaRegistryError):
        client.get_schema(987_654_321)
    with pytest.raises(Exception, match="no schema with id 987654321"):
        open_decoder(registry, None, None, 10).parse(value)
