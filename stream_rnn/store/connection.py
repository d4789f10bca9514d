"""Clients of Redis, of a Redis Cluster and of a primary that Sentinels name; all from a URL.

No message of this module ever holds a password.
"""

import re
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from stream_rnn.errors import ConfigError
from stream_rnn.store.redis_cluster import ClusterClient
from stream_rnn.store.url_options import check_options

REDIS_CONNECTIONS_MAX = 128
SENTINEL_PORT = 26379
REDIS_SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"),
)


def connect_redis(url: str, timeout_s: float) -> Redis:
    """Return a client of raw bytes; it does not retry, for our own code does.

    Nothing is sent yet.  A URL with several hosts, or of ``redis+cluster://``, is of a Redis
    Cluster; its client has the same methods, as far as keys share a hash tag.  One of
    ``redis+sentinel://`` names Sentinels and what they call the primary:
    ``redis+sentinel://user:password@host:26379,host:26379/name/0``; ``sentinel_username`` and
    ``sentinel_password`` are for the Sentinels themselves.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user, password and database;
            ``?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE`` for TLS;
            ``store/url_options.py`` has all that the query may say.
        timeout_s: deadline of connecting, of one answer, and of waiting for a free connection.

    Raises:
        ConfigError: the URL is none of these, or an option of its query is refused.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in REDIS_SCHEMES or not rest:
        raise ConfigError(
            f"redis_url {safe_url(url)} must begin with redis://, rediss:// or unix://, or with "
            "redis+cluster:// or redis+sentinel:// (rediss+... for TLS)"
        )
    if not scheme.startswith("unix") and not rest.partition("/")[0].rpartition("@")[2].strip(":"):
        raise ConfigError(f"redis_url {safe_url(url)} names no host: redis://host:port/0")
    options: dict[str, Any] = {
        "decode_responses": False,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "client_name": "stream_rnn",
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        check_options(url, safe_url(url))
        if scheme.endswith("+sentinel"):
            return _connect_by_sentinels(url, options)
        if scheme.endswith("+cluster") or "," in urlsplit(url).netloc.rpartition("@")[2]:
            return _connect_cluster(url, options)
        pool = BlockingConnectionPool.from_url(
            url, max_connections=REDIS_CONNECTIONS_MAX, timeout=timeout_s, **options
        )
        pool.connection_class = _packing(pool.connection_class)
        pool.connection_class(**pool.connection_kwargs)  # refuses unknown options; connects later
        return Redis.from_pool(pool)
    except (ValueError, TypeError, RedisError, RedisClusterException):
        # Not `from error`: what the URL's parser cites may be a part of the password.
        raise ConfigError(
            f"redis_url {safe_url(url)} cannot be read; it is redis://user:password@host:port/0, "
            "with special characters of the password percent-encoded"
        ) from None


def _packing(connection: type[Any]) -> type[Any]:
    """Return a class of connections that packs commands in C, as redis-py's blocking ones do."""

    def pack_command(_self: Any, *args: Any) -> list[bytes]:
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [hiredis.pack_command((*name.split(), *args[1:]))]  # a name may be "SCRIPT LOAD"

    return type(connection.__name__, (connection,), {"pack_command": pack_command})


def _connect_cluster(url: str, options: dict[str, Any]) -> Redis:
    parts = urlsplit(url.replace("+cluster", "", 1))
    login, at, hosts = parts.netloc.rpartition("@")
    nodes = [ClusterNode(*host) for host in _hosts(hosts, 6379)]
    place = f"{login}{at}{nodes[0].host}:{nodes[0].port}"
    first = f"{parts.scheme}://{place}{parts.path}?{parts.query}"
    cluster = ClusterClient.from_url(
        first, startup_nodes=nodes, max_connections=REDIS_CONNECTIONS_MAX, **options
    )
    return cast("Redis", cluster)


def _connect_by_sentinels(url: str, options: dict[str, Any]) -> Redis:
    """Return a client of whom the Sentinels call the primary, asked at each new connection."""
    parts = urlsplit(url.replace("+sentinel", "", 1))
    login, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ConfigError(
            f"redis_url {safe_url(url)} lacks the name by which its Sentinels know the primary: "
            "redis+sentinel://user:password@host:26379,host:26379/name/0"
        )
    primary = f"{parts.scheme}://{login}{at}h/{database}?{parts.query}"
    found: dict[str, Any] = {**parse_url(primary)}
    names = {f"sentinel_{name}": name for name in ("username", "password")}
    ours = {new: found.pop(old) for old, new in names.items() if old in found}
    is_secure = found.pop("connection_class", None) is not None
    found.pop("host")
    secured = {name: value for name, value in found.items() if name.startswith("ssl_")}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        _hosts(hosts, SENTINEL_PORT),
        sentinel_kwargs={**options, **ours, **secured, "ssl": is_secure},
        **{**options, **found},
    )
    connection = SentinelManagedSSLConnection if is_secure else SentinelManagedConnection
    client = sentinels.master_for(
        service, connection_class=_packing(connection), max_connections=REDIS_CONNECTIONS_MAX
    )
    pool = client.connection_pool
    pool.connection_class(**pool.connection_kwargs)  # refuses unknown options; connects later
    return cast("Redis", client)


def _hosts(text: str, port: int) -> list[tuple[str, int]]:
    """Split ``host:port,host:port``; an IPv6 address stands in brackets."""
    found = [urlsplit(f"//{host}") for host in text.split(",")]
    if not all(host.hostname for host in found):
        raise ValueError("a host has no name")
    return [(host.hostname or "", host.port or port) for host in found]


def safe_url(url: str) -> str:
    """Return a URL without its password.

    Example:
        >>> safe_url("rediss://alice:secret@cache:6379/0")
        'rediss://alice:***@cache:6379/0'
    """
    scheme, colons, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    place = re.sub(r"(?i)(password=)[^&]*", r"\1***", place)
    if not at:
        return f"{scheme}{colons}{place}"
    return f"{scheme}{colons}{login.partition(':')[0]}:***@{place}"
