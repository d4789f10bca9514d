"""Path and query that a ``redis_url`` may have.

redis-py ignores options that it does not know; this module refuses them.

The path is the number of a database, ``/0``; for Sentinels it is the primary's name and a number,
``/name/0``.  The query may have these options; any other option of redis-py would override one that this
package sets:

db, username, password, client_name, protocol (2 or 3)       for every kind of URL
ssl_ca_certs, ssl_ca_data, ssl_certfile, ssl_keyfile,         with TLS (rediss)
ssl_cert_reqs, ssl_check_hostname, ssl_ciphers,
ssl_min_version (771: TLS 1.2, 772: TLS 1.3)
ssl_ca_path, ssl_password                                     with TLS, except for a cluster
sentinel_username, sentinel_password                          for Sentinels
"""

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

from stream_rnn.errors import ConfigError

COMMON_OPTIONS = {"db", "username", "password", "client_name", "protocol"}
TLS_OPTIONS = {
    *("ssl_ca_certs", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"),
    *("ssl_check_hostname", "ssl_ciphers", "ssl_min_version", "ssl_ca_path", "ssl_password"),
}
SENTINEL_OPTIONS = {"sentinel_username", "sentinel_password"}
NOT_CLUSTER_OPTIONS = {"ssl_ca_path", "ssl_password", "db"}
VALUE_PATTERNS = {
    "db": r"\d+",
    "protocol": "[23]",
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": "true|false",
    "ssl_min_version": "771|772",
}
BYTES_REMEDY = "hidden states are bytes; leave it out"
CONNECTIONS_REMEDY = "a worker opens as many connections as it needs; leave it out"
REMEDIES = {
    "decode_responses": BYTES_REMEDY,
    "encoding": BYTES_REMEDY,
    "encoding_errors": BYTES_REMEDY,
    "socket_timeout": "set redis_timeout_s",
    "socket_connect_timeout": "set redis_timeout_s",
    "timeout": "set redis_timeout_s",
    "retry": "set redis_retry_s",
    "retry_on_timeout": "set redis_retry_s",
    "retry_on_error": "set redis_retry_s",
    "health_check_interval": "redis_timeout_s detects a dead connection; leave it out",
    "max_connections": CONNECTIONS_REMEDY,
    "single_connection_client": CONNECTIONS_REMEDY,
    "read_from_replicas": "a replica may be behind its primary; leave it out",
    "host": "write the host before the path",
    "port": "write the port after the host",
    "path": "write the path of a socket after unix://",
}


def split_url(url: str) -> SplitResult:
    """Split a URL that may name several hosts.

    ``urlsplit`` of Python 3.14, and of the later releases of 3.12 and 3.13, refuses a list of hosts
    with an IPv6 address, so it does not see the hosts.

    Example:
        >>> split_url("redis+sentinel://u:p@a,[::1]:7/main/2").netloc
        'u:p@a,[::1]:7'
    """
    scheme, _, rest = url.partition("://")
    hosts = re.split("[/?#]", rest, maxsplit=1)[0]
    return urlsplit(f"{scheme}://{rest[len(hosts) :]}")._replace(netloc=hosts)


def check_options(url: str, shown: str) -> None:
    """Check path and query of a URL; an error names the option.

    Args:
        url: URL of a Redis of any kind.
        shown: The URL without its password, for messages.

    Raises:
        ConfigError: An option is not allowed, has no effect, or has an invalid value; or the
            database is not a number, or is named twice.
        ValueError: The query is malformed; the message does not cite it, because it may contain a
            part of a password.
    """
    parts = split_url(url)
    scheme, hosts = parts.scheme, parts.netloc.rpartition("@")[2]
    if "@" in parts.query or "#" in url:
        raise ValueError("a password contains a question mark or a hash")
    is_cluster = not scheme.endswith("+sentinel") and ("+cluster" in scheme or "," in hosts)
    database = "" if scheme.startswith("unix") else _database(parts.path, shown, scheme, is_cluster)
    values: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if not re.fullmatch("[A-Za-z_]+", name):
            raise ValueError("an option has no name")
        remedy = _remedy(name, scheme, is_cluster=is_cluster)
        if remedy is None and name in values:
            remedy = "it occurs twice"
        if remedy is None and not re.fullmatch(VALUE_PATTERNS.get(name, "(?s:.+)"), value):
            remedy = (
                f"its value is one of {VALUE_PATTERNS[name]}"
                if name in VALUE_PATTERNS
                else "it has no value"
            )
        if remedy is None and name == "db" and database not in ("", value):
            remedy = f"the path names database {database}"
        if remedy is not None:
            raise ConfigError(f"redis_url {shown}: its option {name} is refused: {remedy}")
        values[name] = value


def _database(path: str, shown: str, scheme: str, is_cluster: bool) -> str:
    """Return the number of the database in a path; empty if the path has none."""
    number = path.removeprefix("/")
    if scheme.endswith("+sentinel"):
        number = number.partition("/")[2]
    if number and not (number.isascii() and number.isdecimal()):
        raise ConfigError(
            f"redis_url {shown}: its path is refused: it must end in the number of a database"
        )
    if is_cluster and number.strip("0"):
        raise ConfigError(f"redis_url {shown}: its path is refused: a Redis Cluster has database 0")
    return number


def _remedy(name: str, scheme: str, *, is_cluster: bool) -> str | None:
    """Return why this kind of URL may not have an option, with a remedy; ``None`` if it may."""
    if name not in COMMON_OPTIONS | TLS_OPTIONS | SENTINEL_OPTIONS:
        known = ", ".join(sorted(COMMON_OPTIONS | TLS_OPTIONS | SENTINEL_OPTIONS))
        return REMEDIES.get(name, f"there is no such option; the options are {known}")
    if name in TLS_OPTIONS and not scheme.startswith("rediss"):
        return "it has an effect with TLS only; begin the URL with rediss"
    if name in SENTINEL_OPTIONS and not scheme.endswith("+sentinel"):
        return "it has an effect with redis+sentinel:// only"
    if is_cluster and name in NOT_CLUSTER_OPTIONS:
        return "a Redis Cluster has no such option; leave it out"
    return None
