"""``state expire``: a silent topic leaves no state in Redis, and a replay agrees."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run

pytestmark = pytest.mark.timeout(120)
NAMES = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")
HOUR_MS = 3_600_000


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
