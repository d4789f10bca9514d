"""``stream-rnn trace`` of a real topic: it shows what a real worker remembered and said."""

import asyncio
import json

import numpy as np
import pytest

from stream_rnn.replay.files import partition_of
from stream_rnn.store.connection import connect_redis
from tests import oracle
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run

pytestmark = pytest.mark.timeout(240)

KEY = b"a"  # in partition 1, where murmur2 would not put it


async def test_a_trace_equals_what_the_worker_published_and_keeps(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path
):
    """Predictions as published, the last h as in Redis, whatever partition the producer chose."""
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    await stream.produce(mixed_records(300, seed=31), transactional=True, abort_every=3)
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    await stream.until_published()
    assert await asyncio.to_thread(worker.stop) == 0
    options = ["--topic", stream.settings.source, "--bundle", str(stream.bundle)]
    options += ["--bootstrap-servers", bootstrap_servers]

    picture = tmp_path / "trace.svg"
    found = json.loads(await run("trace", "a", *options, "--json", "--picture", str(picture)))
    assert partition_of(KEY, 2) == 0
    published = await stream.outputs(stream.settings.predictions, 1)
    expected = [json.loads(r.value) for r in published if r.key == KEY]
    assert found["partition"] == 1
    assert [step["prediction"] for step in found["steps"]] == expected
    assert len(expected) > 20
    assert {one["kind"] for one in found["between"]} == {"forgotten", "skipped"}
    assert "<title>a</title>" in picture.read_text()

    redis = connect_redis(redis_url, 5)
    raw = await redis.hget(stream.store(redis, 1).hidden_key, KEY)
    await redis.aclose()
    assert raw is not None, "the last record of the key is not a forget"
    last = np.array(found["steps"][-1]["memory"]["h"], np.float32)
    assert last.tobytes() == oracle.stored(raw)[2]

    until = expected[9]["source"]["offset"]
    ended = json.loads(
        await run("trace", "a", *options, "--json", "--until", str(until), "--last", "3")
    )
    assert ended["steps"] == found["steps"][7:10]

    said = await run("trace", "nobody", *options, "--to", "40", status=3)
    assert "the range has 6 keys, none is similar" in said
