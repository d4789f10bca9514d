"""Clients of a Redis, of a Redis Cluster, or of a primary that Sentinels name, from a URL.

No message of this module contains a password.
"""

import re
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

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
from stream_rnn.settings import Settings
from stream_rnn.store.redis_cluster import ClusterClient
from stream_rnn.store.server_connection import PROTOCOL, UrlCredentials, adapt, without_login
from stream_rnn.store.url_file import is_address, read_url_file, refuse_text
from stream_rnn.store.url_options import check_options, split_url

REDIS_CONNECTIONS_MAX = 128
SENTINEL_PORT = 26379
_HOST_AND_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^:]*)(?::\d{1,5})?")
NOT_OF_SENTINELS = {"client_name", "credential_provider"}
REDIS_SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"),
)


def read_redis_url(settings: Settings) -> str:
    """Return the URL of Redis, from its file if settings name one, which may have changed.

    Raises:
        ConfigError: The file cannot be read, or contains no URL.
    """
    path = settings.redis_url_file
    if not path:
        return settings.redis_url.get_secret_value()
    return read_url_file(path)


def connect_by_settings(settings: Settings) -> Redis:
    """Return a client of the Redis that settings name; see :func:`connect_redis`."""
    path, url = settings.redis_url_file, read_redis_url(settings)
    if not path:
        return connect_redis(url, settings.redis_timeout_s)
    try:
        return connect_redis(url, settings.redis_timeout_s, partial(read_redis_url, settings))
    except ConfigError as error:
        raise ConfigError(f"redis_url_file {path}: {error}") from error


def connect_redis(url: str, timeout_s: float, read_url: Callable[[], str] | None = None) -> Redis:
    """Return a client that returns raw bytes; it does not retry, because its callers do.

    The client connects at its first command.  A URL of ``redis+cluster://``, or with several hosts,
    names a Redis Cluster; its client has the same methods for keys that share a hash tag.  A URL of
    ``redis+sentinel://`` names the Sentinels, and the primary as they name it:
    ``redis+sentinel://user:password@host:26379,host:26379/name/0``; ``sentinel_username`` and
    ``sentinel_password`` are the login of the Sentinels themselves.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user, password and database;
            ``?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE`` for TLS.  All options of the
            query are in ``store/url_options.py``.
        timeout_s: Deadline in seconds for connecting, for one reply, and for a free connection.
        read_url: Function that returns the URL with the present user and password, for each new
            connection; ``None`` if they do not change.

    Raises:
        ConfigError: The URL has another form, or its query has an option that is not allowed.
    """
    scheme = _check_form(url)
    options: dict[str, Any] = {
        "decode_responses": False,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "client_name": "stream_rnn",
        "protocol": PROTOCOL,
        "retry": Retry(NoBackoff(), 0),
    }
    if scheme.startswith("rediss"):
        # Python 3.13 checks more than redis-cli: whether the certificates obey RFC 5280.
        options["ssl_exclude_verify_flags"] = [ssl.VERIFY_X509_STRICT]
    try:
        check_options(url, safe_url(url))
        if read_url is not None:
            options["credential_provider"] = UrlCredentials(read_url, url)
            url = without_login(url)
        if scheme.endswith("+sentinel"):
            return _connect_by_sentinels(url, options)
        if scheme.endswith("+cluster") or "," in split_url(url).netloc.rpartition("@")[2]:
            return _connect_cluster(url, options)
        pool = BlockingConnectionPool.from_url(
            url, max_connections=REDIS_CONNECTIONS_MAX, timeout=timeout_s, **options
        )
        pool.connection_class = adapt(pool.connection_class)
        pool.connection_class(
            **pool.connection_kwargs
        )  # raises for unknown options; connects later
        return Redis.from_pool(pool)
    except (ValueError, TypeError, RedisError, RedisClusterException):
        # Not `from error`: the parser's message may contain a part of the password.
        raise ConfigError(
            f"redis_url {safe_url(url)} cannot be parsed; its form is "
            "redis://user:password@host:port/0, with special characters of the password percent-encoded"
        ) from None


def _check_form(url: str) -> str:
    """Return the scheme of a URL; raise ``ConfigError`` if scheme or host are missing."""
    scheme, _, rest = url.partition("://")
    if scheme not in REDIS_SCHEMES or not rest:
        raise refuse_text("" if scheme in REDIS_SCHEMES else url)
    if not scheme.startswith("unix") and not rest.partition("/")[0].rpartition("@")[2].strip(":"):
        raise ConfigError(
            f"redis_url {safe_url(url)} names no host; its form is redis://host:port/0"
        )
    return scheme


def _connect_cluster(url: str, options: dict[str, Any]) -> Redis:
    parts = split_url(url.replace("+cluster", "", 1))
    login, at, hosts = parts.netloc.rpartition("@")
    nodes = [ClusterNode(*host) for host in _parse_hosts(hosts, 6379)]
    first = f"{parts.scheme}://{login}{at}{hosts.split(',')[0]}{parts.path}?{parts.query}"
    cluster = ClusterClient.from_url(
        first, startup_nodes=nodes, max_connections=REDIS_CONNECTIONS_MAX, **options
    )
    return cast("Redis", cluster)


def _connect_by_sentinels(url: str, options: dict[str, Any]) -> Redis:
    """Return a client that asks the Sentinels for the primary at each new connection."""
    parts = split_url(url.replace("+sentinel", "", 1))
    login, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ConfigError(
            f"redis_url {safe_url(url)} lacks the Sentinels' name of the primary; its form is "
            "redis+sentinel://user:password@host:26379,host:26379/name/0"
        )
    primary = f"{parts.scheme}://{login}{at}h/{database}?{parts.query}"
    arguments: dict[str, Any] = {**parse_url(primary)}
    names = {f"sentinel_{name}": name for name in ("username", "password")}
    sentinel_login = {new: arguments.pop(old) for old, new in names.items() if old in arguments}
    is_secure = arguments.pop("connection_class", None) is not None
    arguments.pop("host")
    tls_options = {name: value for name, value in arguments.items() if name.startswith("ssl_")}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        _parse_hosts(hosts, SENTINEL_PORT),
        sentinel_kwargs={
            **{name: options[name] for name in options if name not in NOT_OF_SENTINELS},
            **sentinel_login,
            **tls_options,
            "ssl": is_secure,
        },
        **{**options, **arguments},
    )
    connection = SentinelManagedSSLConnection if is_secure else SentinelManagedConnection
    client = sentinels.master_for(
        service, connection_class=adapt(connection), max_connections=REDIS_CONNECTIONS_MAX
    )
    pool = client.connection_pool
    pool.connection_class(**pool.connection_kwargs)  # raises for unknown options; connects later
    return cast("Redis", client)


def _parse_hosts(text: str, port: int) -> list[tuple[str, int]]:
    """Split ``host:port,host:port``; an IPv6 address is in brackets."""
    arguments = [urlsplit(f"//{host}") for host in text.split(",")]
    if not all(host.hostname for host in arguments):
        raise ValueError("a host has no name")
    return [(host.hostname or "", host.port or port) for host in arguments]


def safe_url(url: str) -> str:
    """Return a URL without its password, and without the values of its options.

    Example:
        >>> safe_url("rediss://alice:secret@cache:6379/0?db=1")
        'rediss://alice:***@cache:6379/0?db=***'
    """
    scheme, _, rest = url.partition("://")
    if scheme not in REDIS_SCHEMES:
        return "***"  # any part of the text may be a password
    login, at, address = rest.rpartition("@")
    address, mark, query = address.partition("?")
    options = [re.match(r"(?:\w+=)?", text) for text in query.split("&")] if mark else []
    shown = "&".join(f"{option.group() if option else ''}***" for option in options)
    user, colon, _ = login.partition(":")  # without a colon, it may be the password
    hosts = address.partition("/")[0]
    if not scheme.startswith("unix") and not all(map(_HOST_AND_PORT.fullmatch, hosts.split(","))):
        # No port but a password, whose user and "@" are missing: the rest may be a part of it.
        address, mark, shown = f"{hosts.partition(':')[0]}:***", "", ""
    return f"{scheme}://{f'{user}:' if colon else ''}{'***@' if at else ''}{address}{mark}{shown}"


def has_password(url: str) -> bool:
    """Return whether a URL may contain a password."""
    scheme, _, rest = url.strip(" \t\"'").partition("://")
    if is_address(url):
        url = f"redis://{rest or scheme}"
    is_foreign = url.partition("://")[0] not in REDIS_SCHEMES
    return is_foreign or "@" in url or "password=" in url.lower() or ":***" in safe_url(url)
