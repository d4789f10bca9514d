"""What a roll-out costs: the estimate of ``start`` and ``doctor``, compared with what it then takes."""

import asyncio
import json
import random

import pytest

from stream_rnn.local.redis import LocalRedis
from stream_rnn.model.bundle import save_bundle
from tests import models
from tests.integration.started_workers import PLACE, options
from tests.integration.streams import mixed_records, run

pytestmark = pytest.mark.timeout(300)
KEYS = 3000


@pytest.fixture
def redis_url():
    """A Redis of these tests alone, whose memory they limit."""
    with LocalRedis() as server:
        yield server.redis_url


def events(count):
    """Return valid events of many keys."""
    draw = random.Random(1)
    for at in range(count):
        event = {"x": draw.random(), "kind": draw.choice("AB"), "time": 1_767_225_600 + at}
        yield f"key-{at % KEYS:05d}".encode(), json.dumps(event).encode()


async def doctor(person, candidate, status=0) -> dict:
    """Run the doctor for a roll-out; return its findings by their names."""
    words = *options(person.stream, *PLACE), f"--candidate={candidate}", "--json"
    said = await run("doctor", *words, status=status)
    return {found["what"]: found for found in map(json.loads, said.splitlines())}


async def until_folded(person, fold) -> dict:
    """Wait until a candidate has reached each group offset; a warm one is within a micro-batch of it."""
    async with asyncio.timeout(60):
        while True:
            (status,) = await person.verb("status")
            if all(one["folds"][fold]["lag"] == 0 for one in status["partitions"]):
                return status


async def test_the_estimate_is_what_the_candidate_takes(person_of, tmp_path):
    """Records and keys exactly, bytes in Redis nearly; the doctor says the same beforehand."""
    person = await person_of()
    stream, (_, new) = person.stream, person.ids
    save_bundle(models.small("gru", hidden=32, seed=11), tmp_path / "wide")
    worker = stream.start("one")
    await stream.produce(list(events(4 * KEYS)))
    await stream.until_published(worker=worker)
    await person.until_reported()
    for candidate in (person.new_bundle, tmp_path / "wide"):
        found = await doctor(person, candidate)
        checks = {"roll-out rights", "shadow topic", "roll-out", "roll-out memory", "roll-out time"}
        assert {found[what]["level"] for what in checks} == {"fine"}
    said = found["roll-out memory"]["said"], found["roll-out time"]["said"]
    (cost,) = await person.verb("start", "--wait", bundle=tmp_path / "wide")
    assert cost["sample_records"] > KEYS
    assert cost["cpu_s"] > 0
    assert cost["warm_s"] == cost["cpu_s"]  # of one worker
    assert f"{cost['redis_bytes'] / 1e6:,.1f} MB for {cost['keys']:,} keys" in said[0]
    assert f"{cost['records']:,} records to fold" in said[1]
    status = await until_folded(person, cost["new"])
    ends = [(p["group_offset"] - p["log_start"]) for p in status["partitions"]]
    stored = [p["folds"][cost["new"]]["keys"] for p in status["partitions"]]
    assert (cost["records"], cost["keys"]) == (sum(ends), sum(stored))
    assert cost["new"] != new
    keys = await person.redis.keys(f"*{stream.settings.app}*:{cost['new']}*")
    keys += await person.redis.keys(f"*{stream.settings.app}*:bundle:*")
    used = [await person.redis.memory_usage(key, samples=0) for key in keys]
    assert sum(used) == pytest.approx(cost["redis_bytes"], rel=0.2), (keys, used)
    finding = (await doctor(person, person.new_bundle, status=1))["roll-out"]
    assert finding["level"] == "bad"
    assert "is open: finish it" in finding["said"]


async def test_a_redis_without_room_is_said_before_the_start(person_of, tmp_path):
    """Full, it would accept no commit of the fold in charge, either."""
    person = await person_of()
    await person.begin()
    used = (await person.redis.info("memory"))["used_memory"]
    save_bundle(models.small("gru", hidden=512, seed=11), tmp_path / "wide")
    await person.redis.config_set("maxmemory", used + 2_000_000)
    found = await doctor(person, tmp_path / "wide", status=1)
    assert found["roll-out"]["level"] == "bad"
    said = await person.verb("start", bundle=tmp_path / "wide", status=3)
    for text in (found["roll-out"]["said"], said):
        assert "MB are free: raise maxmemory" in text
    await person.redis.config_set("maxmemory", used + 100_000_000)
    assert (await doctor(person, tmp_path / "wide"))["roll-out"]["level"] == "fine"


async def test_a_bundle_that_redis_has_lost_is_put_there_again(person_of):
    """Whatever the key contains now; the plan and the states stay as they are."""
    person = await person_of()
    await person.begin()
    (first,) = await person.verb("start", "--wait", bundle=person.new_bundle)
    key = person.plans._bundle_prefix + person.models[1].fingerprint
    await person.redis.set(key, "x")
    plan = await person.plans.read()
    (again,) = await person.verb("start", bundle=person.new_bundle)
    assert (first["repairs"], again["repairs"]) == (False, True)
    assert await person.plans.get_bundle(person.models[1].fingerprint) == person.bundles[1]
    assert await person.plans.read() == plan
    said = await person.verb("start", bundle=person.new_bundle, status=3)
    assert "is open: finish it" in said
    await person.redis.delete(key)
    assert "it lost" in await run("rollout", "start", *options(person.stream, *PLACE[:3], *PLACE[4:]), f"--bundle={person.new_bundle}", "--yes")  # fmt: skip
    await person.stream.produce(mixed_records(10, seed=9))
    await person.verb("promote", "--wait")
