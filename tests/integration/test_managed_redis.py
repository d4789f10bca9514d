"""A Redis as services run it: commands that are refused or renamed, policies, and new passwords."""

import asyncio
import re
import secrets
from contextlib import asynccontextmanager

import aiohttp
import pytest
from redis.asyncio import Redis

from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.local.redis import LocalRedis
from stream_rnn.operate.check_redis import check_memory, check_rights, check_speed, check_store
from stream_rnn.operate.check_result import Level
from stream_rnn.operate.snapshot import snapshot
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import _judge, check_redis
from stream_rnn.store.state import Commit, FirstPosition
from tests import models
from tests.forked import ForkedWorker
from tests.integration.redis_kinds import Cluster
from tests.integration.started_workers import ends, logs
from tests.integration.streams import Stream, mixed_records
from tests.integration.test_rights import everything
from tests.shared_servers import run_server

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def server(*arguments):
    """Run a server with some arguments, and yield its URL and the warnings of a worker's check."""
    with run_server(LocalRedis(arguments=arguments)) as started:
        redis = connect_redis(started.redis_url, 5)
        try:
            warnings = await check_redis(redis, Settings.build(redis_url=started.redis_url))
            yield started.redis_url, warnings
        finally:
            await redis.aclose()


def without(*commands) -> list[str]:
    """Return the arguments of a server that does not know some commands."""
    return [word for command in commands for word in ("--rename-command", command, "")]


@pytest.mark.parametrize(
    "commands",
    [["CLIENT"], ["HELLO", "CLIENT", "CONFIG"], ["SCRIPT"], ["EVALSHA"], ["SCRIPT", "EVALSHA"]],
    ids=" ".join,
)
async def test_a_fold_needs_none_of_the_commands_that_services_refuse(commands, app_id):
    """It has no name on the server, speaks RESP2, and sends the text of a script."""
    async with server(*without(*commands)) as (url, warnings):
        assert warnings == []
        await everything(url, app_id)


@pytest.mark.parametrize("rights", [["-client", "-info", "-config"], ["-script", "-hello"]])
async def test_an_acl_may_refuse_the_same_commands(redis_url, app_id, rights):
    """A refusal by an ACL is another error than an unknown command."""
    admin, name = connect_redis(redis_url, 5), f"u-{secrets.token_hex(4)}"
    await admin.script_flush()
    await admin.execute_command(
        *("ACL", "SETUSER", name, "on", ">password", f"~{{{app_id}:*", "+@all", *rights)
    )
    try:
        await everything(redis_url.replace("redis://", f"redis://{name}:password@"), app_id)
    finally:
        await admin.execute_command("ACL", "DELUSER", name)
        await admin.aclose()


async def test_a_script_that_no_command_may_run_names_the_first(app_id):
    """Without EVALSHA and EVAL the message names EVALSHA, which the run book lists."""
    async with server(*without("EVALSHA", "EVAL")) as (url, _):
        with pytest.raises(ConfigError, match="EVALSHA"):
            await everything(url, app_id)


@pytest.mark.parametrize(("commands", "known"), [(["INFO"], True), (["INFO", "CONFIG"], False)])
async def test_a_policy_that_cannot_be_read_is_a_warning(commands, known):
    """CONFIG GET names it if INFO does not."""
    async with server(*without(*commands)) as (_, warnings):
        assert len(warnings) == (0 if known else 1)
        assert all("does not show its maxmemory-policy" in text for text in warnings)


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-ttl", "allkeys-lfu"])
async def test_only_a_policy_that_evicts_keys_without_an_expiry_is_refused(policy, app_id):
    """Hidden states survive a full Redis with volatile-*, which then refuses writes."""
    if policy.startswith("allkeys"):
        with pytest.raises(ConfigError, match=policy):
            async with server("--maxmemory-policy", policy):
                pass
        return
    async with server("--maxmemory-policy", policy) as (url, warnings):
        assert [policy in text for text in warnings] == [True]
        await everything(url, app_id)
        redis = Redis.from_url(url)
        assert [await redis.ttl(key) for key in await redis.keys()] == []
        await redis.hset(f"{{{app_id}}}:hidden", "k", "x" * 100)
        await redis.config_set("maxmemory", 1)
        store = RedisStore(connect_redis(url, 5), app_id, 5)
        assert (await store.read()).fields == 1
        finding = await check_rights(store)
        assert (finding.level, finding.remedy) == (
            Level.BAD,
            "let Redis accept writes: free memory, or raise maxmemory",
        )
        await redis.aclose()
        await store.redis.aclose()


def test_a_policy_that_this_package_does_not_know_is_refused():
    """Upstash's evicts keys without an expiry if there are too few of the others."""
    with pytest.raises(ConfigError, match="optimistic-volatile"):
        _judge("optimistic-volatile", "rediss://host")


@pytest.mark.parametrize("refused", [[], ["INFO"]], ids=["", "without INFO"])
async def test_a_policy_that_changes_under_a_worker_is_reported_once(
    refused, app_id, bootstrap_servers, create_topic, tmp_path
):
    """A state that is evicted is rebuilt, so the worker goes on; the next start is refused."""
    async with server(*without(*refused)) as (url, _):
        redis = connect_redis(url, 5)
        stream = Stream(app_id, bootstrap_servers, url, tmp_path, facts_interval_s=0.2)
        await create_topic(stream.settings.source, 2)
        worker = ForkedWorker("worker", stream.options(), tmp_path)
        try:
            await logs(worker, "fold ready")
            await redis.config_set("maxmemory-policy", "allkeys-lru")
            await logs(worker, "Redis now has maxmemory-policy allkeys-lru")
            await stream.produce(mixed_records(60, seed=8))
            await stream.until_published(worker=worker)
            assert await metric(worker, "stream_rnn_redis_evicts") == 1
            assert await ends(ForkedWorker("refused", stream.options(), tmp_path)) == 3
            await redis.config_set("maxmemory-policy", "allkeys-lfu")
            await redis.config_set("maxmemory-policy", "noeviction")
            await logs(worker, "Redis evicts no hidden states any more")
            assert await metric(worker, "stream_rnn_redis_evicts") == 0
        finally:
            status = await asyncio.to_thread(worker.stop)
        assert status == 0
        assert worker.log.read_text().count("Redis now has maxmemory-policy") == 1
        assert await stream.compare() > 20
        await redis.aclose()


async def metric(worker, name) -> float:
    """Return the value of a metric of a worker."""
    (address,) = re.findall(r"health address=(\S+)", worker.log.read_text())
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
        (value,) = re.findall(rf"^{name} (\S+)$", await answer.text(), re.MULTILINE)
    return float(value)


async def test_the_doctor_names_what_it_could_not_check():
    """Each is a warning, and the memory is not taken for 0 bytes."""
    async with server(*without("INFO", "CONFIG", "PING", "TIME")) as (url, _):
        settings, redis = Settings.build(redis_url=url), connect_redis(url, 5)
        findings = await check_store(redis, settings) + await check_speed(redis, lambda: 0.0)
        findings.append(check_memory([], models.small("gru"), settings, 1000, 0))
        await redis.aclose()
    assert {finding.level for finding in findings} == {Level.WARNING}
    text = " ".join(finding.said for finding in findings)
    assert all(word in text for word in ("maxmemory-policy", "persistence", "latency", "memory"))


async def test_a_redis_that_cannot_save_is_waited_for(app_id, tmp_path):
    """Whoever frees its disk does not restart the workers."""
    data = tmp_path / "data"
    with run_server(LocalRedis(data=data, arguments=["--save", "3600 1000000"])) as started:
        redis = connect_redis(started.redis_url, 5)
        store = RedisStore(redis, f"{app_id}:topic:0:fold", 5)
        await store.start(await store.read(), FirstPosition(0, 0, 1, "n"))
        (data / "dump.rdb").mkdir()  # so that no snapshot can be written
        await redis.bgsave()
        async with asyncio.timeout(30):
            while (await redis.info("persistence"))["rdb_last_bgsave_status"] == "ok":
                await asyncio.sleep(0.05)
        with pytest.raises(UnavailableError, match="MISCONF"):
            await store.commit(Commit(0, 0, 5, None, 1, "n", [(b"a", b"x")], []))
        await redis.aclose()


async def test_one_node_of_a_cluster_names_the_scheme_to_use(app_id):
    """A client of one server cannot follow MOVED, so a restart would end the same way."""
    async with Cluster(replicas=0) as cluster:
        stores = [
            RedisStore(connect_redis(f"redis://127.0.0.1:{node.port}/0", 5), app_id, 5)
            for node in cluster.nodes[:2]
        ]
        errors = await asyncio.gather(*(s.read() for s in stores), return_exceptions=True)
        refused = [error for error in errors if isinstance(error, ConfigError)]
        assert refused
        assert all("begin redis_url with redis+cluster://" in str(error) for error in refused)
        for store in stores:
            await store.redis.aclose()


async def test_an_export_without_copy_needs_workers_that_are_stopped(app_id):
    """It reads the states themselves, and notices a commit."""
    async with server(*without("COPY")) as (url, _):
        redis = connect_redis(url, 5)
        store = RedisStore(redis, f"{app_id}:topic:0:fold", 5)
        await store.start(await store.read(), FirstPosition(0, 0, 1, "n"))
        await store.commit(Commit(0, 0, 5, None, 1, "n", [(b"a", b"x"), (b"b", b"y")], []))
        async with snapshot(store) as (position, hidden, count):
            assert (position["position"], count) == ("5", 2)
            assert len(await redis.hgetall(hidden)) == 2
        with pytest.raises(ConfigError, match="stop the workers, and export again"):
            async with snapshot(store):
                await store.commit(Commit(5, 0, 6, None, 1, "n", [(b"a", b"z")], []))
        await redis.aclose()
