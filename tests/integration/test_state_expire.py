"""``state expire``: a silent topic leaves no state in Redis, and a replay agrees."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from stream_rnn.model.bundle import save_bundle
from stream_rnn.operate.check_redis import check_speed
from stream_rnn.operate.check_result import Level
from stream_rnn.operate.expiry import _clock_skew
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import primary_times
from tests import models
from tests.forked import ForkedWorker
from tests.integration.redis_kinds import Cluster
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
        assert "folded; 0 expired states are left\n" in answer
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


async def test_states_with_later_events_stay_and_are_not_waited_for(timed, tmp_path):
    """A tick is published only where it expires something, and what it leaves is counted."""
    stream, place, now_ms = timed(idle_check_s=0.5, sweep_interval_s=0.1)
    await stream.create()
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    ages_s = {b"b": 650, b"d": 650, b"f": 100, b"a": -500}  # a is in partition 1
    events = [(k, {"x": 0.5, "kind": "A", "ts": now_ms - 1000 * age}) for k, age in ages_s.items()]
    try:
        await stream.produce([(*event, now_ms - 3_000_000) for event in events])
        await stream.until_published(worker=worker)
        answer = await run("state", "expire", *place, "--silent-for=0", "--within=3600")
    finally:
        await asyncio.to_thread(worker.stop)
    assert "[0]: 3 states, of which 1 have later events and stay; a tick moves" in answer
    assert "[1]: no tick, because stream time is " in answer
    assert "folded; 0 expired states are left; 1 states stay" in answer
    assert (await stream.audit())["different"] == 0


async def test_a_deletion_that_is_not_finished_has_status_1(timed, tmp_path):
    """The counts say what is left; a worker that begins later deletes it."""
    stream, place, now_ms = timed(idle_check_s=86_400, sweep_interval_s=86_400)
    await stream.create()
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    event = {"x": 0.5, "kind": "A", "ts": now_ms - 3_000_000}
    try:
        await stream.produce([(key, event, now_ms - 3_000_000) for key in (b"b", b"d", b"a")])
        await stream.until_published(worker=worker)
        await run("state", "erase", "stream-rnn/tick", *place, "--all-partitions", status=3)
        answer = await run("state", "expire", *place, "--within=5", status=1)
    finally:
        await asyncio.to_thread(worker.stop)
    assert "folded, and not finished: of 3 expired states 3 are left after 5 s" in answer


async def test_an_old_log_that_is_sent_again_gets_no_tick_without_force(timed, tmp_path):
    """Its records have their old timestamps, so only their age shows it."""
    stream, place, now_ms = timed(idle_check_s=0.5, sweep_interval_s=0.1)
    await stream.create()
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    old_ms = now_ms - 48 * HOUR_MS
    event = {"x": 0.5, "kind": "A", "ts": old_ms}
    try:
        await stream.produce([(b"b", event, old_ms)])
        await stream.until_published(worker=worker)
        answer = await run("state", "expire", *place, status=1)
        assert "[0]: refused, because its last record is of " in answer
        assert "or old records are being sent to it; after a tick, later events" in answer
        forced = await run("state", "expire", *place, "--force")
        assert "folded; 0 expired states are left\n" in forced
    finally:
        await asyncio.to_thread(worker.stop)


@pytest.fixture
def timed(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a way to make a fold with an event time and expiry, its options, and now in ms."""

    def make(**settings):
        spec = {**models.SPEC, "event": {"key": ["key"], "time": {"path": "ts", "unit": "ms"}}}
        save_bundle(models.of(spec), tmp_path / "bundle")
        expiry = {"state_ttl": 600, **settings}
        stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path, **expiry)
        stream.create = lambda: create_topic(stream.settings.source, 2)
        place = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in (*NAMES, "state_ttl")]
        return stream, ["--yes", *place], int(datetime.now(UTC).timestamp() * 1000)

    return make


async def test_the_clocks_of_a_cluster_are_compared_too(app_id):
    """Each primary counts; the doctor compares them, too."""
    async with Cluster(replicas=0) as cluster:
        redis = connect_redis(cluster.url, 5)
        place = SimpleNamespace(store=RedisStore(redis, f"{app_id}:t:0:f", 5))
        seconds = await primary_times(redis)
        assert len(seconds) == 3
        assert await _clock_skew([place], 1000 * min(seconds), 600) == ""
        assert "ahead of Redis's" in await _clock_skew([place], 1000 * min(seconds) + 200_000, 600)
        findings = await check_speed(redis, lambda: min(seconds) + 200)
        assert [f.level for f in findings if f.what == "clock"] == [Level.WARNING]
        await redis.aclose()


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
