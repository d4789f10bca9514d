"""Options of every Kafka client, from settings and a java.properties file.

A ``--kafka-config`` file uses the names of Kafka's Java clients, so that both can share a file.
No message of this module contains a password.
"""

import re
import ssl
from pathlib import Path
from typing import Any, cast

import javaproperties
from aiokafka.conn import get_ip_port_afi
from aiokafka.helpers import create_ssl_context

from stream_rnn.errors import ConfigError, reason

CONFIG_BYTES_MAX = 1_000_000

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
_SPACE = "".join(map(chr, range(0x21)))  # what Java trims
# An option as Java's StreamTokenizer reads it
_JAAS = re.compile(
    r"""([^\x00-\x20=;"']+)[\x00-\x20]*=[\x00-\x20]*"""
    r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\x00-\x20;"']+))""",
    re.DOTALL,
)
_JAAS_ESCAPE = re.compile(r"\\([0-3][0-7]{0,2}|[4-7][0-7]?|.)", re.DOTALL)
_JAAS_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HOST = re.compile(r"[^\s/@]+")
_LOGIN_MODULES = ("PlainLoginModule", "ScramLoginModule")


def kafka_options(bootstrap_servers: str, config_file: str | None = None) -> dict[str, Any]:
    """Return options for every aiokafka client.

    Args:
        bootstrap_servers: Comma-separated ``host:port`` of brokers.
        config_file: Path of a java.properties file; ``None`` for PLAINTEXT without a user.

    Raises:
        ConfigError: A server is not ``host:port``, or the file is missing, or has an unknown name
            or value.
    """
    options: dict[str, Any] = {"bootstrap_servers": parse_servers(bootstrap_servers)}
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


def parse_servers(bootstrap_servers: str) -> list[str]:
    """Return the brokers of a comma-separated list.

    Raises:
        ConfigError: There is none, or one is not ``host:port``.
    """
    servers = [server.strip() for server in bootstrap_servers.split(",") if server.strip()]
    if not servers:
        raise ConfigError("bootstrap_servers is empty; name a broker as host:port")
    for server in servers:
        try:
            host, port, _ = get_ip_port_afi(server)
            is_valid = 0 < port < 65_536 and _HOST.fullmatch(host) and host.encode("idna")
        except ValueError:  # such as a port that is not a number, or a name with two dots
            is_valid = False
        if not is_valid:
            raise ConfigError(
                f"bootstrap_servers has {server!r}, which is not host:port, such as 127.0.0.1:9092"
            )
    return servers


def faust_credentials(config_file: str | None) -> Any:
    """Return ``app.conf.broker_credentials`` of Faust for a config file; ``None`` for PLAINTEXT."""
    import faust  # noqa: PLC0415  # readers of predictions need no Faust

    options = kafka_options("unused", config_file)
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
    """Read a java.properties file, and refuse unknown names, which may be typing errors.

    Raises:
        ConfigError: The file cannot be read, or has an unknown name or value.
    """
    try:
        if Path(path).stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(f"{path} is larger than {CONFIG_BYTES_MAX} bytes: not a Kafka config")
        text = Path(path).read_text(encoding="utf-8-sig")  # editors may write a BOM
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the Kafka config {path}: {reason(error)}") from error
    try:
        # Kafka's Java clients trim values, too.
        properties = {
            name: value.strip(_SPACE) for name, value in javaproperties.loads(text).items()
        }
    except javaproperties.InvalidUEscapeError:  # the escape may be part of a password
        raise ConfigError(f"{path}: four hexadecimal digits must follow \\u") from None
    for name, value in properties.items():
        if name not in KNOWN:
            raise ConfigError(
                f"{path}: {name} is not supported; the supported names are {', '.join(KNOWN)}"
            )
        if value.upper() not in ALLOWED.get(name, (value.upper(),)):
            allowed = ", ".join(choice or "(empty)" for choice in ALLOWED[name])
            raise ConfigError(
                f"{path}: {name} = {value} is not supported; supported values are {allowed}"
            )
    return properties


def _refuse_unused(config: dict[str, str], protocol: str, path: str) -> None:
    """Refuse options of SASL or TLS that the security protocol would ignore."""
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
    login = {
        name: _JAAS_ESCAPE.sub(_unescape, double or single) or bare
        for name, double, single, bare in _JAAS.findall(jaas)
    }
    username = config.get("sasl.username", login.get("username"))
    password = config.get("sasl.password", login.get("password"))
    if not username or password is None:
        raise ConfigError(
            f"{path}: SASL needs a user and a password, in sasl.jaas.config or as sasl.username "
            "and sasl.password"
        )
    return username, password


def _unescape(escape: re.Match[str]) -> str:
    """Return what an escape in a quoted value stands for: a backslash, and a letter or an octal."""
    text = escape[1]
    return chr(int(text, 8)) if text[0] in "01234567" else _JAAS_LETTERS.get(text, text)


def _ssl_context(config: dict[str, str], path: str) -> ssl.SSLContext:
    key = config.get("ssl.keystore.location")
    try:
        context = create_ssl_context(
            cafile=config.get("ssl.truststore.location", config.get("ssl.ca.location")),
            certfile=key,
            keyfile=key,
            # Without a password OpenSSL would prompt for one on the terminal.
            password=config.get("ssl.key.password", ""),
        )
    except (OSError, ssl.SSLError) as error:
        message = f"{path}: cannot load its certificates: {reason(error)}"
        raise ConfigError(f"{message}; they must be readable PEM files") from error
    if config.get("ssl.endpoint.identification.algorithm") == "":
        context.check_hostname = False
    return cast("ssl.SSLContext", context)
