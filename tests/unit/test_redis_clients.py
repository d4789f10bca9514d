"""Clients of Redis: what a URL stands for, and which one is refused or unreachable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection

from stream_rnn.errors import ConfigError, UnreachableError
from stream_rnn.local.processes import free_port
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis, safe_url
from stream_rnn.store.server_checks import check_redis


async def test_redis_is_asked_for_raw_bytes_with_a_deadline_and_no_retry():
    """Hidden states are bytes, and our own code retries."""
    client = connect_redis("rediss://alice:s3cret@cache:6380/2?ssl_ca_certs=ca.pem", 1.5)
    options = client.connection_pool.connection_kwargs
    assert isinstance(client, Redis)
    assert (options["host"], options["port"], options["db"]) == ("cache", 6380, 2)
    assert (options["username"], options["password"]) == ("alice", "s3cret")
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (1.5, 1.5)
    assert not options["decode_responses"]
    assert options["retry"].get_retries() == 0
    assert client.connection_pool.timeout == 1.5
    await client.aclose()


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("redis+cluster://u:s3cret@a:7000", {"a:7000"}),
        ("redis://u:s3cret@a:7000,b:7001/0", {"a:7000", "b:7001"}),
        ("redis+cluster://u:s3cret@[::1]:7000,b,[::2]:7001/0", {"::1:7000", "b:6379", "::2:7001"}),
    ],
)
async def test_several_hosts_are_a_cluster(url, nodes):
    """Each of them is asked until one answers; an address of IPv6 may be among them."""
    client = connect_redis(url, 1.0)
    assert isinstance(client, RedisCluster)
    assert client.connection_kwargs["password"] == "s3cret"
    assert client.connection_kwargs["socket_timeout"] == 1.0
    assert {*client.nodes_manager.startup_nodes} == nodes
    await client.aclose()


@pytest.mark.parametrize(
    ("url", "sentinels"),
    [
        ("redis+sentinel://u:s3cret@a:26380,b,[::1]:7/main/2", [("a", 26380), ("b", 26379), ("::1", 7)]),
        ("redis+sentinel://u:s3cret@a/main/2?sentinel_password=other", [("a", 26379)]),
    ],
)  # fmt: skip
async def test_sentinels_are_asked_for_the_primary(url, sentinels):
    """With their own password; the primary gets the URL's user and database."""
    client = connect_redis(url, 1.5)
    pool = client.connection_pool
    assert (pool.service_name, pool.is_master) == ("main", True)
    options = pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("u", "s3cret", 2)
    assert (options["socket_timeout"], options["retry"].get_retries()) == (1.5, 0)
    asked = [s.connection_pool.connection_kwargs for s in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in asked] == sentinels
    assert {one.get("password") for one in asked} == {"other" if "other" in url else None}
    assert {one["socket_timeout"] for one in asked} == {1.5}
    await client.aclose()


async def test_sentinels_and_primary_are_reached_over_tls():
    """An authority of the URL's query is for both."""
    client = connect_redis("rediss+sentinel://a/main?ssl_ca_certs=/ca.pem", 1.0)
    pool = client.connection_pool
    assert issubclass(pool.connection_class, SSLConnection)
    assert pool.connection_kwargs["ssl_ca_certs"] == "/ca.pem"
    (sentinel,) = pool.sentinel_manager.sentinels
    assert sentinel.connection_pool.connection_class is SSLConnection
    await client.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "http://u:s3cret@cache",
        "redis+sentinel://u:s3cret@a:26379",
        "redis+sentinel://u:s3cret@a:26379/?ssl_ca_certs=x",
        "redis+sentinel://u:s3cret@a,/main",
        "redis+sentinel://u:s3cret@a:port/main",
        "redis+sentinel://u:s3cret@a/main/0?no_such_option=1",
        "cache:6379",
        "redis://",
        "redis://u:s3cret/x@cache:6379",
        "redis://u:s3cret@cache:port",
        "redis://u:s3cret@cache:6379/0?no_such_option=1",
        "redis+cluster://u:s3cret@cache:6379/3",
        "redis://:s3cret#x@cache:6379",
    ],
)
def test_a_url_that_is_none_of_redis_is_refused_without_its_password(url):
    """Not in the message, and not in what it was raised from."""
    with pytest.raises(ConfigError, match="redis_url") as error:
        connect_redis(url, 1.0)
    shown = error.value
    while shown is not None:
        assert "s3cret" not in str(shown)
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)


@given(
    st.sampled_from(["redis", "rediss", "redis+cluster", "redis+sentinel"]),
    st.text("ab1", max_size=5),
    st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: "xyz" not in text),
)
def test_a_safe_url_has_no_password(scheme, user, password):
    """Whatever characters it has."""
    url = f"{scheme}://{user}:xyz{password}xyz@cache:6379/0"
    assert safe_url(url) == f"{scheme}://{user}:***@cache:6379/0"


def test_a_password_in_the_query_is_hidden_too():
    """Redis' client takes it there."""
    assert safe_url("unix:///s?password=s3cret&db=1") == "unix:///s?password=***&db=***"


def test_a_url_without_a_login_is_shown_whole():
    """There is nothing to hide."""
    assert safe_url("redis://cache:6379/0") == "redis://cache:6379/0"


@pytest.mark.parametrize("kind", ["redis", "redis+cluster", "redis+sentinel"])
async def test_a_redis_of_any_kind_that_does_not_answer_is_named(kind):
    """Whatever its client raises."""
    url = f"{kind}://u:s3cret@127.0.0.1:{free_port()}" + ("/main" if "sentinel" in kind else "")
    client = connect_redis(url, 2.0)
    with pytest.raises(UnreachableError, match="does not answer") as error:
        await check_redis(client, Settings.build(redis_url=url))
    assert "s3cret" not in str(error.value)
    await client.aclose()
