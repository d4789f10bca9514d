"""A producer that Kafka has forgotten, on a broker that forgets within a second or two."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import InvalidProducerIdMapping

from stream_rnn.errors import FencedError, ForgottenError
from stream_rnn.fold.fold_id import transactional_id
from stream_rnn.fold.publisher import TransactionalPublisher
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.local.kafka import LocalKafka
from tests.integration.places import Place
from tests.integration.streams import mixed_records
from tests.integration.test_publisher_contract import committed, message
from tests.shared_servers import run_server

WITHIN_S = 30
SOON = {
    "transactional.id.expiration.ms": "1500",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "200",
    "producer.id.expiration.ms": "1500",
    "producer.id.expiration.check.interval.ms": "200",
    "transaction.state.log.num.partitions": "1",
}


@pytest.fixture(scope="module")
def forgetful():
    """Address of a broker that forgets producers."""
    with run_server(LocalKafka(properties=SOON)) as kafka:
        yield kafka.bootstrap_servers


@pytest.fixture
async def place(app_id, forgetful, redis_url, tmp_path):
    """A fold on it."""
    made = Place(app_id, forgetful, redis_url, tmp_path)
    await made.create()
    yield made
    await made.end()


async def until_forgotten(bootstrap_servers, *ids) -> None:
    """Wait until the coordinator's log says of each transactional id that it is no more."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None)
    await consumer.start()
    try:
        tp = TopicPartition("__transaction_state", 0)
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        known = dict.fromkeys(ids, False)
        async with asyncio.timeout(WITHIN_S):
            while True:
                for record in (await consumer.getmany(tp, timeout_ms=200)).get(tp, []):
                    for name in ids:
                        if record.key.endswith(name.encode()):
                            known[name] = record.value is not None
                end = (await consumer.end_offsets([tp]))[tp]
                if await consumer.position(tp) == end and not any(known.values()):
                    return
    finally:
        await consumer.stop()


async def test_a_quiet_partition_ends_no_worker(place):
    """The next event finds the producer forgotten: it is started again, and the batch folded again."""
    await place.produce(mixed_records(40, 1))
    worker = place.start()
    await place.until_published(WITHIN_S)
    settings = place.settings
    ids = [transactional_id(settings.app, settings.source, partition) for partition in (0, 1)]
    await until_forgotten(settings.bootstrap_servers, *ids)
    await place.produce(mixed_records(40, 2))
    await place.until_says(worker, "repositioning.*InvalidProducerIdMapping")
    await place.until_published(WITHIN_S)
    assert await asyncio.to_thread(worker.stop) == 0
    said = worker.log.read_text()
    assert not [word for word in ("CRITICAL", " ERROR ", "Traceback") if word in said], said
    assert await place.compare() > 0


@pytest.fixture
async def publishers(place):
    """Two publishers of one partition; the first one asks what the test tells it to."""
    settings = place.settings
    for topic in (settings.predictions, settings.dead_letters_topic):
        await place.create(topic)
    answers = []

    async def check_owner():
        if answers:
            raise answers.pop()

    connection = {"bootstrap_servers": settings.bootstrap_servers}
    first = TransactionalPublisher(connection, settings, 1, check_owner=check_owner)
    second = TransactionalPublisher(connection, settings, 1)
    yield first, second, answers
    await first.close()
    await second.close()


async def test_a_forgotten_zombie_leaves_the_owner_alone(place, publishers):
    """Kafka does not say that it is fenced, but that it is forgotten: only the group tells."""
    settings, (zombie, owner, answers) = place.settings, publishers
    await zombie.start()
    await zombie.publish([message(settings, 1)], [], GroupOffset(2, "0123456789ab", 0))
    name = transactional_id(settings.app, settings.source, 1)
    await until_forgotten(settings.bootstrap_servers, name)
    await owner.start()
    with pytest.raises(ForgottenError, match="InvalidProducerIdMapping") as error:
        await zombie.publish([message(settings, 2)], [], GroupOffset(3, "0123456789ab", 0))
    assert isinstance(error.value.__cause__.__cause__, InvalidProducerIdMapping)
    answers.append(FencedError("the generation is over"))
    with pytest.raises(FencedError, match="the generation is over"):
        await zombie.start()
    await owner.publish([message(settings, 2)], [], GroupOffset(3, "0123456789ab", 0))
    async with KafkaCluster({"bootstrap_servers": settings.bootstrap_servers}, settings) as facts:
        found = await committed(facts, settings.predictions)
    assert [dict(record.headers)["sr-offset"] for record in found] == [b"1", b"2"]


async def test_a_producer_may_be_started_again_as_often_as_it_is_forgotten(place, publishers):
    """Each start has a producer of its own, and the last one publishes."""
    settings, (first, _, _) = place.settings, publishers
    for offset in (1, 2):
        await first.start()
        await first.publish(
            [message(settings, offset)], [], GroupOffset(offset + 1, "0123456789ab", 0)
        )
    async with KafkaCluster({"bootstrap_servers": settings.bootstrap_servers}, settings) as facts:
        assert len(await committed(facts, settings.predictions)) == 2
