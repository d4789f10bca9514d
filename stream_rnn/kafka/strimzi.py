"""The login options of Strimzi's OAuth library for Kafka clients, by the names of Kafka's own.

Strimzi's handler takes every option from ``sasl.jaas.config``, also the URL of the token endpoint.
It takes environment variables, too, such as ``OAUTH_CLIENT_SECRET``; stream_rnn does not.
"""

from collections.abc import Mapping
from pathlib import Path

from stream_rnn.errors import ConfigError

HANDLER = "JaasClientOauthLoginCallbackHandler"
PREFIX = "oauth."
TOKEN_URL = "sasl.oauthbearer.token.endpoint.url"  # noqa: S105  # the name of a setting
TOKEN_FILE = "oauth.access.token.location"  # noqa: S105  # the name of an option
NAMES = {
    "oauth.token.endpoint.uri": TOKEN_URL,
    "oauth.client.id": "clientId",
    "oauth.client.secret": "clientSecret",
    "oauth.scope": "scope",
    "oauth.audience": "audience",
    "oauth.ssl.truststore.location": "ssl.truststore.location",
    "oauth.ssl.truststore.certificates": "ssl.truststore.certificates",
    "oauth.ssl.truststore.type": "ssl.truststore.type",
    "oauth.ssl.endpoint.identification.algorithm": "ssl.endpoint.identification.algorithm",
}
EXTENSION = "oauth.sasl.extension."
_OTHER_LOGINS = (
    "oauth.access.token",
    "oauth.refresh.token",
    "oauth.refresh.token.location",
    "oauth.password.grant.username",
    "oauth.password.grant.password",
    "oauth.client.assertion",
    "oauth.client.assertion.location",
)


def kafka_options(options: Mapping[str, str], path: str) -> dict[str, str]:
    """Return login options by the names of Kafka's own; those that are not Strimzi's stay.

    Args:
        options: Options of ``sasl.jaas.config``.
        path: Path of the config, for messages.

    Raises:
        ConfigError: An option asks for a login other than by a client secret or a token in a file.
    """
    named = {name: value for name, value in options.items() if not name.startswith(PREFIX)}
    for name, value in options.items():
        if name in NAMES:
            named.setdefault(NAMES[name], value)
        elif name == TOKEN_FILE:
            named[TOKEN_URL] = Path(value).absolute().as_uri()
        elif name.startswith(EXTENSION):
            named.setdefault(f"extension_{name.removeprefix(EXTENSION)}", value)
        elif name in _OTHER_LOGINS:
            raise ConfigError(
                f"{path}: sasl.jaas.config has {name}, a login that stream_rnn does not take from "
                "Strimzi; log in with oauth.client.id and oauth.client.secret, with a token in a "
                f"file ({TOKEN_FILE}), or with a token_provider"
            )
    return named
