"""A broker that throttles the clients of a worker, so that large transactions do not end in time."""

import asyncio

import pytest

from stream_rnn.local.kafka import LocalKafka
from tests.integration.places import Place
from tests.integration.quotas import set_quotas
from tests.integration.streams import mixed_records
from tests.shared_servers import KAFKA_PROPERTIES, run_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

BYTES_PER_S = 20_000
RECORDS = 2400  # a full publish has more than 160 kB, which take longer than 8 s
OPTIONS = {"transaction_timeout_ms": 5000, "kafka_timeout_s": 8, "batch_events_max": 500}
STALLED_S = 200


@pytest.fixture
def throttled():
    """Address of a broker that the test gives quotas."""
    with run_server(LocalKafka(properties=KAFKA_PROPERTIES)) as kafka:
        yield kafka.bootstrap_servers


async def group_offsets(place) -> list[int]:
    """Return the group offset of each partition."""
    return [row["group_offset"] for row in await place.shown()]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_publish_that_takes_too_long_is_repeated_with_fewer_records(
    delivery, app_id, throttled, redis_url, tmp_path
):
    place = Place(app_id, throttled, redis_url, tmp_path, delivery=delivery, **OPTIONS)
    try:
        await place.create()
        await place.produce(mixed_records(RECORDS, 1))
        await set_quotas(throttled, producer_byte_rate=BYTES_PER_S)
        worker = place.start()
        await place.until_says(worker, "a micro-batch now publishes the outputs of at most")
        before = await group_offsets(place)
        async with asyncio.timeout(STALLED_S):  # it goes on under the quota
            while await group_offsets(place) == before:
                assert worker.is_alive, worker.log.read_text()[-3000:]
                await asyncio.sleep(0.1)
        await set_quotas(throttled, producer_byte_rate=None)
        await place.until_published(STALLED_S, worker)
        log = worker.log.read_text()
        assert not [word for word in ("CRITICAL", " ERROR ", "Traceback") if word in log], log
        assert await place.compare(exactly_once=delivery == "exactly_once") > 0
    finally:
        await place.end()


async def test_a_quota_of_consumers_only_slows_a_worker_down(
    app_id, throttled, redis_url, tmp_path
):
    """Fetches wait, heartbeats do not; recovery reads the outputs within its deadline."""
    place = Place(app_id, throttled, redis_url, tmp_path)
    try:
        await place.create()
        await place.produce(mixed_records(RECORDS, 1))
        await set_quotas(throttled, consumer_byte_rate=40_000)
        worker = place.start()
        await place.until_published(STALLED_S, worker)
        assert await asyncio.to_thread(worker.stop) == 0
        await place.produce(mixed_records(60, 2))
        worker = place.start()
        await place.until_published(STALLED_S, worker)
        assert await asyncio.to_thread(worker.stop) == 0
        await set_quotas(throttled, consumer_byte_rate=None)
        assert await place.compare() > 0
    finally:
        await place.end()
