"""A producer that is stopped while its broker does not answer."""

import asyncio
import os
import signal
import time

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from stream_rnn.kafka_clients import new_admin, new_consumer, new_producer, stop_producer
from stream_rnn.local.kafka import LocalKafka
from tests.shared_servers import own

TOPIC = "t"


@pytest.fixture(scope="module")
def broker():
    """A broker that may be frozen."""
    with own(LocalKafka()) as kafka:
        yield kafka


async def test_a_producer_that_cannot_end_is_given_up_and_sends_nothing_more(broker):
    """In time; what it had not sent is not sent when the broker answers again."""
    producer = new_producer(
        bootstrap_servers=broker.bootstrap_servers, transactional_id="p", linger_ms=0
    )
    async with asyncio.timeout(30):
        await producer.start()
        await make_topic(broker.bootstrap_servers)
        await producer.partitions_for(TOPIC)
        await producer.begin_transaction()
    os.kill(broker._process.pid, signal.SIGSTOP)
    try:
        sent = await producer.send(TOPIC, b"never", partition=0)
        began = time.monotonic()
        await stop_producer(producer, 0.5)
        assert time.monotonic() - began < 10
        assert producer._sender.sender_task.done() or producer._sender.sender_task.cancelling()
        connections = list(producer.client._conns.values())
        assert not [one for one in connections if one.connected()]
    finally:
        os.kill(broker._process.pid, signal.SIGCONT)
    assert await log_end(broker.bootstrap_servers) == 0
    await asyncio.sleep(1)
    assert await log_end(broker.bootstrap_servers) == 0
    assert not sent.done() or sent.cancelled() or sent.exception()


async def make_topic(bootstrap_servers) -> None:
    """Create the topic."""
    admin = new_admin(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
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
