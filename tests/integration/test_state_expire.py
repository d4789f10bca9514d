"""``state expire``: a silent topic leaves no state in Redis, and a replay agrees."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from stream_rnn.model.bundle import save_bundle
from stream_rnn.operate.expiry import _clock_skew
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from tests import models
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run

pytestmark = pytest.mark.timeout(120)
NAMES = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")
HOUR_MS = 3_600_000
YEAR_2020_MS = 1_577_836_800_000


async def test_after_a_silence_redis_holds_no_state(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path
):
    """A tick expires them in the log, the worker deletes them, and later events are cold."""
    expiry = {"state_ttl": 600, "sweep_interval_s": 0.1, "idle_check_s": 0.5}
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path, **expiry)
    place = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in NAMES]
    await create_topic(stream.settings.source, 2)
    past_ms = int(datetime.now(UTC).timestamp() * 1000) - HOUR_MS
    records = [(key, value, past_ms) for key, value, *_ in mixed_records(150, seed=9)]
    await stream.produce(records)
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    try:
        await stream.until_published(worker=worker)
        refused = await run("state", "expire", "--yes", *place, status=3)
        assert "state_ttl is not set" in refused
        place.append("--state-ttl=600")
        early = await run("state", "expire", "--yes", "--silent-for=7200", *place)
        assert early.count("no tick, because its last record is only 36") == 2
        answer = await run("state", "expire", "--yes", *place)
        assert answer.count("a tick moves stream time from") == 2
        assert "folded; 0 states are left\n" in answer
        again = await run("state", "expire", "--yes", *place)
        assert again.count("no tick, because Redis has no states of it") == 2
        await stream.produce([(b"steady", {"x": 0.5, "kind": "A"})])
        await stream.until_published(worker=worker)
    finally:
        await asyncio.to_thread(worker.stop)
    audited = await stream.audit()
    assert [audited[name] for name in ("missing", "duplicated", "different")] == [0, 0, 0]
    counts = [await stream._compare(p, exactly_once=True, cell_states=False) for p in range(2)]
    assert sum(counts) > 80


async def test_a_backfill_gets_no_tick_without_force(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path
):
    """Its event times are of 2020 and its records of today: the next events are as old."""
    spec = {**models.SPEC, "event": {"key": ["key"], "time": {"path": "ts", "unit": "ms"}}}
    save_bundle(models.of(spec), tmp_path / "bundle")
    expiry = {"state_ttl": 600, "sweep_interval_s": 0.1, "idle_check_s": 0.5}
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path, **expiry)
    place = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in NAMES]
    place += ["--yes", "--state-ttl=600", "--silent-for=0"]
    await create_topic(stream.settings.source, 2)
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    events = [(b"b", {"x": 0.5, "kind": "A", "ts": YEAR_2020_MS + i}) for i in range(20)]
    try:
        await stream.produce(events)
        await stream.until_published(worker=worker)
        answer = await run("state", "expire", *place, status=1)
        assert "[0]: refused, because its event times are in the past" in answer
        assert "2020-01-01" in answer
        assert "use --force" in answer
        await stream.produce(events)
        await stream.until_published(worker=worker)
        forced = await run("state", "expire", "--force", *place)
        assert "[0]: 1 states; a tick moves stream time from 2020-01-01" in forced
    finally:
        await asyncio.to_thread(worker.stop)


@pytest.mark.parametrize(("ahead_s", "is_refused"), [(-5000, False), (50, False), (100, True)])
async def test_a_clock_ahead_of_redis_is_named(app_id, redis_url, ahead_s, is_refused):
    """The tick gets this machine's time, and nothing undoes it."""
    redis = connect_redis(redis_url, 5)
    place = SimpleNamespace(store=RedisStore(redis, f"{app_id}:t:0:f", 5))
    try:
        seconds, _ = await redis.time()
        skew = await _clock_skew([place], 1000 * (seconds + ahead_s), 600)
        assert bool(skew) == is_refused
    finally:
        await redis.aclose()
