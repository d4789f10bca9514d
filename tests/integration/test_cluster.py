"""The store on a Redis Cluster: both keys of a partition are in one slot."""

import asyncio

import pytest

from stream_rnn.errors import ConfigError, MovedError
from stream_rnn.local.processes import free_port
from stream_rnn.local.redis import LocalRedis
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import check_redis
from stream_rnn.store.state import Commit, FirstPosition, StoredPosition


@pytest.fixture
async def cluster_url():
    """A cluster of one node that owns every slot."""
    bus = str(free_port())  # by default 10,000 above the port, which may be too high
    server = LocalRedis(arguments=["--cluster-enabled", "yes", "--cluster-port", bus])
    await asyncio.to_thread(server.start)
    alone = connect_redis(server.redis_url, 5)
    await alone.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    async with asyncio.timeout(20):
        while "cluster_state:ok" not in str(await alone.execute_command("CLUSTER", "INFO")):
            await asyncio.sleep(0.1)
    await alone.aclose()
    yield f"redis+cluster://127.0.0.1:{server.port}"
    await asyncio.to_thread(server.stop)
    server.remove()


async def test_a_fold_is_begun_committed_swept_and_dropped_on_a_cluster(cluster_url):
    """Transactions, scripts and UNLINK touch one slot, so a cluster takes them."""
    redis = connect_redis(cluster_url, 5)
    await check_redis(redis, Settings.build(redis_url=cluster_url))
    for partition in range(3):
        store = RedisStore(redis, f"app:t:{partition}:f", 5)
        await store.start(StoredPosition(), FirstPosition(10, 10, 3, "abcd"))
        states = [(b"k%d" % i, b"s") for i in range(700)]
        await store.commit(Commit(10, 10, 15, None, 99, "abcd", states, []))
        assert await store.load(15, 10, [b"k1", b"absent"]) == [b"s", None]
        assert (await store.read()).fields == 700
        with pytest.raises(MovedError):
            await store.commit(Commit(10, 10, 15, None, 99, "abcd", [], []))
        _, found = await store.scan(15, 0, 100)
        assert found
        assert await store.drop() == 700
        assert await store.read() == StoredPosition()
    await redis.aclose()


async def test_an_evicting_node_of_a_cluster_is_refused(cluster_url):
    """Every primary is asked for its policy."""
    redis = connect_redis(cluster_url, 5)
    await redis.config_set("maxmemory-policy", "allkeys-lfu")
    with pytest.raises(ConfigError, match="allkeys-lfu"):
        await check_redis(redis, Settings.build(redis_url=cluster_url))
    await redis.aclose()
