"""What path and query of a ``redis_url`` may say: Redis' client ignores what it does not know.

The path is the number of a database, ``/0``; of Sentinels the primary's name and a number,
``/name/0``.  Other options of Redis' client than these would undo our own:

db, username, password, client_name, protocol (2 or 3)       of every kind of URL
ssl_ca_certs, ssl_ca_data, ssl_certfile, ssl_keyfile,         with TLS (rediss)
ssl_cert_reqs, ssl_check_hostname, ssl_ciphers,
ssl_min_version (771: TLS 1.2, 772: TLS 1.3)
ssl_ca_path, ssl_password                                     with TLS, but of a cluster
sentinel_username, sentinel_password                          of Sentinels
"""

import re
from urllib.parse import parse_qsl, urlsplit

from stream_rnn.errors import ConfigError

ANY = {"db", "username", "password", "client_name", "protocol"}
TLS = {
    *("ssl_ca_certs", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"),
    *("ssl_check_hostname", "ssl_ciphers", "ssl_min_version", "ssl_ca_path", "ssl_password"),
}
SENTINEL = {"sentinel_username", "sentinel_password"}
NOT_OF_A_CLUSTER = {"ssl_ca_path", "ssl_password", "db"}
VALUES = {
    "db": r"\d+",
    "protocol": "[23]",
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": "true|false",
    "ssl_min_version": "771|772",
}
BYTES = "hidden states are bytes; leave it out"
OURS = "a worker keeps as many connections as it needs; leave it out"
REMEDIES = {
    "decode_responses": BYTES,
    "encoding": BYTES,
    "encoding_errors": BYTES,
    "socket_timeout": "set redis_timeout_s",
    "socket_connect_timeout": "set redis_timeout_s",
    "timeout": "set redis_timeout_s",
    "retry": "set redis_retry_s",
    "retry_on_timeout": "set redis_retry_s",
    "retry_on_error": "set redis_retry_s",
    "health_check_interval": "redis_timeout_s finds a dead connection; leave it out",
    "max_connections": OURS,
    "single_connection_client": OURS,
    "read_from_replicas": "a replica may be behind its primary; leave it out",
    "host": "the host stands before the path",
    "port": "the port stands after the host",
    "path": "the path of a socket stands after unix://",
}


def check_options(url: str, shown: str) -> None:
    """Refuse what path and query of a URL may not say, by its name.

    Args:
        url: of a Redis of any kind.
        shown: the same without its password, for messages.

    Raises:
        ConfigError: an option is not allowed, has no effect, or has another value than it may; the
            database is named by nothing that is a number, or twice.
        ValueError: the query is none; a part of a password may be in it, so it is not cited.
    """
    parts = urlsplit(url)
    scheme, hosts = parts.scheme, parts.netloc.rpartition("@")[2]
    if "@" in parts.query or "#" in url:
        raise ValueError("a password holds a question mark, or a hash")
    is_cluster = not scheme.endswith("+sentinel") and ("+cluster" in scheme or "," in hosts)
    database = "" if scheme.startswith("unix") else _database(parts.path, shown, scheme, is_cluster)
    given: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if not re.fullmatch("[A-Za-z_]+", name):
            raise ValueError("an option has no name")
        remedy = _remedy(name, scheme, is_cluster=is_cluster)
        if remedy is None and name in given:
            remedy = "it stands there twice"
        if remedy is None and not re.fullmatch(VALUES.get(name, "(?s:.+)"), value):
            remedy = f"its value is one of {VALUES[name]}" if name in VALUES else "it has no value"
        if remedy is None and name == "db" and database not in ("", value):
            remedy = f"the path names database {database}"
        if remedy is not None:
            raise ConfigError(f"redis_url {shown}: its option {name} is refused: {remedy}")
        given[name] = value


def _database(path: str, shown: str, scheme: str, is_cluster: bool) -> str:  # of two
    """Return the number of a database in a path; empty if there is none."""
    number = path.removeprefix("/")
    if scheme.endswith("+sentinel"):
        number = number.partition("/")[2]
    if number and not (number.isascii() and number.isdecimal()):
        raise ConfigError(f"redis_url {shown}: its path is refused: it ends in a database's number")
    if is_cluster and number.strip("0"):
        raise ConfigError(f"redis_url {shown}: its path is refused: a Redis Cluster has database 0")
    return number


def _remedy(name: str, scheme: str, *, is_cluster: bool) -> str | None:
    """Return why a kind of URL may not have an option, and what to do; ``None`` if it may."""
    if name not in ANY | TLS | SENTINEL:
        known = ", ".join(sorted(ANY | TLS | SENTINEL))
        return REMEDIES.get(name, f"it is not known here; known are {known}")
    if name in TLS and not scheme.startswith("rediss"):
        return "it has an effect with TLS only; begin the URL with rediss"
    if name in SENTINEL and not scheme.endswith("+sentinel"):
        return "it has an effect with redis+sentinel:// only"
    if is_cluster and name in NOT_OF_A_CLUSTER:
        return "a Redis Cluster has no such option; leave it out"
    return None
