"""Topics of producers that partition differently, as the doctor and the audit see them."""

import asyncio
import json
from zlib import crc32

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.partitioner import murmur2

from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.operate import key_sample
from stream_rnn.operate.check_keys import check_records
from stream_rnn.operate.check_result import Level
from stream_rnn.settings import Settings
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, run

pytestmark = pytest.mark.timeout(120)
PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")
EVENT = b'{"x":0.5,"kind":"A"}'
PARTITIONS = 6
KEYS = [b"device-%d" % number for number in range(600)]


def fnv1a(key) -> int:
    """Return the hash as Sarama uses it: the absolute value of 32 signed bits."""
    value = 2166136261
    for byte in key:
        value = (value ^ byte) * 16777619 % 2**32
    return abs(value - 2**32 if value >= 2**31 else value)


@pytest.fixture
def stream(app_id, bootstrap_servers, redis_url, tmp_path):
    """Return a fold whose topics a test creates."""
    return Stream(app_id, bootstrap_servers, redis_url, tmp_path)


async def send(stream, keys, choose=None, value=EVENT, events=2, transaction=None) -> None:
    """Send events; by aiokafka's own partitioner, or by a function of the key.

    Args:
        stream: The fold.
        keys: Keys of the events.
        choose: Returns the partition of a key.
        value: Value of each.
        events: Number of events for each key.
        transaction: Whether the transaction is committed; ``None`` sends without one.
    """
    settings = stream.settings
    options = {} if transaction is None else {"transactional_id": f"{settings.app}-sends"}
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, linger_ms=5, **options
    ) as producer:
        if transaction is not None:
            await producer.begin_transaction()
        for _ in range(events):
            for key in keys:
                partition = choose(key) if choose else None
                await producer.send(settings.source, value, key=key, partition=partition)
        await producer.flush()
        if transaction is not None:
            await (producer.commit_transaction if transaction else producer.abort_transaction)()


async def check(stream, **bounds):
    """Return the doctor's finding about keys."""
    settings = stream.settings.of_fold()
    async with KafkaCluster.of(settings) as cluster:
        (finding,) = await check_records(cluster, settings, None, **bounds)
        return finding


async def test_the_brokers_of_a_config_are_read(stream, create_topic, tmp_path):
    """Where nothing else names them, as for every other check of the doctor."""
    await create_topic(stream.settings.source, PARTITIONS)
    await send(stream, KEYS)
    given = stream.settings.model_dump(exclude_unset=True)
    config = tmp_path / "client.properties"
    config.write_text(f"bootstrap.servers={given.pop('bootstrap_servers')}\n")
    settings = Settings.build(**given, kafka_config=str(config), kafka_timeout_s=5).of_fold()
    async with KafkaCluster.of(settings) as cluster:
        (finding,) = await check_records(cluster, settings, None)
        assert finding.level is Level.FINE


async def test_a_topic_of_one_partitioner_is_fine(stream, create_topic):
    """It is named; aborted events, which another one placed, are not there."""
    await create_topic(stream.settings.source, PARTITIONS)
    await send(stream, KEYS)
    await send(stream, KEYS, lambda key: crc32(key) % PARTITIONS, transaction=False)
    await send(stream, [None] * 50)
    finding = await check(stream)
    assert finding.level is Level.FINE
    assert finding.said == (
        f"{stream.settings.source}: 600 keys in a sample of 1,300 records, 100 of them without a "
        "key; none of them is in two partitions; all partitions look like murmur2"
    )


@pytest.mark.parametrize(
    ("name", "choose"),
    [
        ("CRC32", lambda key: crc32(key) % PARTITIONS),
        ("FNV-1a", lambda key: fnv1a(key) % PARTITIONS),
    ],
)
async def test_a_second_partitioner_is_named_with_keys_in_two_partitions(
    stream, create_topic, name, choose
):
    """Beside Java's, which most events have."""
    await create_topic(stream.settings.source, PARTITIONS)
    await send(stream, KEYS)
    await send(stream, KEYS[:200], choose)
    finding = await check(stream)
    both = [key for key in KEYS[:200] if choose(key) != (murmur2(key) & 0x7FFFFFFF) % PARTITIONS]
    assert finding.level is Level.WARNING
    assert f"; {len(both)} of the keys are in more than one partition" in finding.said
    assert f"all partitions look like murmur2 and {name}" in finding.said
    assert "partitioner=murmur2_random" in finding.remedy


async def test_partitions_that_were_added_are_named(stream, create_topic):
    """The oldest and the newest records of each partition are read."""
    settings = stream.settings
    await create_topic(settings.source, 4)
    await send(stream, KEYS)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await admin.create_partitions({settings.source: NewPartitions(PARTITIONS)})
    async with asyncio.timeout(30):
        while len((await admin.describe_topics([settings.source]))[0]["partitions"]) < PARTITIONS:
            await asyncio.sleep(0.1)
    await admin.close()
    await send(stream, KEYS)
    finding = await check(stream)
    assert finding.level is Level.WARNING
    assert "murmur2 when the topic had 4 partitions" in finding.said
    assert "CRC32" not in finding.said
    assert finding.remedy.startswith("keys moved when partitions were added")


async def test_the_sample_has_bounds(stream, create_topic, monkeypatch):
    """Of records, where it reads both ends of each partition; of bytes; and of time."""
    await create_topic(stream.settings.source, PARTITIONS)
    await send(stream, KEYS, events=1)
    await send(stream, KEYS, lambda key: crc32(key) % PARTITIONS, events=1)
    monkeypatch.setattr(key_sample, "RECORDS_MAX", 60 * PARTITIONS)
    monkeypatch.setattr(key_sample, "RECORDS_MIN", 60)
    monkeypatch.setattr(key_sample, "PARTITIONS_AT_ONCE", 4)
    finding = await check(stream)
    assert "keys in a sample of 360 records" in finding.said
    assert "murmur2 and CRC32" in finding.said or "CRC32 and murmur2" in finding.said
    monkeypatch.setattr(key_sample, "BYTES_MAX", 1)
    finding = await check(stream)
    assert "of 4 of 6 partitions" in finding.said
    finding = await check(stream, within_s=0.0)
    assert finding.said == f"not checked: {stream.settings.source} gave no record in time"


async def test_topics_without_keys_to_compare(stream, create_topic):
    """One that is empty, and one with a single partition."""
    await create_topic(stream.settings.source, PARTITIONS)
    assert (await check(stream)).said == f"not checked: {stream.settings.source} is empty"
    one = f"{stream.settings.app}-one"
    await create_topic(one, 1)
    stream.settings = stream.settings.replace(source=one)
    assert (await check(stream)).said.startswith(f"{one} has one partition")


async def test_doctor_and_audit_report_keys_with_two_memories(stream, create_topic, tmp_path):
    """A warning of both, with an example and the page; the audit's outputs are correct."""
    await create_topic(stream.settings.source, 2)
    await send(stream, KEYS[:40], events=2)
    await send(stream, KEYS[:10], lambda key: crc32(key) % 2, events=2)
    both = [key for key in KEYS[:10] if crc32(key) % 2 != (murmur2(key) & 0x7FFFFFFF) % 2]
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    await stream.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    options = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in PLACE]
    lines = (await run("doctor", "--json", *options)).splitlines()
    (finding,) = (one for one in map(json.loads, lines) if one["what"] == "keys")
    assert finding["level"] == "warning"
    assert f"{len(both)} of the keys are in more than one partition" in finding["said"]
    assert "One key in two partitions" in finding["remedy"]

    found = await stream.audit("--examples=2")
    assert (found["keys"], found["keys_in_several_partitions"]) == (40, len(both))
    assert (found["is_fine"], found["problems"], found["keys_are_estimates"]) == (True, [], False)
    assert [each["partitions"] for each in found["split_keys"]] == [[0, 1]] * 2
    assert {each["key"].encode() for each in found["split_keys"]} <= set(both)
    (warning,) = found["warnings"]
    assert warning.startswith(f"{len(both)} of 40 keys of {stream.settings.source} have events in")
    alone = await stream.audit("--partition=0")
    assert (alone["keys_in_several_partitions"], alone["warnings"]) == (None, [])
    text = await run("audit", *options)
    assert f"warning: {len(both)} of 40 keys" in text.replace("\n  ", " ")
    assert text.endswith("every compared record is correct\n")
    named = both[0].decode()
    said = await run("trace", named, "--topic", stream.settings.source, *options[3:5], status=3)
    assert "is in partitions 0 and 1" in said
    found = await stream.audit(f"--key={named.upper()}", status=1)
    assert f"similar: '{named}' (in lower case) in partitions 0 and 1" in found["problems"][-1]
