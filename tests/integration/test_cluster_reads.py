"""Reads of a Kafka cluster while it changes: retention, and a broker that answers again."""

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaConnectionError

from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.settings import Settings

pytestmark = pytest.mark.integration


async def test_a_range_whose_first_records_retention_has_removed_is_read_from_the_log_start(
    app_id, bootstrap_servers, create_topic, caplog
):
    """Otherwise a search for the last output would take the whole range for empty."""
    topic = f"{app_id}-in"
    await create_topic(topic, 1)
    tp = TopicPartition(topic, 0)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        for number in range(10):
            await producer.send_and_wait(topic, b"%d" % number, partition=0)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.delete_records({tp: RecordsToDelete(before_offset=6)})
    await admin.close()
    async with KafkaCluster.of(Settings.build(bootstrap_servers=bootstrap_servers)) as cluster:
        read = [r.offset async for records in cluster.batches(tp, 2, 9) for r in records]
        assert read == [6, 7, 8]
        assert [records async for records in cluster.batches(tp, 2, 5)] == []
    assert f"{tp}: retention removed offsets 2 to 5" in caplog.text


async def test_a_broker_that_answers_in_the_meantime_is_not_called_dead(bootstrap_servers):
    """And no setting is blamed for an error that is over."""
    connection = {"bootstrap_servers": bootstrap_servers}
    message = await describe_unreachable(connection, KafkaConnectionError("no broker answers"))
    assert f"and {bootstrap_servers} answers now; try again" in message
    assert "security.protocol" not in message
