"""``spec init --topic``: a spec from the schemas of a registry and some records of a real topic."""

import http.server
import json
import random
import threading
import tomllib

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from tests.integration.streams import run
from tests.protobuf_messages import message_class
from tests.unit.framed_records import Shelf, avro, settings

pytestmark = pytest.mark.timeout(90)

START_MS = 1_767_225_600_000
AVRO = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "machine", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "load", "type": ["null", "double"]},
        {"name": "mode", "type": {"type": "enum", "name": "M", "symbols": ["L", "M", "H", "X"]}},
        {"name": "failed", "type": "boolean"},
    ],
}
PROTOBUF = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
enum Mode { L = 0; M = 1; H = 2; X = 3; }
message Event {
  string machine = 1; google.protobuf.Timestamp at = 2; optional double load = 3;
  Mode mode = 4; bool failed = 5;
}
"""
JSON = {
    "type": "object",
    "required": ["machine", "at", "mode", "failed"],
    "properties": {
        "machine": {"type": "string"},
        "at": {"type": "integer"},
        "load": {"type": ["number", "null"]},
        "mode": {"$ref": "#/$defs/mode"},
        "failed": {"type": "boolean"},
    },
    "$defs": {"mode": {"enum": ["L", "M", "H", "X"]}},
}
SCHEMAS = {
    "avro": Schema("AVRO", json.dumps(AVRO)),
    "protobuf": Schema("PROTOBUF", PROTOBUF),
    "json_schema": Schema("JSON", json.dumps(JSON)),
}


def as_avro(event):
    """Return an event as a value with the schema 7."""
    return avro(AVRO, {**event, "at": 1000 * event["at"]}, 7)


def as_protobuf(event):
    """Return an event as a value with the schema 7."""
    made = MADE.setdefault("Event", message_class(PROTOBUF, "Event"))
    message = made(**{k: v for k, v in event.items() if k not in ("at", "mode") and v is not None})
    message.at.FromMilliseconds(event["at"])
    message.mode = "LMHX".index(event["mode"])
    return b"\0\0\0\0\7\0" + message.SerializeToString()


def as_json(event):
    """Return an event as a value with the schema 7."""
    return b"\0\0\0\0\7" + json.dumps(event).encode()


MADE = {}
WRITERS = {"avro": as_avro, "protobuf": as_protobuf, "json_schema": as_json}


@pytest.fixture
def registry():
    """Run a registry that knows one schema as the id 7."""
    known = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # its base calls it
            body = json.dumps(known).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            """Write nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield known, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def events():
    """Return events of 20 machines, in the order of time."""
    draw = random.Random(1)
    return [
        {
            "machine": f"m-{i % 20}",
            "at": START_MS + 3_600_000 * (i // 20),
            "load": None if i % 9 == 0 else draw.gauss(1, 1),
            "mode": draw.choice("LMH"),
            "failed": draw.random() < 0.2,
        }
        for i in range(1200)
    ]


async def send(bootstrap_servers, topic, records):
    """Create a topic of two partitions and send keys and values."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    for time_ms, key, value in records:
        await producer.send(topic, value, key=key, timestamp_ms=time_ms)
    await producer.stop()


@pytest.mark.parametrize("name", WRITERS)
async def test_a_spec_is_proposed_from_the_schema_and_records_of_a_topic(
    app_id, bootstrap_servers, registry, monkeypatch, name
):
    """All symbols are in the vocabulary, the key is that of the records, and each row is an event."""
    known, url = registry
    known |= {"schema": SCHEMAS[name].text, "schemaType": SCHEMAS[name].kind}
    monkeypatch.setenv("STREAM_RNN_SCHEMA_REGISTRY_URL", url)
    topic, rows = f"{app_id}-in", events()
    framed = [WRITERS[name](event) for event in rows]
    keyed = [(e["at"], e["machine"].encode(), v) for e, v in zip(rows, framed, strict=True)]
    await send(
        bootstrap_servers, topic, [*keyed, (START_MS, b"m-1", None), (START_MS, b"m-1", b"{")]
    )
    options = ("--bootstrap-servers", bootstrap_servers, "--target", "failed")
    proposed = await run("spec", "init", "--topic", topic, *options)
    text = " ".join(line.lstrip("# ") for line in proposed.splitlines())
    assert "come from the schemas of the registry" in text
    assert "The key of every record is its field machine" in text
    assert "Left out of the sample: 1 without a value" in text
    assert "--sort-by-time" not in text
    spec = FeatureSpec.parse(tomllib.loads(proposed), "proposed")
    kinds = {feature.name: feature for feature in spec.features}
    assert kinds["mode"].vocabulary == ("L", "M", "H", "X")
    assert spec.event.key == ("machine",)
    assert (spec.event.time.path, spec.event.time.unit) == ("at", "ms")
    decoder = Decoder(spec, settings(), schemas=Schemas(Shelf({"7": SCHEMAS[name]})))
    records = [LogRecord(i, t, key, value) for i, (t, key, value) in enumerate(keyed)]
    assert len(decoder.decode(records).rows) == len(rows)


async def test_a_key_that_no_field_repeats_is_no_feature(app_id, bootstrap_servers, tmp_path):
    """The spec has no key then, and JSON needs no registry."""
    topic, out = f"{app_id}-in", tmp_path / "spec.toml"
    rows = [
        (e["at"], e.pop("machine").encode(), json.dumps(e).encode()) for e in events() if e["load"]
    ]
    await send(bootstrap_servers, topic, rows)
    options = ("--bootstrap-servers", bootstrap_servers, "--target", "failed", "--out", str(out))
    said = await run("spec", "init", "--topic", topic, *options)
    assert f"stream-rnn train --topic {topic} --spec {out}" in said
    spec = FeatureSpec.read(out)
    assert spec.event.key == ()
    assert {f.path for f in spec.features if hasattr(f, "path")} == {"load", "mode", "failed"}
    assert "No field repeats the key" in out.read_text()
    await run("spec", "check", str(out))


async def test_a_topic_without_objects_says_why(app_id, bootstrap_servers):
    """The reasons of its records, and the remedies."""
    topic = f"{app_id}-in"
    await send(bootstrap_servers, topic, [(START_MS, b"k", as_avro(e)) for e in events()[:5]])
    where = ("--topic", topic, "--bootstrap-servers", bootstrap_servers)
    said = await run("spec", "init", *where, status=3)
    assert "5 with a value that cannot be read (framed" in said.replace("\n", " ")
    assert "schema_registry_url" in said
    said = await run("spec", "init", "log.csv", *where, status=3)
    assert "either a LOG file or a --topic" in said
    said = await run("spec", "init", *where, "--delimiter", ";", status=3)
    assert "delimited text files" in said
