"""What a worker refuses or does not follow: settings, topics and group offsets that do not fit."""

import asyncio
import time

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_rnn.kafka.admin_client import CheckedAdminClient
from tests.integration.started_workers import until
from tests.integration.streams import mixed_records

pytestmark = pytest.mark.timeout(120)


async def test_a_predictions_topic_with_the_brokers_timestamps_is_taken_up_again(
    stream, create_topic
):
    """Recovery compares timestamps only where they are the source record's."""
    made = await stream()
    config = {"message.timestamp.type": "LogAppendTime"}
    await create_topic(made.settings.predictions, 2, **config)
    await made.produce(mixed_records(60, seed=11))
    for name in ("first", "second"):
        worker = made.start(name)
        await made.until_published()
        assert await asyncio.to_thread(worker.stop) == 0
        await made.produce(mixed_records(30, seed=12))
    third = made.start("third")
    await made.until_published()
    assert await asyncio.to_thread(third.stop) == 0
    assert await made.compare() > 80


async def test_a_backlog_older_than_the_source_takes_now_is_published(stream, bootstrap_servers):
    """What the source's limits refuse today it took when it was new; the outputs take it, too."""
    made = await stream()
    old_ms = time.time_ns() // 1_000_000 - 3 * 86_400_000
    records = mixed_records(60, seed=21)
    await made.produce([(key, value, old_ms + n) for n, (key, value, *_) in enumerate(records)])
    limits = {
        "message.timestamp.before.max.ms": "3600000",
        "max.message.bytes": "100000",  # less than output_batch_bytes_max
        "retention.ms": str(7 * 86_400_000),
    }
    admin = CheckedAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    resource = ConfigResource(ConfigResourceType.TOPIC, made.settings.source, limits)
    await admin.alter_configs([resource])
    await admin.close()
    worker = made.start()
    await until(lambda: "fold ready" in worker.log.read_text() or not worker.is_alive)
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    assert await made.compare() > 40


REFUSED = [
    ({"source": "no-such-topic"}, 3, "source topic no-such-topic does not exist"),
    ({"bundle": "/nowhere"}, 3, "no bundle at /nowhere"),
    ({"bootstrap_servers": "127.0.0.1:1", "kafka_timeout_s": "5"}, 4, "no Kafka broker answers at"),
    (
        {"redis_url": "redis://:secret@127.0.0.1:1/0"},
        4,
        "Redis at redis://:***@127.0.0.1:1/0 does not answer",
    ),
]


@pytest.mark.parametrize(
    ("options", "status", "sentence"), REFUSED, ids=["source", "bundle", "kafka", "redis"]
)
async def test_what_cannot_work_is_refused_with_one_clear_line(stream, options, status, sentence):
    """It says what, where and the remedy; a server may be back at the next start, the rest not."""
    made = await stream()
    worker = made.start(**options)
    await until(lambda: not worker.is_alive, 30)
    log = worker.log.read_text()
    assert worker.exit_status == status, log
    assert sentence in log
    assert "secret" not in log


async def test_a_worker_that_its_group_refuses_ends(stream):
    """Faust would log it and wait for partitions for ever."""
    made = await stream()
    # Shorter than any broker accepts.
    shortest = {"BROKER_SESSION_TIMEOUT": "0.5", "BROKER_HEARTBEAT_INTERVAL": "0.1"}
    worker = made.start(environment=shortest)
    await until(lambda: not worker.is_alive, 30)
    log = worker.log.read_text()
    assert worker.exit_status == 3, log
    assert f"group {made.settings.app}: InvalidSessionTimeoutError" in log
    assert "set BROKER_SESSION_TIMEOUT, in seconds, within" in log


async def test_topics_that_do_not_fit_are_refused(stream, create_topic):
    """Other partitions, a compacted output, less retention, and one that refuses a backlog."""
    made = await stream()
    app = made.settings.app
    await create_topic(f"{app}-three", 3)
    await create_topic(f"{app}-compact", 2, **{"cleanup.policy": "compact"})
    await create_topic(f"{app}-short", 2, **{"retention.ms": "1000"})
    await create_topic(f"{app}-late", 2, **{"message.timestamp.before.max.ms": "3600000"})
    for name, sentence in (
        ("three", "has 3 partitions"),
        ("compact", "is compacted"),
        ("short", "retention.ms 1000"),
        (
            "late",
            "it would refuse the predictions of old records; set message.timestamp.before.max.ms=",
        ),
    ):
        worker = made.start(name, predictions=f"{app}-{name}", dead_letters=f"{app}-dead")
        await until(lambda worker=worker: not worker.is_alive, 30)
        assert worker.exit_status == 3
        assert sentence in worker.log.read_text()


async def test_a_compacted_source_is_refused(stream):
    """A rebuild of a compacted log would fold fewer records."""
    made = await stream(source_config={"cleanup.policy": "compact"})
    worker = made.start()
    await until(lambda: not worker.is_alive, 30)
    assert worker.exit_status == 3
    assert "the source is compacted" in worker.log.read_text()


async def test_a_group_offset_that_somebody_set_is_not_followed(stream, bootstrap_servers):
    """Up to the last output, the output topic knows better; beyond it, a person must decide."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    made = await stream()
    partition = sum(b"a") % 2
    tp = TopicPartition(made.settings.source, partition)

    async def somebody_sets(offset) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            group_id=made.settings.app,
            enable_auto_commit=False,
        )
        await consumer.start()
        consumer.assign([tp])
        await asyncio.wait_for(consumer.commit({tp: offset}), 20)
        await consumer.stop()

    await made.produce([(b"a", {"x": 1.0})] * 20)
    worker = made.start()
    await made.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    await somebody_sets(3)
    again = made.start("again")
    await made.produce([(b"a", {"x": 1.0})] * 5)
    await made.until_published()
    assert await asyncio.to_thread(again.stop) == 0
    assert await made.compare() == 25
    await somebody_sets(25)
    third = made.start("third")
    await made.produce([(b"a", {"x": 1.0})] * 5)
    await made.until_published()
    assert await asyncio.to_thread(third.stop) == 0
    assert await made.compare() == 30
    await made.produce([(b"a", {"x": 1.0})])
    await somebody_sets(31)
    refused = made.start("refused", transaction_timeout_ms=1000)
    await until(lambda: not refused.is_alive, 30)
    assert refused.exit_status == 3
    assert "was not written by stream_rnn" in refused.log.read_text()
