"""Connections: one place that turns settings into options of Kafka's and Redis' clients.

A ``--kafka-config`` file has the names of Kafka's Java clients, so that one file serves them all.
No message of this module ever holds a password.
"""

import re
import ssl
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
from aiokafka.helpers import create_ssl_context
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

from stream_rnn.errors import ConfigError, reason
from stream_rnn.redis_cluster import ClusterClient
from stream_rnn.url_options import check_options

CONFIG_BYTES_MAX = 1_000_000
REDIS_CONNECTIONS_MAX = 128
SENTINEL_PORT = 26379
REDIS_SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"),
)

KNOWN = (
    "security.protocol",
    "sasl.mechanism",
    "sasl.jaas.config",
    "sasl.username",
    "sasl.password",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.ca.location",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "client.id",
)
ALLOWED = {
    "security.protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl.mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    "ssl.truststore.type": ("PEM",),
    "ssl.keystore.type": ("PEM",),
    "ssl.endpoint.identification.algorithm": ("HTTPS", ""),
}
_LINE = re.compile(r"((?:[^\s:=\\]|\\.)+)\s*[:=]?\s*(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_JAAS = re.compile(r'\b(username|password)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_LOGIN_MODULES = ("PlainLoginModule", "ScramLoginModule")


def kafka_options(bootstrap_servers: str, config_file: str | None = None) -> dict[str, Any]:
    """Return options for every aiokafka client.

    Args:
        bootstrap_servers: ``host:port``, comma-separated.
        config_file: a java.properties file, ``None`` for plain text without a user.

    Raises:
        ConfigError: the file is missing, or says something that is not known.
    """
    servers = [server.strip() for server in bootstrap_servers.split(",") if server.strip()]
    if not servers:
        raise ConfigError("bootstrap_servers is empty; name a broker as host:port")
    options: dict[str, Any] = {"bootstrap_servers": servers}
    if config_file is None:
        return {**options, "security_protocol": "PLAINTEXT"}
    config = read_properties(config_file)
    protocol = config.get("security.protocol", "PLAINTEXT").upper()
    _refuse_unused(config, protocol, config_file)
    options["security_protocol"] = protocol
    if protocol.startswith("SASL"):
        username, password = _login(config, config_file)
        options["sasl_mechanism"] = config.get("sasl.mechanism", "PLAIN").upper()
        options["sasl_plain_username"] = username
        options["sasl_plain_password"] = password
    if protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(config, config_file)
    if "client.id" in config:
        options["client_id"] = config["client.id"]
    return options


def faust_credentials(config_file: str | None) -> Any:
    """Return the same as ``app.conf.broker_credentials`` of Faust; ``None`` for plain text."""
    import faust  # noqa: PLC0415  # readers of predictions need no Faust

    options = kafka_options("unused:0", config_file)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def read_properties(path: str) -> dict[str, str]:
    """Read a java.properties file; unknown names are refused, so that no typing error is silent.

    Raises:
        ConfigError: it cannot be read, or it has a name or a value that is not known.
    """
    try:
        if Path(path).stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(f"{path} is larger than {CONFIG_BYTES_MAX} bytes: not a Kafka config")
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the Kafka config {path}: {reason(error)}") from error
    found = {}
    for line in re.sub(r"(?<!\\)((?:\\\\)*)\\\r?\n\s*", r"\1", text).splitlines():
        parts = _LINE.match(line.strip())
        if parts is None or line.strip()[0] in "#!":
            continue
        name, value = (_ESCAPED.sub(_unescape, part) for part in parts.groups())
        if name not in KNOWN:
            raise ConfigError(f"{path}: {name} is not known here; known are {', '.join(KNOWN)}")
        if value.upper() not in ALLOWED.get(name, (value.upper(),)):
            allowed = ", ".join(choice or "(empty)" for choice in ALLOWED[name])
            raise ConfigError(f"{path}: {name} = {value} is not supported; it may be {allowed}")
        found[name] = value
    return found


def _unescape(escape: re.Match[str]) -> str:
    code = escape[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    return {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}.get(code, code)


def _refuse_unused(config: dict[str, str], protocol: str, path: str) -> None:
    """Refuse a password or a certificate that the protocol would silently leave unused."""
    used = {"sasl": protocol.startswith("SASL"), "ssl": protocol.endswith("SSL")}
    for name in config:
        if not used.get(name.partition(".")[0], True):
            raise ConfigError(
                f"{path}: {name} has no effect with security.protocol {protocol}; "
                f"set security.protocol, or remove it"
            )


def _login(config: dict[str, str], path: str) -> tuple[str, str]:
    jaas = config.get("sasl.jaas.config", "")
    if jaas and not any(
        module in jaas.split("required", maxsplit=1)[0] for module in _LOGIN_MODULES
    ):
        raise ConfigError(f"{path}: sasl.jaas.config must be of {' or '.join(_LOGIN_MODULES)}")
    said = {
        name: _ESCAPED.sub(_unescape, quoted) or bare for name, quoted, bare in _JAAS.findall(jaas)
    }
    username = config.get("sasl.username", said.get("username"))
    password = config.get("sasl.password", said.get("password"))
    if not username or password is None:
        raise ConfigError(
            f"{path}: SASL needs a user and a password, in sasl.jaas.config or as sasl.username "
            "and sasl.password"
        )
    return username, password


def _ssl_context(config: dict[str, str], path: str) -> ssl.SSLContext:
    key = config.get("ssl.keystore.location")
    try:
        context = create_ssl_context(
            cafile=config.get("ssl.truststore.location", config.get("ssl.ca.location")),
            certfile=key,
            keyfile=key,
            # Without a password OpenSSL would ask for one on the terminal.
            password=config.get("ssl.key.password", ""),
        )
    except (OSError, ssl.SSLError) as error:
        message = f"{path}: cannot load its certificates: {reason(error)}; they must be readable PEM files"
        raise ConfigError(message) from error
    if config.get("ssl.endpoint.identification.algorithm") == "":
        context.check_hostname = False
    return cast("ssl.SSLContext", context)


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
            ``url_options.py`` has all that the query may say.
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
