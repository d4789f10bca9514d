"""What a reader waits for, and what keeps no prediction back."""

import asyncio
import logging

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata

from tests.integration.predicted import nothing_more, publish, take, wait_until, written


async def commit_as_worker(bootstrap_servers, app_id, source, offsets):
    """Commit how far a worker has folded and published."""
    worker = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, group_id=app_id, enable_auto_commit=False
    )
    committed = {
        TopicPartition(source, partition): OffsetAndMetadata(offset, "v1 0123456789ab 0")
        for partition, offset in offsets.items()
    }
    async with asyncio.timeout(30):
        await worker.start()
        worker.assign(list(committed))
        await worker.commit(committed)
        await worker.stop()


async def test_complete_is_the_group_offset_of_the_worker(
    bootstrap_servers, topic, app_id, create_topic, open_reader
):
    """It says how far each source partition is published."""
    await create_topic(topic, 2)
    await commit_as_worker(
        bootstrap_servers, app_id, await create_topic(f"{app_id}-events", 2), {0: 12, 1: 7}
    )
    async with open_reader(worker_app_id=app_id) as reader:
        assert reader.complete == {}
        assert await reader.refresh_complete() == {0: 12, 1: 7}
        assert reader.complete == {0: 12, 1: 7}


async def test_a_group_that_does_not_answer_keeps_no_prediction_back(
    bootstrap_servers, topic, app_id, create_topic, open_reader, monkeypatch
):
    """How far the worker has published is asked for beside the reading, until there is an answer."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(9)))
    source = await create_topic(f"{app_id}-events", 1)
    await commit_as_worker(bootstrap_servers, app_id, source, {0: 5})
    ask, refused, is_back = AIOKafkaAdminClient.list_consumer_group_offsets, [], asyncio.Event()

    async def not_yet(self, *names, **options):
        if is_back.is_set():
            return await ask(self, *names, **options)
        refused.append(names)
        raise GroupCoordinatorNotAvailableError(app_id)

    monkeypatch.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", not_yet)
    async with open_reader(worker_app_id=app_id) as reader:
        assert await take(reader, 9, 5) == [(0, offset) for offset in range(9)]
        reading = asyncio.ensure_future(anext(reader))
        try:
            await wait_until(lambda: refused, "a question")
            assert reader.complete == {}
            is_back.set()
            await wait_until(lambda: reader.complete == {0: 5}, "an answer")
        finally:
            reading.cancel()


@pytest.mark.parametrize("timeout_s", [0.9, 0.4])
async def test_a_topic_on_which_nothing_comes_is_no_failure_however_short_the_deadline(
    bootstrap_servers, topic, app_id, create_topic, open_reader, timeout_s, caplog
):
    """The deadline is of an answer of Kafka, not of the next prediction."""
    await create_topic(topic, 1)
    async with open_reader() as _warm:  # what is asked first takes longer than such a deadline
        pass

    async with open_reader(timeout_s=timeout_s) as reader:
        caplog.clear()
        await nothing_more(reader, 3.5)
        await publish(bootstrap_servers, topic, written(app_id, [0]))
        assert await take(reader, 1) == [(0, 0)]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
