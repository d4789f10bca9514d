"""What a broker that has just been started says of a group: nothing, which is not "none"."""

import asyncio
import contextlib

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import StreamRNNError
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.kafka.admin_client import CheckedAdminClient
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_offsets import committed_offsets
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.settings import Settings
from tests.shared_servers import run_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
GROUP, TOPIC, OFFSET = "worker", "flights", 7
PLACES = [TopicPartition(TOPIC, number) for number in range(60)]
COMMITS = 80
WITHIN_S = 60
SLOW_TO_LOAD = {"offsets.topic.num.partitions": "1", "offsets.load.buffer.size": "1"}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    """Return a broker of a group that committed much, so that it takes a while to load it."""
    data = tmp_path_factory.mktemp("kafka")
    with run_server(LocalKafka(data=data, properties=SLOW_TO_LOAD)) as broker:
        asyncio.run(commit(broker.bootstrap_servers))
        yield broker


async def commit(bootstrap_servers) -> None:
    """Create the topic, and commit offsets of it."""
    admin = CheckedAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, len(PLACES), 1)])
    await admin.close()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, group_id=GROUP, enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign(PLACES)
    for _ in range(COMMITS):
        await consumer.commit({tp: OffsetAndMetadata(OFFSET, "x" * 4000) for tp in PLACES})
    await consumer.stop()


async def by_the_worker(connection) -> int | None:
    """Ask as recovery, the audit and ``state show`` do."""
    settings = Settings.build(app=GROUP, source=TOPIC, **connection)
    async with KafkaCluster(connection, settings) as facts:
        found = await KafkaLog(facts, settings, 0).group_offset()
    return found and found.offset


async def by_the_reader(connection, partitions) -> int | None:
    """Ask as ``complete`` does, for all partitions, and as a reader does, for its own."""
    admin = CheckedAdminClient(**connection)
    try:
        await admin.start()
        found = await committed_offsets(admin, GROUP, partitions, WITHIN_S)
    finally:
        await admin.close()
    return found[PLACES[0]].offset if PLACES[0] in found else None


async def test_while_a_broker_loads_its_groups_their_offsets_are_not_none(kafka):
    """The worker's look and the readers': each says what was committed, or fails."""

    async def first_answer(ask, *arguments) -> int | None:
        async with asyncio.timeout(WITHIN_S):
            while True:
                with contextlib.suppress(StreamRNNError, KafkaError, OSError):  # it does not know
                    return await ask({"bootstrap_servers": kafka.bootstrap_servers}, *arguments)
                await asyncio.sleep(0.1)

    await asyncio.to_thread(kafka.kill)
    *said, _ = await asyncio.gather(
        first_answer(by_the_worker),
        first_answer(by_the_reader, None),
        first_answer(by_the_reader, PLACES[:1]),
        asyncio.to_thread(kafka.start),
    )
    assert said == [OFFSET] * 3
