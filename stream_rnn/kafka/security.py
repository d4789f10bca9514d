"""The security options of aiokafka's clients, from the settings of a Kafka config."""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aiokafka.abc import AbstractTokenProvider

from stream_rnn.errors import ConfigError
from stream_rnn.kafka import strimzi
from stream_rnn.kafka.aws import MODULE as AWS_MODULE
from stream_rnn.kafka.aws import AwsIdentity
from stream_rnn.kafka.client_credentials import TIMEOUT_S, ClientCredentials
from stream_rnn.kafka.config_rules import drop_unused
from stream_rnn.kafka.properties import Jaas, parse_jaas
from stream_rnn.kafka.tls import make_ssl_context
from stream_rnn.kafka.tokens import CachedTokens

ALLOWED = {
    "security.protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl.mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"),
    "ssl.truststore.type": ("PEM", "JKS", "PKCS12"),  # a Java store is refused with its remedy
    "ssl.keystore.type": ("PEM", "JKS", "PKCS12"),
    "ssl.endpoint.identification.algorithm": ("HTTPS", "", "NONE"),
    "sasl.oauthbearer.method": ("OIDC",),
    "sasl.oauthbearer.header.urlencode": ("TRUE", "FALSE"),
    "sasl.oauthbearer.grant.type": ("CLIENT_CREDENTIALS",),
    "sasl.oauthbearer.metadata.authentication.type": ("NONE",),
    "enable.sasl.oauthbearer.unsecure.jwt": ("FALSE",),
}
CLASSES = {  # Java classes whose work is done here
    "sasl.login.callback.handler.class": (
        "OAuthBearerLoginCallbackHandler",
        "IAMOAuthBearerLoginCallbackHandler",
        strimzi.HANDLER,
    ),
    "sasl.client.callback.handler.class": (
        "IAMClientCallbackHandler",
        "OAuthBearerSaslClientCallbackHandler",
    ),
    "sasl.oauthbearer.jwt.retriever.class": (
        "ClientCredentialsJwtRetriever",
        "DefaultJwtRetriever",
        "FileJwtRetriever",
    ),
}
PASSWORD_MODULES = ("PlainLoginModule", "ScramLoginModule")
OAUTH_MODULE = "OAuthBearerLoginModule"
OWN_PROVIDER = "or pass token_provider to StreamRNN or PredictionReader"
EXTENSION = "extension_"
GOOGLE_HANDLER = "GcpLoginCallbackHandler"


def check_values(config: Mapping[str, str], path: str) -> None:
    """Refuse values that are not supported.

    Raises:
        ConfigError: A value is not supported.
    """
    for name, value in config.items():
        if value.upper() not in ALLOWED.get(name, (value.upper(),)):
            allowed = ", ".join(choice or "(empty)" for choice in ALLOWED[name])
            raise ConfigError(
                f"{path}: {name} = {value} is not supported; supported values are {allowed}"
            )
        if name in CLASSES and value.rpartition(".")[2] not in CLASSES[name]:
            raise ConfigError(_refuse_class(name, value.rpartition(".")[2], path))


def _refuse_class(name: str, java_class: str, path: str) -> str:
    if java_class == GOOGLE_HANDLER:
        return (
            f"{path}: {name} names {GOOGLE_HANDLER} of Google, a Java class that does not run here; "
            "set sasl.mechanism=PLAIN with the e-mail address of a service account as user and its "
            f"key file in base64 as password, {OWN_PROVIDER}"
        )
    return (
        f"{path}: {name} names a Java class that does not run here; supported are "
        f"{', '.join(CLASSES[name])}; {OWN_PROVIDER}"
    )


def security_options(
    config: Mapping[str, str], path: str, token_provider: AbstractTokenProvider | None = None
) -> dict[str, Any]:
    """Return the security options of aiokafka's clients.

    Args:
        config: Settings of the file, by Java's names.
        path: Path of the file, for messages.
        token_provider: Provider of tokens instead of the file's login; ``None`` for the file's.

    Raises:
        ConfigError: A setting is missing, has no effect, or names a file that cannot be read.
    """
    default = "PLAINTEXT" if token_provider is None else "SASL_SSL"
    protocol = config.get("security.protocol", default).upper()
    check_values({"security.protocol": protocol}, path)
    config = drop_unused(config, protocol, path)
    check_values(config, path)
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = make_ssl_context(config, path)
    if protocol.startswith("SASL"):
        options |= _login(config, path, token_provider)
    elif token_provider is not None:
        raise ConfigError(
            f"{path}: a token_provider has no effect with security.protocol {protocol}; set "
            "SASL_SSL, or remove one of them"
        )
    return options


def _login(
    config: Mapping[str, str], path: str, token_provider: AbstractTokenProvider | None
) -> dict[str, Any]:
    jaas = parse_jaas(config.get("sasl.jaas.config", ""))
    mechanism = config.get("sasl.mechanism", "").upper()
    if not mechanism:
        is_token = token_provider is not None or jaas.module in {OAUTH_MODULE, AWS_MODULE}
        mechanism = "OAUTHBEARER" if is_token else "PLAIN"
    if mechanism in {"OAUTHBEARER", "AWS_MSK_IAM"}:
        provider = token_provider or _token_provider(config, jaas, mechanism, path)
        return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}
    if token_provider is not None:
        raise ConfigError(
            f"{path}: a token_provider has no effect with sasl.mechanism {mechanism}; set "
            "OAUTHBEARER, or remove one of them"
        )
    if jaas.module and jaas.module not in PASSWORD_MODULES:
        raise ConfigError(
            f"{path}: sasl.jaas.config of {mechanism} must be of {' or '.join(PASSWORD_MODULES)}"
        )
    username = config.get("sasl.username", jaas.options.get("username"))
    password = config.get("sasl.password", jaas.options.get("password"))
    if not username or password is None:
        raise ConfigError(
            f"{path}: SASL needs a user and a password, in sasl.jaas.config or as sasl.username "
            "and sasl.password"
        )
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": username,
        "sasl_plain_password": password,
    }


def _token_provider(
    config: Mapping[str, str], jaas: Jaas, mechanism: str, path: str
) -> AbstractTokenProvider:
    handlers = [config.get(name, "").rpartition(".")[2] for name in CLASSES]
    is_aws = any(handler.startswith("IAM") for handler in handlers)
    if mechanism == "AWS_MSK_IAM" or jaas.module == AWS_MODULE or is_aws:
        servers = config.get("bootstrap.servers", "")
        identity = AwsIdentity.of(jaas.options, servers, path)
        return CachedTokens(identity.fetch, source=f"AWS IAM of {identity.region}")
    if jaas.module not in {"", OAUTH_MODULE}:
        raise ConfigError(
            f"{path}: sasl.jaas.config of OAUTHBEARER must be of {OAUTH_MODULE} or {AWS_MODULE}"
        )
    jaas = Jaas(jaas.module, strimzi.kafka_options(jaas.options, path))
    client = _client(config, jaas, path)
    return CachedTokens(client.fetch, _extensions(config, jaas, path), source=client.shown_url)


def _client(config: Mapping[str, str], jaas: Jaas, path: str) -> ClientCredentials:
    url = config.get(strimzi.TOKEN_URL, jaas.options.get(strimzi.TOKEN_URL, ""))
    scheme = urlsplit(url).scheme
    handler = config.get("sasl.login.callback.handler.class", "").rpartition(".")[2]
    if scheme not in {"https", "http", "file"}:
        if handler == strimzi.HANDLER:
            raise ConfigError(
                f"{path}: {handler} needs oauth.token.endpoint.uri in sasl.jaas.config, which begins "
                "with https://; stream_rnn reads no environment variables of Strimzi"
            )
        raise ConfigError(
            f"{path}: OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url, which begins with "
            f"https://, or with file:// for a token in a file; {OWN_PROVIDER}"
        )
    if "@" in urlsplit(url).netloc:
        raise ConfigError(
            f"{path}: sasl.oauthbearer.token.endpoint.url must not have a user or password before "
            "the host: write clientId and clientSecret into sasl.jaas.config"
        )
    prefix = "sasl.oauthbearer.client.credentials.client."
    identity = config.get(f"{prefix}id", jaas.options.get("clientId", ""))
    secret = config.get(f"{prefix}secret", jaas.options.get("clientSecret", ""))
    if scheme != "file" and not (identity and secret):
        is_strimzi = handler == strimzi.HANDLER
        names = (
            "oauth.client.id and oauth.client.secret" if is_strimzi else "clientId and clientSecret"
        )
        raise ConfigError(
            f"{path}: OAUTHBEARER needs {names}, in sasl.jaas.config or as "
            f"{prefix}id and {prefix}secret; {OWN_PROVIDER}"
        )
    return ClientCredentials(
        url=url,
        client_id=identity,
        client_secret=secret,
        scope=config.get("sasl.oauthbearer.scope", jaas.options.get("scope")),
        audience=jaas.options.get("audience"),
        context=_endpoint_context(config, jaas, path),
        timeout_s=_timeout_s(config, path),
        is_url_encoded=config.get("sasl.oauthbearer.header.urlencode", "").upper() == "TRUE",
    )


def _endpoint_context(config: Mapping[str, str], jaas: Jaas, path: str) -> ssl.SSLContext:
    """Return the TLS options of the token endpoint, which Java takes from the login's options."""
    tls = {name: value for name, value in jaas.options.items() if name.startswith("ssl.")}
    if "https.ca.location" in config:
        tls.setdefault("ssl.ca.location", config["https.ca.location"])
    if "https.ca.pem" in config:
        tls.setdefault("ssl.truststore.certificates", config["https.ca.pem"])
    return make_ssl_context(tls, path)


def _timeout_s(config: Mapping[str, str], path: str) -> float:
    names = ("sasl.login.connect.timeout.ms", "sasl.login.read.timeout.ms")
    try:
        limits = [int(config[name]) for name in names if name in config]
    except ValueError as error:
        raise ConfigError(f"{path}: {' and '.join(names)} are numbers of milliseconds") from error
    return max(limits) / 1000 if limits and max(limits) > 0 else TIMEOUT_S


def _extensions(config: Mapping[str, str], jaas: Jaas, path: str) -> dict[str, str]:
    extensions = {
        name.removeprefix(EXTENSION): value
        for name, value in jaas.options.items()
        if name.startswith(EXTENSION)
    }
    for pair in filter(None, config.get("sasl.oauthbearer.extensions", "").split(",")):
        name, _, value = pair.partition("=")
        extensions[name.strip()] = value.strip()
    for name, value in extensions.items():
        if not (name.isascii() and name.isalpha()) or name == "auth" or not value.isprintable():
            raise ConfigError(
                f"{path}: the SASL extension {name!r} is not valid: its name has letters only, "
                "and its value printable characters"
            )
    return extensions
