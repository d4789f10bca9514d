"""Workers with different bundles at the same time: what a rolling restart with a new bundle does."""

import asyncio
import itertools
import json

import pytest

from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.store.connection import connect_redis
from tests import oracle
from tests.integration.rollout_person import Person

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def person(stream, redis_url, tmp_path):
    """Return a person with two bundles, and a fold without records."""
    made, redis = await stream(delivery="exactly_once"), connect_redis(redis_url, 5)
    async with KafkaCluster.of(made.settings) as cluster:
        yield Person(made, tmp_path, redis, cluster)
    await redis.aclose()


async def folds_of(person, partition) -> list[int]:
    """Return the folds of a partition's predictions in turn, each prediction compared with its oracle."""
    stream, source = person.stream, person.settings.source
    records = await stream.source(partition)
    truths = [
        oracle.fold(model, person.settings, records, source, partition).predictions
        for model in person.models
    ]
    published = {}
    for message in await stream.outputs(person.settings.predictions, partition):
        value, fold = json.loads(message.value), dict(message.headers)["sr-fold"].decode()
        offset = value["source"]["offset"]
        assert offset not in published
        published[offset] = person.ids.index(fold)
        assert value == truths[published[offset]][offset]
    assert sorted(published) == list(published) == list(truths[0])
    return [fold for fold, _ in itertools.groupby(published.values())]


async def test_without_a_roll_out_whoever_owns_a_partition_predicts(person):
    """Nothing is missing or doubled, but the bundle of a partition changes with each rebalance."""
    stream = person.stream
    old = stream.start("old")
    await person.publish(1, old)
    new = stream.start("new", bundle=str(person.new_bundle))
    async with asyncio.timeout(60):
        while not new.partitions():
            await asyncio.sleep(0.1)
    (taken,) = new.partitions()
    await person.publish(2, old)
    assert await asyncio.to_thread(new.stop) == 0
    await person.publish(3, old)
    assert await folds_of(person, taken) == [0, 1, 0]
    assert await folds_of(person, 1 - taken) == [0]


async def test_after_a_roll_out_the_own_bundle_of_a_worker_decides_nothing(person):
    """The old one, the new one or a mixture: the fold that the cut-over put in charge goes on."""
    stream = person.stream
    await stream.produce([(b"k", None)])
    first = await person.promote_new()
    await person.verb("finish")
    second = stream.start("second", bundle=str(person.new_bundle))
    await person.publish(1, first)
    assert await asyncio.to_thread(first.stop) == 0
    third = stream.start("third")
    await person.publish(2, second)
    assert await asyncio.to_thread(second.stop) == 0
    await person.publish(3, third)
    assert [await folds_of(person, partition) for partition in (0, 1)] == [[1], [1]]
