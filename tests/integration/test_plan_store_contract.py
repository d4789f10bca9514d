"""The contract of the store of plans and bundles, kept by the one in Redis and the one in memory."""

import asyncio
import re
import time

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.rollout.plan import PLAN_BYTES_MAX, FoldName, Plan, Request
from stream_rnn.rollout.plan_store import BundleBytes, MemoryPlanStore
from stream_rnn.rollout.redis_plan_store import READ_AGAIN_S, RedisPlanStore
from stream_rnn.rollout.worker_report import REPORT_BYTES_MAX, WorkerReport
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis

FOLDS = (
    FoldName(fold_id="a" * 12, fingerprint="a" * 64),
    FoldName(fold_id="b" * 12, fingerprint="b" * 64),
)
PLAN = Plan(folds=FOLDS, started_by="somebody \u00e9")
OVER = PLAN.model_copy(update={"stage": "over"})


@pytest.fixture
async def redis(redis_url):
    """A client of the Redis."""
    client = connect_redis(redis_url, 5)
    yield client
    await client.aclose()


def in_redis(redis, app_id, clock=time.monotonic) -> RedisPlanStore:
    names = {"app": app_id, "source": "events", "predictions": "out", "bundle": "b"}
    settings = Settings.build(**names, rollout_bundle_bytes_max=1000)
    return RedisPlanStore(redis, settings.of_fold(), clock)


@pytest.fixture(params=["memory", "redis"])
async def store(request, redis, app_id):
    """A store of either kind, empty."""
    return MemoryPlanStore(bytes_max=1000) if request.param == "memory" else in_redis(redis, app_id)


async def test_a_plan_is_written_over_the_one_that_was_seen(store):
    """Of two writers that have seen the same, one writes."""
    assert await store.read() is None
    assert not await store.write(PLAN, OVER)
    assert await store.write(None, PLAN)
    assert not await store.write(None, OVER)
    assert await store.read() == PLAN
    assert await store.write(PLAN, OVER)
    assert not await store.write(PLAN, OVER)
    assert await store.read() == OVER


async def test_bundles_are_kept_by_their_fingerprints(store):
    """With every byte; there is none before it is put."""
    one, two = BundleBytes(b"{}\xff\0", b"\0" * 500), BundleBytes(b"", b"")
    assert await store.get_bundle("a" * 64) is None
    assert not await store.has_bundle("a" * 64)
    await store.put_bundle("a" * 64, one)
    assert await store.has_bundle("a" * 64)
    await store.put_bundle("b" * 64, two)
    assert await store.get_bundle("a" * 64) == one
    assert await store.get_bundle("b" * 64) == two
    for _ in range(2):
        await store.drop_bundle("a" * 64)
    assert await store.get_bundle("a" * 64) is None
    assert await store.get_bundle("b" * 64) == two


async def test_a_report_is_of_one_worker_and_expires(store):
    """Whoever has died, and whoever never reported, has none."""
    one = WorkerReport(version="1", own=FOLDS[0], loaded=("a" * 12,), candidates=(3,))
    two = WorkerReport(version="2", own=FOLDS[1], loaded=(), stage="open", events_per_s=1.5)
    assert await store.get_reports([]) == []
    await store.put_report("one", one, 60)
    await store.put_report("two", one, 60)
    await store.put_report("two", two, 0.2)
    await store.put_report("three", one, 0.2)
    async with asyncio.timeout(20):
        while await store.get_reports(["three", "two"]) != [None, None]:
            await asyncio.sleep(0.05)
    assert await store.get_reports(["one", "none", "one"]) == [one, None, one]


async def test_what_no_worker_writes_is_no_report(redis, app_id):
    """A newer version, or another program, has written it."""
    store, content = in_redis(redis, app_id), b'{"format": 2, "version": "9"}'
    key = f"{{{app_id}:events}}:worker:one"
    for value in (b"", b"[]", content, b" " * (REPORT_BYTES_MAX + 1)):
        await redis.set(key, value)
        assert await store.get_reports(["one"]) == [None]
    await redis.delete(key)
    await redis.hset(key, "report", "{}")
    assert await store.get_reports(["one"]) == [None]


async def test_a_large_value_of_another_program_is_not_transferred(redis, app_id):
    """The plan is read once a second by each worker; Redis answers with its size alone."""
    store, size = in_redis(redis, app_id), 20_000_000
    await redis.eval(
        "redis.call('HSET', KEYS[1], 'plan', string.rep('x', ARGV[1]))"
        "redis.call('SET', KEYS[2], string.rep('x', ARGV[1]))",
        2,
        *(store.key, f"{{{app_id}:events}}:worker:one", size),
    )
    sent = (await redis.info("stats"))["total_net_output_bytes"]
    with pytest.raises(ConfigError, match=re.escape(f"{store.key} has {size} bytes")):
        await store.read()
    assert await store.get_reports(["one"]) == [None]
    assert (await redis.info("stats"))["total_net_output_bytes"] - sent < size


async def test_a_plan_that_has_not_changed_is_not_transferred(redis, app_id):
    """A thousand workers look at it once a second, and one of many partitions has megabytes."""
    now = [0.0]
    reader, person = in_redis(redis, app_id, lambda: now[0]), in_redis(redis, app_id)
    kept = Request(kind="promote", fold_id="a" * 12, number=1, origin=0)
    plan = PLAN.model_copy(update={"requests": dict.fromkeys(range(10_000), kept)})
    assert await person.write(None, plan)
    seen = await reader.read()
    assert seen == plan
    sent = (await redis.info("stats"))["total_net_output_bytes"]
    assert await reader.read() is seen
    assert (await redis.info("stats"))["total_net_output_bytes"] - sent < 20_000
    assert await person.write(plan, PLAN)
    assert await reader.read() == PLAN
    await redis.hset(reader.key, "plan", OVER.encode())  # by a writer that leaves the digest
    now[0] = READ_AGAIN_S
    assert await reader.read() == OVER
    await redis.hdel(reader.key, "digest")
    assert await reader.read() is await reader.read()
    await redis.delete(reader.key)
    assert await reader.read() is None
    assert await person.write(None, plan)
    assert await reader.read() == plan


async def test_a_bundle_key_of_another_program_is_named_and_replaced(redis, app_id):
    """Whatever it contains: a start of the roll-out puts the bundle there again."""
    store, bundle = in_redis(redis, app_id), BundleBytes(b"{}", b"1")
    key = store.key.replace(":rollout", f":bundle:{'a' * 64}")
    await redis.set(key, "x")
    for call in (store.get_bundle("a" * 64), store.has_bundle("a" * 64)):
        with pytest.raises(ConfigError, match=re.escape(f"{key} is not a hash")):
            await call
    await store.put_bundle("a" * 64, bundle)
    assert await store.get_bundle("a" * 64) == bundle


async def test_a_bundle_has_a_limit(store):
    """A larger one is neither written nor read."""
    with pytest.raises(ConfigError, match="has 1001 bytes, and a roll-out takes bundles of at mo"):
        await store.put_bundle("a" * 64, BundleBytes(b"1", b"2" * 1000))
    assert await store.get_bundle("a" * 64) is None


async def test_what_another_program_writes_is_refused(redis, app_id):
    """The message names the key."""
    store = in_redis(redis, app_id)
    await redis.hset(store.key, "plan", "{}")
    with pytest.raises(ConfigError, match=re.escape(f"{store.key} contains no plan")):
        await store.read()
    await redis.hset(store.key, "plan", "x" * (PLAN_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match=re.escape(f"{store.key} has {PLAN_BYTES_MAX + 1} bytes")):
        await store.read()
    await redis.delete(store.key)
    await redis.set(store.key, "x")
    for call in (store.read(), store.write(None, PLAN)):
        with pytest.raises(ConfigError, match=re.escape(f"{store.key}")):
            await call
    key = store.key.replace(":rollout", f":bundle:{'a' * 64}")
    await redis.hset(key, mapping={"content": "x", "tensors": "y" * 1000})
    with pytest.raises(ConfigError, match=re.escape(f"{key} has 1001 bytes")):
        await store.get_bundle("a" * 64)
