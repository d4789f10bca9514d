"""The fold on a Redis behind TLS, on a cluster of three, and with a Sentinel: always the oracle's."""

import asyncio
import re

import pytest

from tests.forked import ForkedWorker
from tests.integration.certificates import make_certificates
from tests.integration.redis_kinds import Cluster, TlsProxy, Watched
from tests.integration.streams import Stream, mixed_records, run

# What is waited for ends by lack of progress, long before this.
pytestmark = [pytest.mark.timeout(400), pytest.mark.integration]
RECORDS, PAUSE_S = 40, 0.2
PROMOTED_WITHIN_S = REFUSED_WITHIN_S = 90


@pytest.fixture
async def made(app_id, bootstrap_servers, create_topic, tmp_path):
    """Return a way to make a fold on a Redis."""

    async def make(redis_url) -> Stream:
        await create_topic(f"{app_id}-in", 2)
        return Stream(app_id, bootstrap_servers, redis_url, tmp_path)

    return make


class Flow:
    """A worker with events that keep coming, until the end of its context."""

    def __init__(self, stream, directory) -> None:
        self._stream, self._directory = stream, directory

    async def __aenter__(self):
        self.worker = ForkedWorker("worker", self._stream.options(), self._directory)
        steady = (b"steady", {"x": 1.0, "kind": "A"})  # the others may be forgotten
        await self._stream.produce([steady, *mixed_records(RECORDS, seed=70)])
        await self.goes_on()
        self._task = asyncio.create_task(self._send())
        return self

    async def goes_on(self) -> None:
        """Wait until all that has been sent so far is published."""
        await self._stream.until_published(60, self.worker)

    async def _send(self) -> None:
        for number in range(10_000):
            await self._stream.produce(mixed_records(RECORDS, seed=71 + number))
            await asyncio.sleep(PAUSE_S)

    async def __aexit__(self, kind, *_exception: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            if kind is None:
                await self.goes_on()
        finally:
            status = await asyncio.to_thread(self.worker.stop)
        assert status == 0 or kind, self.worker.log.read_text()[-3000:]


async def all_verbs_work(stream, directory) -> None:
    """Run each verb that talks to Redis while a worker runs."""
    names = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")
    place = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in names]
    doctor = await run("doctor", *place)
    assert "redis version" in doctor
    assert "redis memory" in doctor
    await run("state", "show", *place)
    await run("state", "get", "steady", *place)
    await run("state", "size", *place)
    await run("state", "export", str(directory / "states"), *place)


async def test_a_fold_behind_tls_is_the_oracles(made, redis_url, tmp_path):
    """With a client certificate and an authority of the URL; the verbs take it too."""
    make_certificates(tmp_path)
    behind = int(redis_url.rpartition(":")[2].partition("/")[0])
    async with TlsProxy(tmp_path, behind) as proxy:
        papers = f"ssl_certfile={tmp_path}/client.pem&ssl_keyfile={tmp_path}/client.pem"
        url = f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={tmp_path}/ca.pem&{papers}"
        stream = await made(url)
        async with Flow(stream, tmp_path):
            await all_verbs_work(stream, tmp_path)
        assert await stream.compare() > 2 * RECORDS

        # None of them gets as far as Kafka.
        refused = (
            (url.partition("?")[0], "certificate"),
            (url.partition("&")[0], "Redis at rediss"),
            (f"redis://127.0.0.1:{proxy.port}/0", "Redis at redis"),
        )
        workers = [
            ForkedWorker(f"refused-{number}", stream.options(redis_url=changed), tmp_path)
            for number, (changed, _) in enumerate(refused)
        ]
        for worker, (_, words) in zip(workers, refused, strict=True):
            async with asyncio.timeout(REFUSED_WITHIN_S):
                while worker.is_alive:
                    await asyncio.sleep(0.1)
            assert worker.exit_status == 4
            assert words in re.search(r"CRITICAL stream_rnn.*", worker.log.read_text())[0]


async def test_a_fold_on_a_cluster_outlives_a_slot_that_moves_and_a_primary_that_dies(
    made, tmp_path
):
    """A slot moves key by key while it is used, then its new primary is killed."""
    async with Cluster() as cluster:
        stream = await made(cluster.url)
        async with Flow(stream, tmp_path) as flow:
            key = stream.store(cluster.nodes[0].redis, 0).position_key
            slot = await cluster.nodes[0].do("CLUSTER", "KEYSLOT", key)
            source = await cluster.owner(slot)
            target = (source + 1) % 3
            await all_verbs_work(stream, tmp_path)
            assert await cluster.migrate(slot, source, target, pause_s=0.5) == 2
            assert await cluster.owner(slot) == target
            await flow.goes_on()
            await cluster.replicate(target)
            await asyncio.to_thread(cluster.nodes[target].server.kill)
            async with asyncio.timeout(PROMOTED_WITHIN_S):
                while await cluster.owner(slot, asked=source) != 3:
                    await asyncio.sleep(0.1)
            await flow.goes_on()
        assert await stream.compare() > 3 * RECORDS


async def test_a_fold_follows_a_sentinel_to_the_new_primary(made, tmp_path):
    """The primary is killed; what its replica did not have yet is folded again, silently."""
    async with Watched() as watched:
        stream = await made(watched.url)
        async with Flow(stream, tmp_path) as flow:
            await all_verbs_work(stream, tmp_path)
            await asyncio.to_thread(watched.nodes[0].server.kill)
            async with asyncio.timeout(PROMOTED_WITHIN_S):
                while (await watched.nodes[1].redis.info("replication"))["role"] != "master":
                    await asyncio.sleep(0.1)
            await flow.goes_on()
        assert await stream.compare() > 2 * RECORDS
