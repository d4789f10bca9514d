"""Verbs with settings of another fold or app: each names what is there instead."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.fold.fold_id import fold_id
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.connection import connect_redis
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, run

pytestmark = pytest.mark.timeout(120)
EVENT = {"x": 0.5, "kind": "A"}
EARLIER_MS = time.time_ns() // 1_000_000 - 600_000  # far more than state_ttl
PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")


@pytest.fixture
async def folded(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a fold with ``state_ttl`` 60 that a worker has folded, and its places as options."""
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path, state_ttl=60)
    await create_topic(stream.settings.source, 2)
    await stream.produce([(b"a", EVENT, EARLIER_MS), (b"b", EVENT, EARLIER_MS)])
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    try:
        await stream.until_published()
    finally:
        await asyncio.to_thread(worker.stop)
    return stream, [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in PLACE]


async def test_settings_of_another_fold_are_named_by_each_verb(folded, tmp_path):
    """None says that there is nothing to do, or that a key is unknown, without a word about it."""
    stream, place = folded
    workers, these = (
        fold_id(stream.model.fingerprint, settings)
        for settings in (stream.settings, stream.settings.replace(state_ttl=30))
    )
    other = [*place, "--state-ttl=30"]

    def is_named(text: str) -> bool:
        return f"folds {stream.settings.source} as fold {workers}" in text and (
            f"are of fold {these}; compare with those of the workers: bundle=" in text
            and "state_ttl=30.0" in text
        )

    assert is_named(await run("state", "expire", "--yes", *other, status=1))
    for verb in (["get"], ["erase", "--yes"]):
        answer = json.loads(await run("state", *verb, "a", "--json", *other, status=1))
        assert is_named(answer["note"])
    file = tmp_path / "fold.states"
    assert is_named(await run("state", "export", str(file), *other, status=3))
    rows = (await run("state", "show", "--json", *other)).splitlines()
    assert {json.loads(row)["group_offset_fold"] for row in rows} == {workers}
    audited = json.loads(await run("audit", "--json", *other, status=1))
    assert audited["other_folds_by_id"] == {workers: 2}


async def test_a_fold_that_takes_over_has_a_status_of_its_own(folded):
    """A worker with another bundle has written its name to one of two partitions: status 4."""
    stream, place = folded
    settings = stream.settings
    new = fold_id(stream.model.fingerprint, settings.replace(state_ttl=30))
    partition = TopicPartition(settings.source, 0)
    servers = settings.bootstrap_servers
    async with AIOKafkaConsumer(
        group_id=settings.app, bootstrap_servers=servers, enable_auto_commit=False
    ) as consumer:
        consumer.assign([partition])
        offset = GroupOffset(await consumer.committed(partition), new, 0)
        await consumer.commit({partition: OffsetAndMetadata(offset.offset, offset.metadata)})
    answer = await run("state", "expire", "--yes", *place, "--state-ttl=30", status=4)
    assert f"no tick: workers of app {settings.app} are changing {settings.source} from" in answer
    assert f"to fold {new}, of these settings: 1 of 2 partitions are of it; try again" in answer


async def test_a_fold_after_a_rollback_is_the_workers_although_a_partition_is_silent(
    folded, redis_url, tmp_path
):
    """The group offset of the silent one has the name of the newer fold until a worker publishes."""
    stream, place = folded
    newer = fold_id(stream.model.fingerprint, stream.settings.replace(state_ttl=30))

    @asynccontextmanager
    async def worker(name, **settings):
        process = ForkedWorker(name, stream.options(**settings), tmp_path)
        try:
            yield process
        finally:
            await asyncio.to_thread(process.stop)

    async with worker("newer", state_ttl=30) as process:
        await stream.produce([(b"a", EVENT, EARLIER_MS), (b"b", EVENT, EARLIER_MS)])
        await stream.until_published(worker=process)
    redis = connect_redis(redis_url, 5)
    try:
        async with worker("rolled-back", idle_check_s=1) as process:  # deletes after that time
            await stream.produce(
                [(b"a", EVENT, EARLIER_MS)]
            )  # partition 1, so that partition 0 is silent
            await stream.until_published(worker=process)
            async with asyncio.timeout(60):
                while (await stream.store(redis, 0).read()).position != 2:
                    await asyncio.sleep(0.05)
            rows = (await run("state", "show", "--json", *place)).splitlines()
            folds = [json.loads(row)["group_offset_fold"] for row in rows]
            assert folds == [newer, stream.fold_id]
            expire = ["state", "expire", "--yes", "--silent-for=0", "--force", *place]
            answer = await run(*expire, "--state-ttl=60")
            assert "folded; 0 expired states are left" in answer
    finally:
        await redis.aclose()


async def test_an_app_or_a_redis_without_the_fold_is_named(folded):
    """A mistyped app has no group offset; another database has no position."""
    _, place = folded
    place.append("--state-ttl=60")
    answer = await run("state", "expire", "--yes", *place, "--app=nobody", status=1)
    assert "app nobody has folded nothing of " in answer
    assert "check --app" in answer
    url = next(option for option in place if option.startswith("--redis-url=")).rsplit("/", 1)[0]
    answer = await run("state", "expire", "--yes", *place, f"{url}/9", status=1)
    assert "Redis has no position of app " in answer
    assert "check that --redis-url is that of the workers" in answer
