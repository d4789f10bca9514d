"""Options of every Kafka client, from settings and a java.properties file.

A ``--kafka-config`` file uses the names of Kafka's Java clients, so that both can share a file.
No message of this module contains a password.
"""

import re
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import get_ip_port_afi

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.credentials import ConfigFile, Credentials, FileCredentials
from stream_rnn.kafka.tls import make_ssl_context
from stream_rnn.kafka.tokens import OwnTokens
from stream_rnn.settings import DEFAULT_SERVERS, Settings

_HOST = re.compile(r"[^\s/@]+")
_PROTOCOL = re.compile("^[A-Z_]+://")


def connection_options(settings: Settings) -> dict[str, Any]:
    """Return options for every aiokafka client, as settings name them.

    Raises:
        ConfigError: A server is not ``host:port``, or the config file is invalid.
    """
    return kafka_options(settings.explicit_servers, settings.kafka_config)


def kafka_options(
    bootstrap_servers: str | None,
    config_file: str | None = None,
    token_provider: AbstractTokenProvider | None = None,
) -> dict[str, Any]:
    """Return options for every aiokafka client.

    Args:
        bootstrap_servers: Comma-separated ``host:port`` of brokers; ``None`` for those of the file.
        config_file: Path of a java.properties file; ``None`` for PLAINTEXT without a user.
        token_provider: Provider of OAUTHBEARER tokens; ``None`` for the login of the file.

    Raises:
        ConfigError: A server is not ``host:port``, or the file is missing, or has an unknown name
            or value.
    """
    own = None if token_provider is None else OwnTokens(token_provider)
    if config_file is not None:
        credentials: Credentials = FileCredentials(config_file, bootstrap_servers, own)
    elif own is not None:
        credentials = token_credentials(own)
    else:
        credentials = Credentials({"security_protocol": "PLAINTEXT"})
    file = credentials.file if isinstance(credentials, FileCredentials) else None
    servers = bootstrap_servers
    if servers is None:
        servers = (file and file.servers) or DEFAULT_SERVERS
    options: dict[str, Any] = {
        "bootstrap_servers": parse_servers(servers),
        **credentials.options(),
        "credentials": credentials,
    }
    if file is not None and file.client_id is not None:
        options["client_id"] = file.client_id
    return options


def token_credentials(provider: AbstractTokenProvider, context: Any = None) -> Credentials:
    """Return credentials of tokens alone, over TLS with the given context or the system's."""
    return Credentials(
        {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_token_provider": provider,
            "ssl_context": context or make_ssl_context({}, ""),
        }
    )


def config_notes(settings: Settings) -> tuple[str | None, str | None]:
    """Return a line for the ignored names of the config, and one for brokers in two places.

    Raises:
        ConfigError: The config is missing, or has an unknown name.
    """
    path, servers = settings.kafka_config, settings.explicit_servers
    if path is None:
        return None, None
    file = ConfigFile.read(path)
    conflict = None
    if servers and file.servers and parse_servers(servers) != parse_servers(file.servers):
        conflict = (
            f"--bootstrap-servers {servers} takes precedence over bootstrap.servers "
            f"{file.servers} of {path}"
        )
    return file.note, conflict


def parse_servers(bootstrap_servers: str) -> list[str]:
    """Return the brokers of a comma-separated list, without Java's ``SASL_SSL://`` before them.

    Raises:
        ConfigError: There is none, or one is not ``host:port``.
    """
    _, at, address = bootstrap_servers.rpartition("@")
    if at:  # the login may contain a password, also with a comma
        raise ConfigError(
            f"bootstrap_servers has {f'***@{address}'!r}, which is not host:port; a login belongs "
            "into sasl.jaas.config"
        )
    written = [server.strip() for server in bootstrap_servers.split(",")]
    servers = [_PROTOCOL.sub("", server) for server in written if server]
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


def faust_credentials(credentials: Credentials) -> Any:
    """Return ``app.conf.broker_credentials`` of Faust; ``None`` for PLAINTEXT.

    Its attribute ``source`` is the argument, from which the clients of the app read again.
    """
    import faust  # noqa: PLC0415  # readers of predictions need no Faust

    options = credentials.options()
    context = options.get("ssl_context")
    made: Any = None
    if "sasl_oauth_token_provider" in options:
        provider = options["sasl_oauth_token_provider"]
        made = faust.OAuthCredentials(oauth_cb=provider, ssl_context=context)
    elif "sasl_mechanism" in options:
        made = faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    elif context is not None:
        made = faust.SSLCredentials(context)
    if made is not None:
        made.source = credentials
    return made
