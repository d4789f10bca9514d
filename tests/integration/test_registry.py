"""A real schema registry, and records that Confluent's own serializers have written."""

import asyncio
import json
from functools import partial

import httpx2
import pytest
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.formats.registry import Registry, make_client
from stream_rnn.formats.registry_config import make_registry_config
from stream_rnn.formats.schemas import Schema
from stream_rnn.formats.subjects import Subject
from tests import oracle
from tests.forked import ForkedWorker
from tests.integration.certificates import make_certificates
from tests.integration.streams import Stream
from tests.integration.test_kept_schemas import LATER, SCHEMA
from tests.registry_server import RegistryServer

pytestmark = pytest.mark.timeout(300)
JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Event",
    "type": "object",
    "properties": {"x": {"type": "number"}, "kind": {"type": "string"}},
}


def event(i):
    """Return an event."""
    return {"x": i / 8, "kind": "AB?"[i % 3]}


def protobuf_serializer(client):
    """Return a serializer of messages of a type that is made here."""
    serializers = pytest.importorskip(
        "confluent_kafka.schema_registry.protobuf",
        reason="googleapis-common-protos is not installed",
        exc_type=ImportError,
    )
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="p", syntax="proto3")
    message = file.message_type.add(name="Event")
    for number, (name, kind) in enumerate((("x", "DOUBLE"), ("kind", "STRING")), 1):
        field = descriptor_pb2.FieldDescriptorProto
        message.field.add(
            name=name,
            number=number,
            type=getattr(field, f"TYPE_{kind}"),
            label=field.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Event"))
    write = serializers.ProtobufSerializer(kind, client, {"use.deprecated.format": False})
    return lambda value, context: write(kind(**value), context)


SERIALIZERS = {
    "Avro": lambda client: AvroSerializer(client, json.dumps(SCHEMA)),
    "JSON Schema": lambda client: JSONSerializer(json.dumps(JSON_SCHEMA), client),
    "Protobuf": protobuf_serializer,
}


@pytest.fixture
async def make(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a function that makes a fold of two partitions with a worker."""
    workers = []

    async def made(**registry):
        stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path, **registry)
        await create_topic(stream.settings.source, 2)
        workers.append(ForkedWorker("worker", stream.options(), tmp_path))
        return stream, workers[0]

    yield made
    for worker in workers:
        await asyncio.to_thread(worker.stop)


async def produce(stream, serialize, numbers):
    """Send events in the format of a serializer."""
    context = SerializationContext(stream.settings.source, MessageField.VALUE)

    def serialized():
        return [(b"k%d" % (i % 5), serialize(event(i), context)) for i in numbers]

    try:
        records = await asyncio.to_thread(serialized)
    except httpx2.TransportError:  # the registry has closed an idle connection of the client
        records = await asyncio.to_thread(serialized)
    assert {value[:1] for _, value in records} == {b"\0"}
    await stream.produce(records)


@pytest.mark.parametrize("kind", SERIALIZERS)
async def test_what_a_serializer_writes_is_the_event_that_it_is_in_json(
    kind, make, schema_registry_url
):
    """The published predictions are those of the same events in JSON, value by value."""
    client = make_client(make_registry_config(schema_registry_url), 20)
    serialize = SERIALIZERS[kind](client)
    stream, worker = await make(schema_registry_url=schema_registry_url)
    await produce(stream, serialize, range(200))
    await stream.until_published(worker=worker)
    assert await stream.compare() == 200
    for partition in range(2):
        records = await stream.source(partition)
        numbers = [i for i in range(200) if sum(b"k%d" % (i % 5)) % 2 == partition]
        as_json = [
            LogRecord(r.offset, r.timestamp, r.key, json.dumps(event(i)).encode())
            for r, i in zip(records, numbers, strict=True)
        ]
        truth = oracle.fold(
            stream.model, stream.settings, as_json, stream.settings.source, partition
        )
        published = await stream.outputs(stream.settings.predictions, partition)
        assert [json.loads(r.value) for r in published] == list(truth.predictions.values())


async def test_a_new_schema_of_the_writers_changes_no_fold(make, schema_registry_url):
    """They register it while the worker runs."""
    client = make_client(make_registry_config(schema_registry_url), 20)
    stream, worker = await make(schema_registry_url=schema_registry_url)
    await produce(stream, SERIALIZERS["Avro"](client), range(100))
    later = {**LATER, "fields": [*LATER["fields"][:-1], {**LATER["fields"][-1], "default": 0}]}
    write = AvroSerializer(client, json.dumps(later))
    await produce(stream, lambda value, context: write({**value, "more": 1}, context), range(100))
    await stream.until_published(worker=worker)
    assert await stream.compare() == 200


@pytest.mark.parametrize("kind", ["AVRO", "PROTOBUF", "JSON"])
def test_the_right_to_register_is_asked_without_registering(kind, schema_registry_url, app_id):
    """Of a subject without a version, and of one with one."""
    registry = Registry(partial(make_registry_config, schema_registry_url), 20)
    text = 'syntax = "proto3"; message M { int32 a = 1; }' if kind == "PROTOBUF" else '"int"'
    text = json.dumps(JSON_SCHEMA) if kind == "JSON" else text
    subject = Subject(registry, f"{app_id}-value", Schema(kind, text))
    assert subject.may_register()
    assert subject.versions() == []
    registry.ask(lambda client: client.register_schema(subject.name, subject._given))
    assert subject.may_register()
    assert subject.versions() == [1]


async def test_a_worker_logs_in_over_tls(make, schema_registry_url, tmp_path):
    """Through a proxy that demands a password, with an authority of its own."""
    make_certificates(tmp_path)
    client = make_client(make_registry_config(schema_registry_url), 20)
    with RegistryServer(certificate=tmp_path / "server.pem", upstream=schema_registry_url) as proxy:
        proxy.demand("user", "p%ss:word")
        config = tmp_path / "registry.properties"
        config.write_text(
            f"schema.registry.url={proxy.url}\n"
            "basic.auth.credentials.source=USER_INFO\n"
            "basic.auth.user.info=user:p%ss:word\n"
            f"ssl.ca.location={tmp_path / 'ca.pem'}\n"
        )
        stream, worker = await make(schema_registry_config=str(config))
        await produce(stream, SERIALIZERS["Avro"](client), range(50))
        await stream.until_published(worker=worker)
        assert await stream.compare() == 50
    assert "p%ss" not in worker.log.read_text()
