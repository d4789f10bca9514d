"""The verbs of a running fold whose topic has envelopes."""

import asyncio
import json
import time

import pytest
from aiokafka import AIOKafkaProducer

from stream_rnn.model.bundle import save_bundle
from stream_rnn.store.connection import connect_redis
from tests import models, oracle
from tests.forked import ForkedWorker
from tests.integration.started_workers import PLACE, options
from tests.integration.streams import Stream, run

pytestmark = pytest.mark.timeout(180)
NOW_MS = time.time_ns() // 1_000_000 - 60_000
BERLIN_SUMMER_MS = 7_200_000


def change(op="u", table="orders", ahead_ms=0):
    """Make a record of the key k."""
    after = None if op == "d" else {"amount": "1.5", "paid": "1"}
    time_us = str((NOW_MS + ahead_ms) * 1000)
    inner = {"op": op, "after": after, "source": {"table": table}, "ts_us": time_us}
    return b"k", {"payload": inner}, NOW_MS


@pytest.fixture
async def made(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a fold of the enveloped model with a running worker."""
    save_bundle(models.enveloped(), tmp_path / "bundle")
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    yield stream
    await asyncio.to_thread(worker.stop)


async def until_steps(made, steps):
    """Wait until the memory of the key has some steps, 0 for no memory; ``state get`` agrees."""
    redis = connect_redis(made.settings.redis_url.get_secret_value(), 5)
    async with asyncio.timeout(40):
        while True:
            value = await redis.hget(made.store(redis, 1).hidden_key, b"k")
            if steps == (oracle.stored(value)[0] if value else 0):
                break
            await asyncio.sleep(0.1)
    await redis.aclose()
    said = await run("state", "get", "k", "--json", *options(made, *PLACE), status=int(not steps))
    assert not steps or json.loads(said)["steps"] == steps


async def test_the_verbs_agree_with_what_the_fold_forgets_and_filters(made):
    """A deletion, an erase and a deletion that is put back each forget the key."""
    await made.produce([change(), change(), change("d", "customers"), change()])
    await made.until_published()
    await until_steps(made, 3)
    await made.produce([change("d"), change()])
    await made.until_published()
    await until_steps(made, 1)
    await run("state", "erase", "k", "--yes", *options(made, *PLACE))
    await until_steps(made, 0)
    await made.produce([change()])
    await made.until_published()
    await until_steps(made, 1)
    _, deletion, _ = change("d")
    letter = {"sr-error": "wrong_schema", "sr-reason": "of a spec without forget_when"}
    letter |= {"sr-topic": made.settings.source, "sr-partition": "1", "sr-offset": "0"}
    letter |= {"sr-timestamp": str(NOW_MS), "sr-size": "1", "sr-truncated": ""}
    headers = [(name, text.encode()) for name, text in letter.items()]
    async with AIOKafkaProducer(bootstrap_servers=made.settings.bootstrap_servers) as producer:
        await producer.send_and_wait(
            made.settings.dead_letters_topic,
            json.dumps(deletion).encode(),
            b"k",
            1,
            headers=headers,
        )
    where = options(made, "app", "source", "predictions", "bootstrap_servers")
    assert "1 records put back" in await run("deadletters", "retry", "--yes", *where)
    await made.until_published()
    await until_steps(made, 0)


async def test_times_that_are_ahead_by_a_zone_say_so(made):
    """The list of dead letters and the doctor name the remedy, until one lead is another."""
    await made.produce([change(), *[change(ahead_ms=BERLIN_SUMMER_MS - 900)] * 3])
    await made.until_published()
    where = options(made, "predictions", "bootstrap_servers")
    hint = "look like local times 2 hours ahead"
    listed = " ".join((await run("deadletters", "list", *where)).split())
    assert f"all of them {hint}: set zone in event.time" in listed
    lines = (await run("doctor", "--json", *options(made, *PLACE))).splitlines()
    (finding,) = [f for f in map(json.loads, lines) if f["what"] == "dead letters"]
    assert (finding["level"], hint in finding["said"]) == ("warning", True)
    assert finding["remedy"].startswith("set zone in event.time")
    await made.produce([change(ahead_ms=BERLIN_SUMMER_MS + 300_000)])
    await made.until_published()
    assert hint not in await run("deadletters", "list", *where)
