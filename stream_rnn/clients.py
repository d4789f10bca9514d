"""Connections: one place that turns settings into options of Kafka's and Redis' clients.

A ``--kafka-config`` file has the names of Kafka's Java clients, so that one file serves them all.
No message of this module ever holds a password.
"""

import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import faust
from aiokafka.helpers import create_ssl_context
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream_rnn.errors import ConfigError

CONFIG_BYTES_MAX = 1_000_000
REDIS_CONNECTIONS_MAX = 256

KNOWN = (
    "security.protocol",
    "sasl.mechanism",
    "sasl.jaas.config",
    "sasl.username",
    "sasl.password",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "client.id",
)
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_JAAS = re.compile(r'(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"')


def kafka_options(bootstrap_servers: str, config_file: str | None = None) -> dict[str, Any]:
    """Return options for every aiokafka client.

    Raises:
        ConfigError: the file is missing, or says something that is not known.
    """
    servers = [server.strip() for server in bootstrap_servers.split(",") if server.strip()]
    if not servers:
        raise ConfigError("bootstrap_servers is empty; name a broker as host:port")
    options: dict[str, Any] = {"bootstrap_servers": servers}
    config = read_properties(config_file) if config_file else {}
    protocol = config.get("security.protocol", "PLAINTEXT").upper()
    options["security_protocol"] = protocol
    if protocol.startswith("SASL"):
        username, password = _login(config, config_file or "")
        options["sasl_mechanism"] = config.get("sasl.mechanism", "PLAIN").upper()
        options["sasl_plain_username"] = username
        options["sasl_plain_password"] = password
    if protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(config, config_file or "")
    if "client.id" in config:
        options["client_id"] = config["client.id"]
    return options


def faust_credentials(config_file: str | None) -> Any:
    """Return the same as ``app.conf.broker_credentials`` of Faust; ``None`` for plain text."""
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
    """Read a java.properties file; unknown names are refused, so that no typing error is silent."""
    try:
        if Path(path).stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(f"{path} is larger than {CONFIG_BYTES_MAX} bytes: not a Kafka config")
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the Kafka config {path}: {error}") from error
    found = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#!":
            continue
        name, _, value = stripped.partition("=")
        name = name.strip()
        if name not in KNOWN:
            raise ConfigError(f"{path}: {name} is not known here; known are {', '.join(KNOWN)}")
        found[name] = value.strip()
    _check(found, "security.protocol", PROTOCOLS, path)
    _check(found, "sasl.mechanism", MECHANISMS, path)
    return found


def _check(found: dict[str, str], name: str, allowed: tuple[str, ...], path: str) -> None:
    if name in found and found[name].upper() not in allowed:
        raise ConfigError(f"{path}: {name} must be one of {', '.join(allowed)}")


def _login(config: dict[str, str], path: str) -> tuple[str, str]:
    said = dict(_JAAS.findall(config.get("sasl.jaas.config", "")))
    username = config.get("sasl.username", said.get("username"))
    password = config.get("sasl.password", said.get("password"))
    if username is None or password is None:
        raise ConfigError(
            f"{path}: SASL needs a user and a password, in sasl.jaas.config or as sasl.username "
            "and sasl.password"
        )
    return username, password


def _ssl_context(config: dict[str, str], path: str) -> ssl.SSLContext:
    for store in ("truststore", "keystore"):
        kind = config.get(f"ssl.{store}.type", "PEM")
        if f"ssl.{store}.location" in config and kind.upper() != "PEM":
            raise ConfigError(f"{path}: ssl.{store}.type {kind} is not read here; convert it to PEM")
    key = config.get("ssl.keystore.location")
    try:
        context = create_ssl_context(
            cafile=config.get("ssl.truststore.location"),
            certfile=key,
            keyfile=key,
            password=config.get("ssl.key.password"),
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{path}: cannot load its certificates: {error}") from error
    if config.get("ssl.endpoint.identification.algorithm", "https") == "":
        context.check_hostname = False
    assert isinstance(context, ssl.SSLContext)
    return context


def connect_redis(url: str, timeout_s: float) -> Redis:
    """Return a client of raw bytes; it does not retry, for our own code does.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and database.
        timeout_s: deadline of one answer.

    Raises:
        ConfigError: the URL is none of these.
    """
    try:
        return Redis.from_url(
            url,
            decode_responses=False,
            max_connections=REDIS_CONNECTIONS_MAX,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            client_name="stream_rnn",
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise ConfigError(f"redis_url {safe_url(url)}: {error}") from error


def safe_url(url: str) -> str:
    """Return a URL without its password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{name}:***@{host}"))


def describe_unreachable(bootstrap_servers: list[str] | str, error: BaseException) -> str:
    """Say that no broker answers, and what to look at."""
    names = bootstrap_servers if isinstance(bootstrap_servers, str) else ",".join(bootstrap_servers)
    return (
        f"no Kafka broker answers at {names} ({type(error).__name__}: {error}); start it, or check "
        "--bootstrap-servers and, for TLS or SASL, --kafka-config"
    )
