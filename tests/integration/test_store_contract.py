"""The store's contract, kept by the one in Redis and the one in memory."""

import asyncio
import re
from dataclasses import replace

import pytest

from stream_rnn.errors import ConfigError, MovedError, TornError, UnavailableError, UnreachableError
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import check_redis
from stream_rnn.store.state import Anchor, Commit, FirstPosition, StoredPosition

FIRST = FirstPosition(10, 10, 4, "abcd")


def commit(expected, position, writes=(), deletes=(), origin=10) -> Commit:
    return Commit(
        expected, origin, position, Anchor(position - 1, 5, 7), 99, "abcd", writes, deletes
    )


@pytest.fixture(params=["memory", "redis"])
async def store(request, app_id):
    """A store of either kind, empty."""
    if request.param == "memory":
        yield MemoryStore()
        return
    redis = connect_redis(request.getfixturevalue("redis_url"), 5)
    yield RedisStore(redis, f"{app_id}:t:0:f", 5)
    await redis.aclose()


async def test_an_empty_store_holds_nothing(store):
    """A fold that never began has no position, no states and is not torn."""
    held = await store.read()
    assert held == StoredPosition()
    assert not held.is_torn


@pytest.mark.parametrize(
    "fields",
    [
        {"position": "abc", "origin": "0"},
        {"position": "5"},
        {"position": "5", "origin": "0", "anchor": "1 2"},
        {"position": b"\xff", "origin": "0"},
    ],
)
async def test_a_position_that_no_worker_wrote_is_named(app_id, redis_url, fields):
    """A person must act: the key is in the message."""
    redis = connect_redis(redis_url, 5)
    store = RedisStore(redis, f"{app_id}:t:0:f", 5)
    await redis.hset(store.position_key, mapping=fields)
    with pytest.raises(ConfigError, match=re.escape(store.position_key)):
        await store.read()
    await redis.aclose()


async def test_a_fold_begins_empty_at_its_origin(store):
    """The first position is written with origin and partitions, and without states."""
    await store.start(StoredPosition(), FIRST)
    held = await store.read()
    assert (held.position, held.origin, held.partitions, held.keys, held.fields) == (
        10,
        10,
        4,
        0,
        0,
    )
    assert await store.load(10, 10, [b"a"]) == [None]


async def test_states_and_position_are_committed_together(store):
    """A commit writes and deletes states, counts them, and moves the position."""
    await store.start(StoredPosition(), FIRST)
    await store.commit(commit(10, 15, [(b"a", b"1"), (b"b", b"2")]))
    await store.commit(commit(15, 16, [(b"b", b"3")], [b"a", b"absent"]))
    held = await store.read()
    assert (held.position, held.keys, held.fields, held.stream_time_ms) == (16, 1, 1, 99)
    assert held.anchor == Anchor(15, 5, 7)
    assert await store.load(16, 10, [b"a", b"b"]) == [None, b"3"]


async def test_another_position_or_origin_is_moved(store):
    """Nothing is read or written by whoever expects another position or origin."""
    await store.start(StoredPosition(), FIRST)
    for position, origin in ((11, 10), (10, 9)):
        with pytest.raises(MovedError):
            await store.load(position, origin, [b"a"])
        with pytest.raises(MovedError):
            await store.commit(commit(position, 20, [(b"a", b"1")], origin=origin))
    assert (await store.read()).position == 10


async def test_the_same_commit_twice_is_moved(store):
    """A commit whose answer was lost is refused when it is sent again."""
    await store.start(StoredPosition(), FIRST)
    await store.commit(commit(10, 15, [(b"a", b"1")]))
    with pytest.raises(MovedError):
        await store.commit(commit(10, 15, [(b"a", b"1")]))


async def test_a_first_position_is_gated_on_what_was_seen(store):
    """Whoever saw another store does not drop this one."""
    await store.start(StoredPosition(), FIRST)
    await store.commit(commit(10, 15, [(b"a", b"1")]))
    with pytest.raises(MovedError):
        await store.start(StoredPosition(), FIRST)
    seen = await store.read()
    await store.start(seen, FirstPosition(3, 3, 4, "abcd", "lost"))
    held = await store.read()
    assert (held.position, held.fields, held.lost) == (3, 0, "lost")


async def test_a_drop_is_gated_on_what_was_seen(store):
    """A fold that has begun, moved or begun again at another origin since it was seen stays."""
    nothing = await store.read()
    await store.start(nothing, FIRST)
    begun = await store.read()
    await store.commit(commit(10, 15, [(b"a", b"1")]))
    moved = await store.read()
    origin = replace(moved, origin=moved.origin - 1)
    fields = replace(moved, fields=moved.fields + 1)
    for seen in (nothing, begun, origin, fields):
        with pytest.raises(MovedError):
            await store.drop_seen(seen)
    assert await store.read() == moved
    assert await store.load(15, 10, [b"a"]) == [b"1"]
    await store.drop_seen(moved)
    assert await store.read() == nothing
    with pytest.raises(MovedError):
        await store.drop_seen(moved)
    await store.drop_seen(nothing)


async def test_the_sweep_sees_every_state_once_in_a_while(store):
    """A scan from cursor to cursor finds all states, and another position is moved."""
    await store.start(StoredPosition(), FIRST)
    states = [(b"k%d" % i, b"s%d" % i) for i in range(1200)]
    await store.commit(commit(10, 15, states))
    cursor, found = 0, {}
    for _ in range(1000):
        cursor, some = await store.scan(15, cursor, 100)
        found.update(some)
        if not cursor:
            break
    assert found == dict(states)
    with pytest.raises(MovedError):
        await store.scan(14, 0, 100)


async def test_states_taken_away_are_torn(app_id, redis_url):
    """A field that somebody deletes is noticed at load and at commit."""
    redis = connect_redis(redis_url, 5)
    store = RedisStore(redis, f"{app_id}:t:0:f", 5)
    await store.start(StoredPosition(), FIRST)
    await store.commit(commit(10, 15, [(b"a", b"1"), (b"b", b"2")]))
    await redis.hdel(store.hidden_key, b"a")
    with pytest.raises(TornError):
        await store.load(15, 10, [b"b"])
    with pytest.raises(TornError):
        await store.commit(commit(15, 16, [(b"b", b"3")]))
    assert (await store.read()).is_torn
    await redis.aclose()


async def test_a_position_without_its_states_is_torn_and_states_without_position_too(
    app_id, redis_url
):
    """Either key may vanish alone."""
    redis = connect_redis(redis_url, 5)
    store = RedisStore(redis, f"{app_id}:t:0:f", 5)
    await store.start(StoredPosition(), FIRST)
    await store.commit(commit(10, 15, [(b"a", b"1")]))
    await redis.delete(store.position_key)
    assert (await store.read()).is_torn
    with pytest.raises(MovedError):
        await store.commit(commit(15, 16))
    await redis.aclose()


async def test_a_foreign_type_under_our_key_stops_with_its_name(app_id, redis_url):
    """A string where a hash should be is somebody else's: a person must look."""
    redis = connect_redis(redis_url, 5)
    store = RedisStore(redis, f"{app_id}:t:0:f", 5)
    await redis.set(store.position_key, "mine")
    for call in (
        store.read(),
        store.start(StoredPosition(), FIRST),
        store.load(1, 1, [b"a"]),
        store.commit(commit(1, 2)),
        store.drop_seen(StoredPosition()),
    ):
        with pytest.raises(ConfigError, match="is not a hash"):
            await call
    await redis.delete(store.position_key)
    await redis.aclose()


async def test_more_fields_than_luas_stack_holds_are_written(app_id, redis_url):
    """Writes and deletes go in chunks."""
    redis = connect_redis(redis_url, 5)
    store = RedisStore(redis, f"{app_id}:t:0:f", 5)
    await store.start(StoredPosition(), FIRST)
    states = [(b"k%d" % i, b"s") for i in range(9001)]
    await store.commit(commit(10, 11, states))
    assert (await store.read()).fields == 9001
    await store.commit(commit(11, 12, [], [key for key, _ in states[:8500]]))
    held = await store.read()
    assert (held.fields, held.keys) == (501, 501)
    await redis.aclose()


async def test_a_script_cache_flush_does_not_matter(app_id, redis_url):
    """The scripts are loaded again when Redis has forgotten them."""
    redis = connect_redis(redis_url, 5)
    store = RedisStore(redis, f"{app_id}:t:0:f", 5)
    await store.start(StoredPosition(), FIRST)
    await redis.script_flush()
    await store.commit(commit(10, 11))
    assert (await store.read()).position == 11
    await redis.aclose()


async def test_a_redis_that_does_not_answer_is_unavailable(unused_tcp_port):
    """No answer is an error that is retried, not one that stops."""
    redis = connect_redis(f"redis://127.0.0.1:{unused_tcp_port}/0", 0.5)
    with pytest.raises(UnavailableError):
        await RedisStore(redis, "a:t:0:f", 0.5).read()
    settings = Settings.build(
        redis_url=f"redis://:secret@127.0.0.1:{unused_tcp_port}/0", redis_timeout_s=0.5
    )
    with pytest.raises(UnreachableError, match="does not answer") as raised:
        await check_redis(redis, settings)
    assert "secret" not in str(raised.value)
    await redis.aclose()


async def test_a_redis_that_evicts_is_refused():
    """A policy that drops states when memory is short is found at start."""
    from stream_rnn.local.redis import LocalRedis

    server = LocalRedis(arguments=["--maxmemory-policy", "allkeys-lru", "--requirepass", "hidden"])
    await asyncio.to_thread(server.start)
    try:
        url = f"redis://:hidden@127.0.0.1:{server.port}/0"
        redis = connect_redis(url, 5)
        with pytest.raises(ConfigError, match="allkeys-lru"):
            await check_redis(redis, Settings.build(redis_url=url))
        await redis.aclose()
        wrong = f"redis://:wrong@127.0.0.1:{server.port}/0"
        redis = connect_redis(wrong, 5)
        with pytest.raises(ConfigError, match="refuses this user") as raised:
            await check_redis(redis, Settings.build(redis_url=wrong))
        assert "wrong@" not in str(raised.value)
        await redis.aclose()
    finally:
        await asyncio.to_thread(server.stop)
        server.remove()
