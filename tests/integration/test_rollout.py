"""A roll-out on real servers: warm, promote, back, under load, and every prediction is its fold's."""

import asyncio

import pytest

from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.store.connection import connect_redis
from tests.integration.rollout_person import RollOut, compare
from tests.integration.streams import mixed_records

pytestmark = pytest.mark.timeout(240)


async def load(stream, stopped) -> None:
    """Produce until told to stop."""
    seed = 2
    while not stopped.is_set():
        await stream.produce(mixed_records(30, seed=seed))  # the oracle folds them all, one by one
        await asyncio.sleep(0.1)
        seed += 1


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_promote_and_the_way_back_under_load(delivery, stream, tmp_path, redis_url):
    """Nothing is missing or doubled, and each prediction equals the oracle of the fold that made it."""
    made = await stream(delivery=delivery)
    await made.produce(mixed_records(500, seed=1))
    workers = [made.start(name) for name in ("one", "two")]
    redis = connect_redis(redis_url, 5)
    try:
        async with KafkaCluster.of(made.settings) as cluster:
            person, stopped = RollOut(made, tmp_path, redis, cluster), asyncio.Event()
            await made.until_published(worker=workers[0])
            loading = asyncio.create_task(load(made, stopped))
            await person.start()
            await person.promote(1)
            workers[1].kill()
            await person.promote(0)
            made.start("three")
            await person.promote(1)
            stopped.set()
            await loading
            await made.until_published(worker=workers[0])
            known = [await person.known(partition) for partition in (0, 1)]
            assert [offset.number for offset in known] == [3, 3]
            await compare(person, is_exact=delivery == "exactly_once")
    finally:
        await redis.aclose()
