"""The reader of a candidate on a real Kafka: committed records of a range, however they are spread."""

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.settings import Settings
from stream_rnn.worker.rollout_folds import KafkaRangeReader

FETCH_BYTES = 1_048_576  # of one partition in one answer


@pytest.fixture
async def settings(app_id, bootstrap_servers, create_topic):
    """Settings whose source topic exists."""
    await create_topic(f"{app_id}-in", 1)
    given = {"app": app_id, "source": f"{app_id}-in", "bootstrap_servers": bootstrap_servers}
    return Settings.build(**given, batch_events_max=7).of_fold(needs=())


@pytest.fixture
async def cluster(settings):
    """Clients that ask Kafka."""
    async with KafkaCluster({"bootstrap_servers": settings.bootstrap_servers}, settings) as opened:
        yield opened


async def produce(settings, *transactions) -> None:
    """Produce transactions: a number of records, their bytes, and whether they are committed."""
    address = {"bootstrap_servers": settings.bootstrap_servers}
    async with AIOKafkaProducer(**address, transactional_id=f"{settings.app}-x") as producer:
        for records, size, commits in transactions:
            await producer.begin_transaction()
            for _ in range(records):
                await producer.send(settings.source, b"v" * size, partition=0)
            await producer.flush()
            await (producer.commit_transaction() if commits else producer.abort_transaction())


async def test_ranges_are_read_on_and_again(settings, cluster):
    """All committed records below the end, in pieces; a read at another offset seeks."""
    await produce(settings, (10, 5, True), (3, 5, False), (5, 5, True))
    reader = KafkaRangeReader(cluster, TopicPartition(settings.source, 0), settings)
    expected = [*range(10), *range(15, 20)]  # after each transaction stands a marker
    try:
        for end in (20, 13, 17, 20):
            found, position = [], 0
            while position < end:
                records = await reader.read(position, end)
                assert len(records) <= settings.batch_events_max
                found += [record.offset for record in records]
                position = found[-1] + 1 if records else end
            assert found == [offset for offset in expected if offset < end]
    finally:
        await reader.close()


async def test_a_reader_that_passes_offsets_has_time(settings, cluster):
    """The deadline is one of standing still: a candidate would never get past what takes longer."""
    await produce(settings, (40, FETCH_BYTES * 9 // 10, False), (1, 5, True))
    tp = TopicPartition(settings.source, 0)

    def clock() -> float:
        """Return a moment long after the deadline as soon as an offset is passed."""
        subscription = reader._consumer._subscription.subscription  # its answer without waiting
        state = subscription.assignment.state_value(tp)
        return 10 * settings.kafka_timeout_s * (state.has_valid_position and state.position > 0)

    reader = KafkaRangeReader(cluster, tp, settings, clock)
    try:
        (record,) = await reader.read(0, 42)
        assert record.offset == 41
    finally:
        await reader.close()
