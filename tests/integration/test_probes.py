"""Probes and metrics of a worker: how it is, and what it waits for."""

import asyncio
import json
import re

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_rnn.local.redis import LocalRedis
from tests.integration.started_workers import PLACE, options
from tests.integration.streams import mixed_records, run
from tests.shared_servers import run_server

pytestmark = pytest.mark.timeout(120)


async def address_of(worker) -> str:
    """Wait until a worker says where it answers."""
    async with asyncio.timeout(40):
        while not (found := re.search(r"health address=(\S+)", worker.log.read_text())):
            await asyncio.sleep(0.1)
    return found[1]


async def get(address, path) -> tuple[int, str]:
    """Ask a worker."""
    async with aiohttp.ClientSession() as session, session.get(address + path) as answer:
        return answer.status, await answer.text()


def samples(text) -> dict[tuple[str, ...], float]:
    """Return every sample by name and label values."""
    return {
        (s.name, *s.labels.values()): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


async def until_ready(address) -> None:
    """Wait until a worker is ready."""
    async with asyncio.timeout(40):
        while (await get(address, "/ready"))[0] != 200:
            await asyncio.sleep(0.1)


async def test_a_worker_says_how_it_is(made):
    """Ready once it publishes; its counters are what was published; gauges are the positions."""
    await made.produce(mixed_records(300, seed=31))
    worker = made.start(facts_interval_s=0.2, health_address="127.0.0.1:0")
    address = await address_of(worker)
    assert (await get(address, "/live"))[0] == 200
    await made.until_published()
    await until_ready(address)
    count = sum([len(await made.outputs(made.settings.predictions, p)) for p in (0, 1)])
    letters = sum([len(await made.outputs(made.settings.dead_letters_topic, p)) for p in (0, 1)])
    async with asyncio.timeout(20):  # until Kafka was asked again, and everything is committed
        while True:
            found = samples((await get(address, "/metrics"))[1])
            lags = [v for n, v in found.items() if n[0] == "stream_rnn_lag_records"]
            if lags == [0, 0] and found["stream_rnn_predictions_total",] == count:
                break
            await asyncio.sleep(0.1)
    skips = sum(v for n, v in found.items() if n[0] == "stream_rnn_skips_total")
    assert (skips, letters > 0) == (letters, True)
    rows = [json.loads(line) for line in (await run("state", "show", "--json", *options(made, *PLACE))).splitlines()]  # fmt: skip
    for row in rows:
        number = str(row["partition"])
        assert found["stream_rnn_position", number] == row["position"]
        assert found["stream_rnn_log_end", number] == row["log_end"]
        assert found["stream_rnn_keys", number] == row["keys"]
    assert found["stream_rnn_redis_used_bytes",] > 0


async def test_a_worker_that_waits_for_redis_is_alive_and_not_ready(made):
    """It says so; when Redis is back, empty, it rebuilds and is ready again."""
    with run_server(LocalRedis()) as redis:
        await made.produce(mixed_records(60, seed=39))
        worker = made.start(redis_url=redis.redis_url, health_address="127.0.0.1:0")
        address = await address_of(worker)
        await made.until_published()
        await until_ready(address)
        await asyncio.to_thread(redis.stop)
        await made.produce(mixed_records(20, seed=40))
        async with asyncio.timeout(30):
            while (said := await get(address, "/ready"))[0] == 200:
                await asyncio.sleep(0.1)
        assert " waits: Redis " in said[1]
        assert (await get(address, "/live"))[0] == 200
        await asyncio.to_thread(redis.start)
        await until_ready(address)
        await made.until_published()
        await asyncio.to_thread(worker.stop)
