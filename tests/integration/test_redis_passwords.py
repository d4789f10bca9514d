"""A Redis whose passwords change: connections, clients and workers that read them again."""

import asyncio
import secrets

import pytest

from stream_rnn.errors import UnavailableError
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_by_settings, connect_redis
from stream_rnn.store.redis_store import RedisStore
from tests.forked import ForkedWorker
from tests.integration.started_workers import ends, logs
from tests.integration.streams import Stream, mixed_records

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def login(redis_url):
    """Return a way to set the password of a user and to close its connections; and its URL."""
    admin, name = connect_redis(redis_url, 5), f"u-{secrets.token_hex(4)}"

    async def change(password) -> str:
        await admin.execute_command("ACL", "SETUSER", name, "on", "resetpass", f">{password}")
        await admin.execute_command("ACL", "SETUSER", name, "~*", "+@all")
        await admin.execute_command("CLIENT", "KILL", "USER", name)
        return redis_url.replace("redis://", f"redis://{name}:{password}@")

    yield change
    await admin.execute_command("ACL", "DELUSER", name)
    await admin.aclose()


async def test_each_connection_reads_user_and_password_again(login, app_id):
    """Without a source of the present URL, the new password comes with a restart."""
    urls = [await login("first")]
    fixed = RedisStore(connect_redis(urls[0], 5), app_id, 5)
    fresh = RedisStore(connect_redis(urls[0], 5, lambda: urls[-1]), app_id, 5)
    assert (await fixed.read()).fields == (await fresh.read()).fields == 0
    urls.append(await login("s3cond-word"))
    assert (await fresh.read()).fields == 0
    with pytest.raises(UnavailableError, match="restart this process with the new redis_url"):
        await fixed.read()
    await fixed.redis.aclose()
    await fresh.redis.aclose()


async def test_a_client_of_the_settings_follows_the_file_of_its_url(login, app_id, tmp_path):
    """A mounted secret that is replaced serves at the next connection."""
    path = tmp_path / "redis-url"
    path.write_text(await login("first"))
    redis = connect_by_settings(Settings.build(redis_url_file=str(path)))
    store = RedisStore(redis, app_id, 5)
    assert (await store.read()).fields == 0
    url = await login("s3cond-word")
    path.write_text("")  # while it is being replaced
    with pytest.raises(UnavailableError, match="write the present ones into redis_url_file"):
        await store.read()
    path.write_text(url)
    assert (await store.read()).fields == 0
    await redis.aclose()


async def test_a_worker_whose_password_changes_is_to_be_restarted(
    login, app_id, bootstrap_servers, create_topic, tmp_path
):
    """Its status is 4; the one of a worker that starts with a wrong password is 3."""
    stream = Stream(app_id, bootstrap_servers, await login("first"), tmp_path, redis_retry_s=1)
    await create_topic(stream.settings.source, 2)
    await stream.produce(mixed_records(60, seed=3))
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    await stream.until_published(worker=worker)
    url = await login("s3cond-word")
    await stream.produce(mixed_records(60, seed=4))
    assert await ends(worker) == 4
    assert "no longer accepts the user or the password" in worker.log.read_text()
    assert await ends(ForkedWorker("stale", stream.options(), tmp_path)) == 3
    worker = ForkedWorker("restarted", stream.options(redis_url=url), tmp_path)
    await stream.produce(mixed_records(60, seed=5))
    try:
        await stream.until_published(worker=worker)
    finally:
        await asyncio.to_thread(worker.stop)
    stream.settings = stream.settings.replace(redis_url=url)
    assert await stream.compare() > 90


async def test_a_worker_that_starts_waits_for_the_file_of_its_redis_url(
    login, app_id, bootstrap_servers, create_topic, tmp_path
):
    """A mounted secret may be older than the password; without the new one its status is 4."""
    path, stale = tmp_path / "redis-url", await login("first")
    url = await login("s3cond-word")
    path.write_text(stale)
    stream = Stream(app_id, bootstrap_servers, url, tmp_path)
    await create_topic(stream.settings.source, 2)
    await stream.produce(mixed_records(60, seed=6))
    options = {k: v for k, v in stream.options().items() if k != "redis_url"}
    options |= {"redis_url_file": str(path), "redis_retry_s": "1"}
    worker = ForkedWorker("stale", options, tmp_path)
    assert await ends(worker) == 4
    log = worker.log.read_text()
    (waiting, *_) = [line for line in log.splitlines() if "redis unavailable, trying again" in line]
    assert "partition=" not in waiting
    assert f"check --redis-url-file {path}, which is read again at each attempt" in log
    worker = ForkedWorker("waits", options | {"redis_retry_s": "60"}, tmp_path)
    try:
        await logs(worker, "trying again")
        path.write_text("")  # while it is being replaced
        await logs(worker, "redis_url_file")
        path.write_text(url)
        await stream.until_published(worker=worker)
    finally:
        status = await asyncio.to_thread(worker.stop)
    assert status == 0
    assert "s3cond-word" not in worker.log.read_text()
    assert await stream.compare() > 20


async def test_a_worker_that_waits_for_a_password_stops_when_it_is_asked_to(
    login, app_id, bootstrap_servers, create_topic, tmp_path
):
    """Long before ``redis_retry_s`` ends, and with status 0."""
    path = tmp_path / "redis-url"
    path.write_text(await login("first"))
    await login("s3cond-word")
    stream = Stream(app_id, bootstrap_servers, "redis://unused", tmp_path, redis_retry_s=3600)
    await create_topic(stream.settings.source, 2)
    options = {k: v for k, v in stream.options().items() if k != "redis_url"}
    worker = ForkedWorker("waits", options | {"redis_url_file": str(path)}, tmp_path)
    await logs(worker, "trying again")
    assert await asyncio.to_thread(worker.stop) == 0
