"""Producers on a broker that takes short transactions only, and that may be frozen."""

import asyncio
import gc
import time
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import IllegalOperation, ProducerFenced

from stream_rnn.errors import ConfigError
from stream_rnn.fold.publisher import TransactionalPublisher
from stream_rnn.kafka.clients import (
    new_admin,
    new_consumer,
    new_producer,
    stop_producer,
    transaction_error,
)
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.operate import check_kafka
from stream_rnn.operate.check_kafka import check_rights, check_transactions
from stream_rnn.operate.check_result import Level
from stream_rnn.settings import Settings
from tests.shared_servers import freeze, run_server, unfreeze

TOPIC = "t"


@pytest.fixture(scope="module")
def broker():
    """Such a broker."""
    with run_server(LocalKafka(properties={"transaction.max.timeout.ms": "5000"})) as kafka:
        yield kafka


async def test_a_producer_that_cannot_end_is_given_up_and_sends_nothing_more(broker):
    """In time; what it had not sent is not sent when the broker answers again."""
    producer = new_producer(
        bootstrap_servers=broker.bootstrap_servers,
        transactional_id="p",
        transaction_timeout_ms=5000,
        linger_ms=0,
    )
    async with asyncio.timeout(30):
        await producer.start()
        await make_topic(broker.bootstrap_servers)
        await producer.partitions_for(TOPIC)
        await producer.begin_transaction()
    freeze(broker)
    try:
        sent = await producer.send(TOPIC, b"never", partition=0)
        began = time.monotonic()
        await stop_producer(producer, 0.5)
        assert time.monotonic() - began < 10
        assert producer._sender.sender_task.done() or producer._sender.sender_task.cancelling()
        connections = list(producer.client._conns.values())
        assert not [one for one in connections if one.connected()]
    finally:
        unfreeze(broker)
    assert await log_end(broker.bootstrap_servers) == 0
    await asyncio.sleep(1)
    assert await log_end(broker.bootstrap_servers) == 0
    assert not sent.done() or sent.cancelled() or sent.exception()


async def test_the_error_of_a_fenced_producer_is_found_behind_each_later_error(broker):
    """It is the sender's; the calls say only that their transaction is in the wrong state."""
    async with fenced_producer(broker, "fenced") as (first, second):
        with pytest.raises(ProducerFenced):
            await first.send_and_wait("fenced", b"late", partition=0)
        later = (
            lambda: first.send("fenced", b"later", partition=0),
            first.begin_transaction,
            first.commit_transaction,
            lambda: first.send_offsets_to_transaction({TopicPartition("fenced", 0): 1}, "g"),
        )
        for call in later:
            with pytest.raises((IllegalOperation, AssertionError)) as raised:
                await call()
            assert isinstance(transaction_error(raised.value, first), ProducerFenced)
        assert isinstance(transaction_error(AssertionError(), second), AssertionError)
        unrelated = OSError()
        assert transaction_error(unrelated, first) is unrelated


async def test_asyncio_reports_no_error_of_a_fenced_producer_again(broker):
    """It reports an error that nobody has asked for, and so each fence would be a line of the log."""
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, about: reported.append(about))
    async with fenced_producer(broker, "reported") as (first, second):
        with pytest.raises(ProducerFenced) as raised:
            await first.send_and_wait("reported", b"late", partition=0)
        assert transaction_error(raised.value, first) is raised.value
    del first, second, raised
    gc.collect()
    assert [about["message"] for about in reported] == []


async def test_a_transaction_longer_than_the_broker_allows_is_a_setting(broker):
    """A restart would not help; a person must act."""
    settings = Settings.build(app="a", source=TOPIC, predictions="p")
    connection = {"bootstrap_servers": broker.bootstrap_servers}
    publisher = TransactionalPublisher(connection, settings, 0)
    with pytest.raises(
        ConfigError, match=r"transactions of 10000 ms: lower transaction_timeout_ms, or raise"
    ):
        await publisher.start()
    await publisher.close()
    finding = await check_rights(settings.replace(**connection), {})
    assert (finding.level, finding.remedy) == (Level.BAD, "lower --transaction-timeout-ms")


async def test_of_two_doctors_at_a_time_the_fenced_one_says_so(broker, monkeypatch):
    """The client's error says only that a transaction is in the wrong state."""
    await make_topic(broker.bootstrap_servers, "doctor")
    settings = Settings.build(
        app="a",
        source="doctor",
        predictions="p",
        transaction_timeout_ms=5000,
        bootstrap_servers=broker.bootstrap_servers,
    )

    def new_fenced_producer(**options):
        producer, rival = new_producer(**options), new_producer(**options)
        abort = producer.abort_transaction

        async def abort_after_the_fence():
            await rival.start()
            await stop_producer(rival, 5)
            producer._txn_manager.maybe_add_partition_to_txn(TopicPartition("doctor", 0))
            await asyncio.wait({producer._sender.sender_task}, timeout=30)
            await abort()

        producer.abort_transaction = abort_after_the_fence
        return producer

    monkeypatch.setattr(check_kafka, "new_producer", new_fenced_producer)
    finding = await check_rights(settings, {})
    assert (finding.level, finding.remedy) == (Level.BAD, "run it again alone")
    assert finding.said == "another doctor of this app and source runs"


async def test_the_doctor_reads_the_brokers_limit_without_writing(broker):
    """From the configuration of a broker; no transaction is needed."""
    settings = Settings.build(
        app="a",
        source=TOPIC,
        predictions="p",
        bundle="b",
        bootstrap_servers=broker.bootstrap_servers,
    )
    async with KafkaCluster.of(settings) as cluster:
        finding, _ = await check_transactions(cluster, settings.of_fold())
        assert finding.level is Level.BAD
        assert finding.said == (
            "the brokers' transaction.max.timeout.ms is 5000, and transaction_timeout_ms 10000"
        )
        assert finding.remedy.startswith("lower --transaction-timeout-ms")
        short = settings.replace(transaction_timeout_ms=5000).of_fold()
        finding, has_transactions = await check_transactions(cluster, short)
    assert (finding.level, has_transactions) == (Level.FINE, True)
    assert finding.said.endswith("transaction.max.timeout.ms is 5000")


@asynccontextmanager
async def fenced_producer(broker, topic):
    """Yield a producer with a transaction over a new topic, and the one that has fenced it since."""
    options = {
        "bootstrap_servers": broker.bootstrap_servers,
        "transactional_id": topic,
        "transaction_timeout_ms": 5000,
    }
    first, second = new_producer(**options), new_producer(**options)
    try:
        await first.start()
        await make_topic(broker.bootstrap_servers, topic)
        await first.begin_transaction()
        await second.start()
        yield first, second
    finally:
        await stop_producer(first, 5)
        await stop_producer(second, 5)


async def make_topic(bootstrap_servers, topic=TOPIC) -> None:
    """Create the topic."""
    admin = new_admin(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()


async def log_end(bootstrap_servers) -> int:
    """Return how many records the topic has."""
    consumer = new_consumer(bootstrap_servers=bootstrap_servers)
    async with asyncio.timeout(30):
        await consumer.start()
        try:
            tp = TopicPartition(TOPIC, 0)
            return (await consumer.end_offsets([tp]))[tp]
        finally:
            await consumer.stop()
