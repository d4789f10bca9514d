"""The consumer's thread on a real Kafka: whose seek it was."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import KafkaError

from stream_rnn.errors import UnreadableError
from stream_rnn.kafka.clients import new_consumer
from stream_rnn.worker.transport import UNSETTLED, ConsumerPosition, FoldThread


@pytest.fixture
async def thread(app_id, bootstrap_servers, create_topic):
    """The thread's own code over a real consumer, whose group has committed offset 5 of 10."""
    topic = await create_topic(f"{app_id}-in", 1)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    for _ in range(10):
        await producer.send_and_wait(topic, b"{}", key=b"k", partition=0)
    await producer.stop()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, group_id=app_id, enable_auto_commit=False
    )
    await consumer.start()
    tp = TopicPartition(topic, 0)
    consumer.assign([tp])
    await asyncio.wait_for(consumer.commit({tp: 5}), 20)
    made = FoldThread.__new__(FoldThread)  # without Faust around it
    made._consumer, made._epochs, made._delivered = consumer, {}, {}
    made._seeks_of_faust = 0
    yield made, tp
    await consumer.stop()


async def test_a_seek_of_fausts_is_told_from_a_folds_own(thread):
    """After Faust's seek to the group offset the epoch is another: its way there is no hole."""
    made, tp = thread
    epoch = await made._seek_fold(tp, 2)
    assert await made._consumer_position(tp) == ConsumerPosition(2, None, epoch)
    await asyncio.wait_for(made._seek_all_to_committed(), 20)
    here = await made._consumer_position(tp)
    assert here.position == 5
    assert here.epoch != epoch
    assert await made._seek_fold(tp, 2) > here.epoch


async def test_a_fetch_carries_the_epoch_of_the_seek_before_it(thread):
    """Records are delivered as one, with what tells them from those of another seek."""
    made, tp = thread
    epoch = await made._seek_fold(tp, 2)
    records = (await made._consumer.getmany(tp, timeout_ms=10_000))[tp]
    (fetched,) = made._as_one_message(tp, records)
    assert (fetched.epoch, fetched.partition, fetched.records[0].offset) == (epoch, 0, 2)
    assert (await made._consumer_position(tp)).delivered == records[-1].offset + 1
    assert (await made._seek_fold(tp, 0), (await made._consumer_position(tp)).delivered) == (
        epoch + 1,
        None,
    )


async def test_while_faust_seeks_nothing_has_an_epoch(thread):
    """Also not what a fold sought meanwhile: Faust's seek may take it away again."""
    made, tp = thread
    epoch = await made._seek_fold(tp, 2)
    consumer, asked, answer = made._consumer, asyncio.Event(), asyncio.Event()
    committed = consumer.committed

    async def slow(*arguments):
        asked.set()
        await answer.wait()
        return await committed(*arguments)

    consumer.committed = slow
    seeking = asyncio.create_task(made._seek_all_to_committed())
    await asyncio.wait_for(asked.wait(), 20)
    assert (await made._consumer_position(tp)).epoch == UNSETTLED
    meanwhile = await made._seek_fold(tp, 3)
    records = (await consumer.getmany(tp, timeout_ms=10_000))[tp]
    assert [one.epoch for one in made._as_one_message(tp, records)] == [UNSETTLED]
    answer.set()
    await asyncio.wait_for(seeking, 20)
    here = await made._consumer_position(tp)
    assert here.position == 5
    assert here.epoch not in (epoch, meanwhile, UNSETTLED)


async def test_a_seek_of_fausts_that_fails_counts_too(thread):
    """It may have moved some of the partitions."""
    made, tp = thread
    epoch = await made._seek_fold(tp, 2)

    async def fails(*_arguments):
        raise KafkaError("no coordinator")

    made._consumer.committed = fails
    with pytest.raises(KafkaError):
        await made._seek_all_to_committed()
    assert (await made._consumer_position(tp)).epoch == epoch + 1


def cannot_read(consumer, tp) -> None:
    """Let a consumer have fetched what cannot be read at 3, as aiokafka has it of a wrong length."""
    error = UnreadableError(tp.topic, tp.partition, 3, "its length is beyond the fetch")
    consumer._fetcher._records[tp] = FetchError(error=error, backoff=0)
    consumer._subscription.subscription.assignment.state_value(tp).consumed_to(4)


async def test_a_consumer_stays_where_it_cannot_read(thread, bootstrap_servers, app_id):
    """Each call raises it again: whoever goes on may not commit past it."""
    _, tp = thread
    consumer = new_consumer(bootstrap_servers=bootstrap_servers, group_id=f"{app_id}-2")
    await consumer.start()
    consumer.assign([tp])
    for _ in range(2):
        consumer.seek(tp, 3)
        cannot_read(consumer, tp)
        with pytest.raises(UnreadableError, match="offset 3 cannot be read"):
            await consumer.getmany(tp, timeout_ms=1000)
        assert await consumer.position(tp) == 3
    await consumer.stop()


async def test_what_cannot_be_read_is_no_hole_of_the_log(thread):
    """Before the fold takes the error, an idle fold does not get a position after it."""
    made, tp = thread
    await made._seek_fold(tp, 3)
    cannot_read(made._consumer, tp)
    assert (await made._consumer_position(tp)).position is None
