"""Record batches that aiokafka's parser refuses, on a real Kafka: every reader of topics meets them."""

import asyncio
import json
import tempfile
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream_rnn.errors import UnreadableError
from stream_rnn.predictions import PredictionReader
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run
from tests.raw_batches import RawName, produce

pytestmark = pytest.mark.timeout(120)
ODD = RawName(b"id\xff\xfe")


@pytest.fixture
async def stream(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """A fold whose source exists, with two partitions, and a way to start its worker."""
    made = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(made.settings.source, 2)
    workers = []
    made.start = lambda name, **more: (
        workers.append(ForkedWorker(name, made.options(**more), tmp_path)) or workers[-1]
    )
    yield made
    for worker in workers:
        await asyncio.to_thread(worker.stop)


async def until(predicate, timeout_s=40.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(timeout_s):
        while not predicate():
            await asyncio.sleep(0.05)


def events(count, headers=(), word="A"):
    """Return good events, each with the same headers."""
    return [(b"k%d" % (n % 3), json.dumps({"x": n / 9, "kind": word}).encode(), list(headers))
            for n in range(count)]  # fmt: skip


async def test_a_header_name_that_is_not_utf_8_is_folded_like_any(stream):
    """Worker, oracle, replay and audit agree; a dead letter keeps the name, escaped."""
    servers, source = stream.settings.bootstrap_servers, stream.settings.source
    await stream.produce(mixed_records(60, seed=1))
    for codec in ("none", "zstd"):
        odd = events(20, [(ODD, b"1"), ("plain", b"2")])
        await produce(servers, source, 0, odd, codec)
        await produce(servers, source, 1, [*odd[:5], (b"bad", b"not json", [(ODD, b"7")]), *odd])
    await stream.produce(mixed_records(60, seed=2))
    worker = stream.start("worker")
    await stream.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    assert await stream.compare() > 150
    dead = [
        d for d in await stream.outputs(stream.settings.dead_letters_topic, 1) if d.key == b"bad"
    ]
    assert [dict(d.headers)["id\\xff\\xfe"] for d in dead] == [b"7", b"7"]
    published = [
        r.value for p in (0, 1) for r in await stream.outputs(stream.settings.predictions, p)
    ]
    assert await stream.replay() == published
    audited = await stream.audit()
    wrong = ("missing", "duplicated", "different", "unexpected", "not_comparable")
    assert {name: audited[name] for name in wrong} == dict.fromkeys(wrong, 0)


async def test_a_reader_of_predictions_reads_on_behind_such_a_name(stream, create_topic):
    """Somebody else writes to the predictions topic: its record is bad, and no more."""
    topic = await create_topic(f"{stream.settings.app}-said", 1)
    await produce(stream.settings.bootstrap_servers, topic, 0, [(b"k", b"{}", [(ODD, b"")])] * 2)
    options = {"bootstrap_servers": stream.settings.bootstrap_servers, "start": "earliest"}
    async with PredictionReader(topic, on_bad="skip", **options) as reader:
        reading = asyncio.ensure_future(anext(reader))
        await until(lambda: reader.counts.bad == 2)
        reading.cancel()


def damage(topic, partition, found: bytes) -> None:
    """Change one byte of what the broker has stored."""
    directory = Path(tempfile.gettempdir())
    logs = list(directory.glob(f"stream-rnn-kafka-*/data/{topic}-{partition}/*.log"))
    if not logs:
        pytest.skip("the broker's files are not on this machine")
    with logs[0].open("r+b") as file:
        file.seek(logs[0].read_bytes().index(found))
        file.write(b"#")


async def test_a_damaged_batch_stops_worker_and_replay_after_all_before_it(stream):
    """Status 3; the line names topic, partition, offset and remedy, and the remedy works."""
    servers, source = stream.settings.bootstrap_servers, stream.settings.source
    await stream.produce(mixed_records(40, seed=3))
    before = await stream.source(1)
    await produce(servers, source, 1, events(7, word="DAMAGED"))
    await produce(servers, source, 1, events(5, word="after"))
    damage(source, 1, b"DAMAGED")
    tp, first = TopicPartition(source, 1), before[-1].offset + 1

    with pytest.raises(UnreadableError, match="Invalid CRC"):
        await stream.source(1)
    worker = stream.start("stops")
    await until(lambda: not worker.is_alive)
    assert worker.exit_status == 3
    said = worker.log.read_text()
    assert f"{source}[1]: offset {first} cannot be read: CorruptRecordException" in said
    assert f"remove the log up to offset {first + 7} with kafka-delete-records" in said
    assert "Traceback" not in said
    outputs = stream.settings.predictions, stream.settings.dead_letters_topic
    told = [r for topic in outputs for r in await stream.outputs(topic, 1)]
    offsets = {int(dict(r.headers)["sr-offset"]) for r in told}
    assert offsets == {r.offset for r in before if r.key is None or r.value is not None}
    out = stream.directory / "replayed.jsonl"
    options = {"topic": source, "bundle": stream.bundle, "out": out, "bootstrap-servers": servers}
    await run("replay", *(f"--{name}={value}" for name, value in options.items()), status=3)

    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.delete_records({tp: RecordsToDelete(before_offset=first + 7)})
    await admin.close()
    worker = stream.start("goes-on", on_lost_history="accept")
    await stream.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    told = await stream.outputs(stream.settings.predictions, 1)
    assert [int(dict(r.headers)["sr-offset"]) for r in told][-5:] == list(
        range(first + 7, first + 12)
    )
