"""Every option that Redis' client knows in a URL: allowed and in effect, or refused by name."""

import inspect
from pathlib import Path

import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.connection import (
    URL_QUERY_ARGUMENT_PARSERS,
    AbstractConnection,
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from stream_rnn.errors import ConfigError
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import check_redis
from stream_rnn.store.state import Commit, FirstPosition, StoredPosition
from stream_rnn.store.url_options import COMMON_OPTIONS, SENTINEL_OPTIONS, TLS_OPTIONS

PLAIN = {
    "redis": "redis://cache:6379/0",
    "unix": "unix:///run/redis.sock",
    "cluster": "redis+cluster://a:7000,b:7001",
    "hosts": "redis://a:7000,b:7001",
    "sentinel": "redis+sentinel://a,b/main/0",
}
SECURE = {
    "redis": "rediss://cache:6379/0",
    "cluster": "rediss+cluster://a:7000,b:7001",
    "sentinel": "rediss+sentinel://a,b/main/0",
}
VALUES = {
    "db": ("0", 0),
    "protocol": ("3", 3),
    "ssl_cert_reqs": ("none", "none"),
    "ssl_check_hostname": ("false", False),
    "ssl_min_version": ("772", 772),
}


def known_to_redis():
    """Return every option that redis-py takes from a URL, with one that it does not know."""
    found = {"no_such_option", *URL_QUERY_ARGUMENT_PARSERS}
    for made in (
        *(AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection),
        *(BlockingConnectionPool, RedisCluster),
    ):
        found |= set(inspect.signature(made.__init__).parameters)
    return sorted(found - {"self", "kwargs", "connection_kwargs"})


def effective(client):
    """Return the options of a client's connections."""
    if isinstance(client, RedisCluster):
        return client.connection_kwargs
    return client.connection_pool.connection_kwargs


@pytest.mark.parametrize("name", sorted(set(known_to_redis()) - COMMON_OPTIONS - TLS_OPTIONS))
@pytest.mark.parametrize("kind", PLAIN)
def test_an_option_that_would_undo_ours_is_refused_by_name(kind, name):
    """With what to do instead, and without the password."""
    url = PLAIN[kind].replace("://", "://u:s3cret@" if kind != "unix" else "://")
    with pytest.raises(ConfigError, match=f"its option {name} is refused: .") as error:
        connect_redis(f"{url}?{name}=1", 1.0)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("name", sorted(COMMON_OPTIONS - {"password"}))
@pytest.mark.parametrize("kind", PLAIN)
async def test_an_option_of_every_kind_of_url_is_in_effect(kind, name):
    """But the database of a cluster, which has only one."""
    text, value = VALUES.get(name, ("name", "name"))
    url = f"{PLAIN[kind]}?{name}={text}"
    if name == "db" and kind in {"cluster", "hosts"}:
        with pytest.raises(ConfigError, match="option db is refused: a Redis Cluster"):
            connect_redis(url, 1.0)
        return
    client = connect_redis(url, 1.0)
    assert effective(client)[name] == value
    await client.aclose()


@pytest.mark.parametrize("name", sorted(TLS_OPTIONS))
@pytest.mark.parametrize("kind", SECURE)
async def test_an_option_of_tls_is_in_effect_with_tls_only(kind, name):
    """Without it nothing would be secure, though the URL reads so."""
    text, value = VALUES.get(name, ("x", "x"))
    with pytest.raises(
        ConfigError, match=f"option {name} is refused: .* begin the URL with rediss"
    ):
        connect_redis(f"{PLAIN[kind]}?{name}={text}", 1.0)
    url = f"{SECURE[kind]}?{name}={text}"
    if kind == "cluster" and name in {"ssl_ca_path", "ssl_password"}:
        with pytest.raises(ConfigError, match=f"option {name} is refused: a Redis Cluster"):
            connect_redis(url, 1.0)
        return
    client = connect_redis(url, 1.0)
    assert effective(client)[name] == value
    await client.aclose()


def test_all_that_is_allowed_is_documented():
    """Where a worker's operator looks for its URL."""
    text = (Path(__file__).parents[2] / "deploy/README.md").read_text(encoding="utf-8")
    said = text.partition("| Options of the query |")[2].partition("\n")[0]
    assert {
        name for name in COMMON_OPTIONS | TLS_OPTIONS | SENTINEL_OPTIONS if f"`{name}`" not in said
    } == set()


@pytest.mark.parametrize("name", sorted(SENTINEL_OPTIONS))
def test_an_option_of_sentinels_is_refused_elsewhere(name):
    """It would be handed to the server itself."""
    with pytest.raises(ConfigError, match=rf"option {name} is refused: .*redis\+sentinel"):
        connect_redis(f"redis://cache:6379/0?{name}=x", 1.0)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("ssl_cert_reqs=never", r"one of none\|optional\|required"),
        ("ssl_check_hostname=perhaps", r"one of true\|false"),
        ("ssl_min_version=1.3", r"one of 771\|772"),
        ("protocol=4", r"one of \[23\]"),
        ("db=first", r"one of \\d\+"),
        ("ssl_ca_certs=", "it has no value"),
    ],
)
def test_a_value_that_an_option_may_not_have_is_refused(option, said):
    """At start, and not when the first connection is made."""
    with pytest.raises(ConfigError, match=said):
        connect_redis(f"rediss://cache:6379/0?{option}", 1.0)


@pytest.mark.parametrize(
    "url",
    ["redis://:s3c?ret=1@cache:6379/0", "redis://:s3c?ret&x=1@cache/0", "redis://cache/0?r*t=1"],
)
def test_what_may_be_a_part_of_a_password_is_not_cited(url):
    """A password that is not percent-encoded looks like a query."""
    with pytest.raises(ConfigError, match="percent-encoded") as error:
        connect_redis(url, 1.0)
    assert "ret" not in str(error.value)
    assert "r*t" not in str(error.value).partition("cannot")[2]


@pytest.mark.parametrize("options", ["db=3", "protocol=3", "protocol=2&client_name=mine"])
async def test_a_fold_is_kept_with_what_is_allowed(redis_url, app_id, options):
    """Bytes come back as they were written."""
    url = f"{redis_url.rpartition('/')[0]}?{options}"
    redis = connect_redis(url, 5)
    await check_redis(redis, Settings.build(redis_url=url))
    store = RedisStore(redis, f"{app_id}:t:0:f", 5)
    await store.start(StoredPosition(), FirstPosition(10, 10, 3, "abcd"))
    await store.commit(Commit(10, 10, 15, None, 99, "abcd", [(b"\xff", b"\xfe\x00")], []))
    assert await store.load(15, 10, [b"\xff", b"absent"]) == [b"\xfe\x00", None]
    assert ((await store.read()).position, (await store.read()).fields) == (15, 1)
    await store.drop()
    await redis.aclose()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://cache:6379/abc", "its path is refused: it must end in the number of a database"),
        ("redis://cache:6379/0;decode_responses=1", "its path is refused"),
        ("redis://cache:6379/0/1", "its path is refused"),
        ("redis+sentinel://a,b/main/x", "its path is refused"),
        ("redis+cluster://a:1,b:2/1", "its path is refused: a Redis Cluster has database 0"),
        ("redis://cache:6379/0?db=1", "option db is refused: the path names database 0"),
        ("redis+sentinel://a,b/main/2?db=1", "option db is refused: the path names database 2"),
        ("redis://cache:6379?db=1&db=2", "option db is refused: it occurs twice"),
        ("redis://cache:6379/0?client_name=a&client_name=b", "client_name is refused: it occurs"),
        ("redis://cache:6379/0?foo", "option foo is refused: there is no such option"),
        ("redis://cache:6379/0?Socket_Timeout=1", "option Socket_Timeout is refused: there is no"),
    ],
)
def test_what_redis_client_would_ignore_is_refused(url, said):
    """States would be looked for in another database than the one that was meant."""
    with pytest.raises(ConfigError, match=said):
        connect_redis(url, 1.0)


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://cache:6379", 0),
        ("redis://cache:6379/", 0),
        ("redis://cache:6379/7?db=7", 7),
        ("redis+sentinel://a,b/main", 0),
        ("redis+sentinel://a,b/main/3", 3),
        ("unix:///run/redis.sock?db=4", 4),
    ],
)
async def test_the_database_that_is_named_is_taken(url, database):
    """By the path or by the option."""
    client = connect_redis(url, 1.0)
    assert effective(client).get("db", 0) == database
    await client.aclose()


async def test_a_database_that_is_not_there_is_a_setting(redis_url):
    """A restart would not help."""
    url = f"{redis_url.rpartition('/')[0]}/999"
    redis = connect_redis(url, 5)
    with pytest.raises(ConfigError, match=r"has no such database: .*DB index is out of range"):
        await check_redis(redis, Settings.build(redis_url=url))
    await redis.aclose()
