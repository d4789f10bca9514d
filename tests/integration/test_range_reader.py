"""The reader of a candidate on a real Kafka: committed records of a range, however they are spread."""

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from stream_rnn.errors import FencedError
from stream_rnn.kafka.cluster import POLL_MS, KafkaCluster
from stream_rnn.settings import Settings
from stream_rnn.worker.range_reader import FETCH_WAIT_MS, KafkaRangeReader

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


async def test_a_range_that_grows_is_read_without_a_seek(settings, cluster, monkeypatch):
    """After a seek Kafka sends again what it has sent beyond the end, for each micro-batch."""
    await produce(settings, (10, 5, True), (3, 5, False), (5, 5, True), (4, 5, False), (9, 5, True))
    reader = KafkaRangeReader(cluster, TopicPartition(settings.source, 0), settings)
    expected = [*range(10), *range(15, 20), *range(26, 35)]
    try:
        found, position = [], 0
        for end in (1, 3, 4, 12, 13, 14, 17, 18, 22, 25, 26, 27, 36):
            while position < end:
                records = await reader.read(position, end)
                monkeypatch.setattr(reader._consumer, "seek", None)  # after the first one
                assert all(position <= record.offset < end for record in records)
                assert len(reader._ahead) <= settings.batch_events_max
                found += [record.offset for record in records]
                position = found[-1] + 1 if records else end
            assert found == [offset for offset in expected if offset < end]
    finally:
        await reader.close()


async def test_a_candidate_at_the_end_of_the_log_asks_seldom(settings, cluster):
    """Each candidate of thousands has a consumer, and most of their partitions may be quiet."""
    await produce(settings, (3, 5, True))
    reader = KafkaRangeReader(cluster, TopicPartition(settings.source, 0), settings)
    try:
        assert len(await reader.read(0, 4)) == 3
        assert reader._consumer._fetcher._fetch_max_wait_ms == FETCH_WAIT_MS > POLL_MS
    finally:
        await reader.close()


async def test_a_read_that_is_interrupted_passes_no_record(settings, cluster, monkeypatch):
    """The consumer may have delivered records that the candidate did not get."""
    await produce(settings, (10, 5, True))
    reader = KafkaRangeReader(cluster, TopicPartition(settings.source, 0), settings)
    try:
        assert [record.offset for record in await reader.read(0, 2)] == [0, 1]
        assert [record.offset for record in await reader.read(2, 7)] == [2, 3, 4, 5, 6]
        with monkeypatch.context() as patched:

            async def refuse(_tp):
                raise FencedError("no answer")

            patched.setattr(reader._consumer, "position", refuse)
            with pytest.raises(FencedError):
                await reader.read(7, 11)
        assert [record.offset for record in await reader.read(7, 11)] == [7, 8, 9]
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
