"""Connections that carry nothing, on a real broker."""

import asyncio

import faust
from aiokafka import TopicPartition

from stream_rnn.kafka import client
from stream_rnn.kafka.clients import new_admin, new_consumer, new_producer
from tests.integration.predicted import wait_until

IDLE_MS = 300


async def test_an_idle_connection_is_closed_and_the_next_transaction_opens_another(
    app_id, bootstrap_servers, create_topic, monkeypatch
):
    """A producer of a silent partition has no connection that a load balancer could drop."""
    monkeypatch.setattr(client, "IDLE_MS_MAX", IDLE_MS)
    await create_topic(app_id, 1)
    producer = new_producer(
        bootstrap_servers=bootstrap_servers,
        transactional_id=f"{app_id}/{app_id}/0",
        request_timeout_ms=20_000,
    )
    async with asyncio.timeout(60):
        await producer.start()
        try:
            await publish(producer, app_id, b"before")
            await wait_until(lambda: not open_connections(producer), "the connections are closed")
            await publish(producer, app_id, b"after")
        finally:
            await producer.stop()
        assert await values(bootstrap_servers, app_id, 2) == [b"before", b"after"]


async def test_no_client_keeps_an_idle_connection_for_as_long_as_a_load_balancer(
    bootstrap_servers, caplog
):
    """Whatever an app sets; a shorter time stays.  A longer one is named once in the log."""
    options = {"bootstrap_servers": bootstrap_servers}
    producer = new_producer(**options, connections_max_idle_ms=300_000)
    consumer = new_consumer(**options, group_id=None)
    short = new_producer(**options, connections_max_idle_ms=1_000)
    clients = [producer.client, consumer._client, new_admin(**options)._client]
    assert [each._connections_max_idle_ms for each in clients] == [client.IDLE_MS_MAX] * 3
    assert short.client._connections_max_idle_ms == 1_000
    (record,) = caplog.records
    assert "is 110000 instead of 300000: load balancers drop" in record.getMessage()
    assert faust.Settings("app").producer_connections_max_idle_ms == client.IDLE_MS_DEFAULT
    assert faust.Settings("app").consumer_connections_max_idle_ms == client.IDLE_MS_DEFAULT
    # aiokafka looks again after that time; Azure drops a connection after 240 s.
    assert 2 * client.IDLE_MS_MAX < 240_000


def open_connections(producer):
    return [each for each in producer.client._conns.values() if each.connected()]


async def publish(producer, topic, value) -> None:
    async with producer.transaction():
        await producer.send_and_wait(topic, value)


async def values(bootstrap_servers, topic, count):
    consumer = new_consumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()
