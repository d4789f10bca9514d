"""An Avro file of each writer goes through every verb as the JSON Lines of the same events do."""

import asyncio
import json
import os
import random
import secrets
import subprocess
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime

import fastavro
import orjson
import polars as pl
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_rnn.local.kafka import find_java
from tests.integration.streams import run

pytestmark = pytest.mark.timeout(300)
AVRO_TOOLS = "1.12.0"
ROWS = 400
SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "machine", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "load", "type": ["null", "double"]},
        {"name": "mode", "type": "string"},
        {"name": "count", "type": "int"},
        {"name": "failed", "type": "boolean"},
    ],
}


def events():
    """Return events of seven machines; some have no load."""
    draw = random.Random(3)
    return [
        {
            "machine": f"m-{draw.randrange(7)}" if i % 5 else "Zürich",
            "at": 1_767_225_600_000 + 60_001 * i,
            "load": draw.gauss(0, 1) if i % 9 else None,
            "mode": draw.choice("ABC"),
            "count": draw.randrange(9),
            "failed": draw.random() < 0.3,
        }
        for i in range(ROWS)
    ]


def write_json_lines(path):
    """Write the events as lines of JSON."""
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in events()))


def write_fastavro(path):
    """Write the events with fastavro, in several blocks."""
    rows = [row | {"at": datetime.fromtimestamp(row["at"] / 1000, UTC)} for row in events()]
    with path.open("wb") as file:
        fastavro.writer(file, SCHEMA, rows, codec="deflate", sync_interval=4000)


def write_polars(path):
    """Write the events with polars, whose fields may all be null and whose record has no name."""
    frame = pl.DataFrame(events()).with_columns(pl.from_epoch("at", "ms"))
    frame.write_avro(path, compression="snappy")


def write_avro_tools(path):
    """Write the events with Avro's own tool in Java; skip where it cannot be had."""
    if os.environ.get("CI"):
        pytest.skip("CI fetches no avro-tools")
    from jgo.maven import MavenContext

    try:
        project = MavenContext().project("org.apache.avro", "avro-tools")
        jar = str(project.at_version(AVRO_TOOLS).artifact().resolve())
    except Exception as error:  # noqa: BLE001  # jgo raises any error of requests and of Maven metadata
        pytest.skip(f"no avro-tools: {error}")
    lines = [row | {"load": row["load"] and {"double": row["load"]}} for row in events()]
    done = subprocess.run(
        [find_java(), "-jar", jar, "fromjson", "--codec=zstandard", "--schema", json.dumps(SCHEMA), "-"],
        input="\n".join(map(json.dumps, lines)).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    path.write_bytes(done.stdout)


@dataclass
class VerbResults:
    """What the verbs make of one file.

    Attributes:
        spec: Proposed spec.
        weights: Bytes of the trained networks, with and without memory.
        fingerprint: Fingerprint of the bundle.
        replayed: Predictions of a replay of the file.
        evaluation: What ``evaluate`` prints, without the sample of hidden states, which depends on
            how the log is cut into micro-batches.
        sent: Keys and values of the records that ``send`` publishes.
        replayed_topic: Predictions of a replay of that topic, with the name of the file.
    """

    spec: dict
    weights: list[bytes]
    fingerprint: str
    replayed: bytes
    evaluation: dict
    sent: list[tuple]
    replayed_topic: bytes


async def read_records(servers, topic):
    """Return the records of a topic with one partition."""
    partition, found = TopicPartition(topic, 0), []
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    async with asyncio.timeout(30), consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        while len(found) < ROWS:
            some = (await consumer.getmany(timeout_ms=1000)).get(partition, [])
            found += [(record.key, record.value) for record in some]
    return found


async def use_verbs(path, servers):
    """Run the verbs on a file."""
    spec, bundle, out = (path.with_name(name) for name in ("spec.toml", "bundle", "out.jsonl"))
    topic = f"t-{secrets.token_hex(4)}"
    at, of = f"--bootstrap-servers={servers}", [f"--bundle={bundle}"]
    await run("spec", "init", str(path), "--target=failed", f"--out={spec}")
    fit = ["--hidden=8", "--epochs=1", "--seed=1"]
    await run("train", str(path), f"--spec={spec}", f"--out={bundle}", *fit, within_s=120)
    await run("replay", str(path), *of, f"--out={out}", "--processes=1")
    replayed = out.read_bytes()
    evaluation = await run("evaluate", str(path), *of, "--bootstrap-samples=20", "--json")
    await run("send", str(path), topic, f"--spec={spec}", at, "--create-partitions=1")
    out.unlink()
    await run("replay", f"--topic={topic}", *of, at, f"--out={out}", "--processes=1")
    return VerbResults(
        tomllib.loads(spec.read_text()),
        [one.read_bytes() for one in sorted(bundle.rglob("*.safetensors"))],
        json.loads(replayed.splitlines()[0])["fingerprint"],
        replayed,
        {name: one for name, one in json.loads(evaluation).items() if name != "health"},
        await read_records(servers, topic),
        out.read_bytes().replace(topic.encode(), path.stem.encode()),
    )


@pytest.fixture(scope="module")
def of_json_lines(bootstrap_servers, tmp_path_factory):
    """Return what the verbs make of JSON Lines."""
    path = tmp_path_factory.mktemp("json") / "events.jsonl"
    write_json_lines(path)
    return asyncio.run(use_verbs(path, bootstrap_servers))


@pytest.mark.parametrize(
    "write",
    [
        write_fastavro,
        write_polars,
        pytest.param(write_avro_tools, marks=pytest.mark.tools),
    ],
)
def test_an_avro_file_is_the_json_lines_of_its_events(
    of_json_lines, write, bootstrap_servers, tmp_path
):
    """The same spec, the same weights, and the same bytes of predictions and of sent records."""
    path = tmp_path / "events.avro"
    write(path)
    result, expected = asyncio.run(use_verbs(path, bootstrap_servers)), of_json_lines
    assert result.spec == expected.spec
    assert (result.weights, result.fingerprint) == (expected.weights, expected.fingerprint)
    assert len(result.replayed.splitlines()) == ROWS
    assert result.replayed == expected.replayed == result.replayed_topic
    assert result.evaluation == expected.evaluation
    assert result.sent == expected.sent
