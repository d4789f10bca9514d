"""The address and the login of a schema registry, from settings and a java.properties file.

The file has the names of Confluent's clients, in Java with the prefix ``schema.registry.``.  It may
also be the Kafka config: what belongs to brokers is ignored here.  No message contains a secret.
"""

import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, unquote, urlsplit

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.config_names import ALIASES, IGNORED, INSTEAD, KNOWN
from stream_rnn.kafka.config_rules import unknown_names
from stream_rnn.kafka.placeholders import USER_INFO, check_placeholders
from stream_rnn.kafka.properties import read_properties
from stream_rnn.kafka.tls import make_ssl_context
from stream_rnn.kafka.value_texts import check_value_texts
from stream_rnn.settings import Settings

PREFIX = "schema.registry."
KEY_PASSWORD = "ssl.key.password"  # noqa: S105  # a name
URL = "schema.registry.url"
BASIC_SOURCE = "basic.auth.credentials.source"
BEARER_SOURCE = "bearer.auth.credentials.source"
TOKEN = "bearer.auth.token"  # noqa: S105  # a name
TOKEN_URL = "bearer.auth.issuer.endpoint.url"  # noqa: S105  # a name
CLIENT_ID, CLIENT_SECRET = "bearer.auth.client.id", "bearer.auth.client.secret"
SCOPE = "bearer.auth.scope"
CLUSTER, POOL = "bearer.auth.logical.cluster", "bearer.auth.identity.pool.id"
TLS = (
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    KEY_PASSWORD,
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.endpoint.identification.algorithm",
)
SUPPORTED = (
    *(URL, BASIC_SOURCE, USER_INFO, BEARER_SOURCE, TOKEN, TOKEN_URL, CLIENT_ID, CLIENT_SECRET),
    *(SCOPE, CLUSTER, POOL, *TLS),
)
SOURCES = {  # values of the two sources, and the names that each needs
    BASIC_SOURCE: {"USER_INFO": (USER_INFO,), "URL": ()},
    BEARER_SOURCE: {
        "STATIC_TOKEN": (TOKEN,),
        "OAUTHBEARER": (TOKEN_URL, CLIENT_ID, CLIENT_SECRET),
    },
}
_OWN_CLASS = "it names code to load: write a token into bearer.auth.token, with "
_OWN_CLASS += "bearer.auth.credentials.source=STATIC_TOKEN"
_PROXY = "set https_proxy in the environment of the process"
REFUSED = {  # names and values that another client serves, and what to do instead
    f"{BASIC_SOURCE}=SASL_INHERIT": "write basic.auth.credentials.source=USER_INFO, and the login "
    "into basic.auth.user.info=USER:PASSWORD",
    f"{BEARER_SOURCE}=SASL_OAUTHBEARER_INHERIT": "write bearer.auth.credentials.source=OAUTHBEARER "
    "with bearer.auth.issuer.endpoint.url, bearer.auth.client.id and bearer.auth.client.secret",
    f"{BEARER_SOURCE}=OAUTHBEARER_AZURE_IMDS": "log in with a client secret: "
    "bearer.auth.credentials.source=OAUTHBEARER",
    f"{BEARER_SOURCE}=CUSTOM": _OWN_CLASS,
    "bearer.auth.custom.provider.class": _OWN_CLASS,
    "bearer.auth.custom.provider.function": _OWN_CLASS,
    "proxy": _PROXY,
    "proxy.host": _PROXY,
    "proxy.port": _PROXY,
    "ssl.ca.pem": "write the certificates into a file, and name it with ssl.ca.location",
    "ssl.truststore.certificates": "write the certificates into a file, and name it with "
    "ssl.ca.location",
    "ssl.keystore.key": "write the key into a file, and name it with ssl.key.location",
    "ssl.keystore.certificate.chain": "write the chain into a file, and name it with "
    "ssl.certificate.location",
    "timeout": "see --schema-registry-timeout-s",
}
IGNORED_HERE = frozenset(
    """
    auto.register.schemas avro.reflection.allow.null avro.remove.java.properties
    bearer.auth.cache.expiry.buffer.seconds bearer.auth.scope.claim.name
    bearer.auth.sub.claim.name cache.capacity cache.latest.ttl.sec context.name.strategy
    id.compatibility.strict json.fail.invalid.schema json.value.type key.subject.name.strategy
    latest.cache.size latest.cache.ttl.sec latest.compatibility.strict max.retries
    max.schemas.per.subject normalize.schemas retries.max.wait.ms retries.wait.ms
    schema.format schema.reflection specific.avro.reader specific.protobuf.value.type
    ssl.key.store.password ssl.keystore.password ssl.truststore.password use.latest.version
    value.subject.name.strategy
    """.split()  # noqa: SIM905  # a list literal would have 30 lines
)
"""Names of serializers and of Java's client without an effect on reading."""
BROKERS = "bootstrap.servers"
"""A file with this name is a Kafka config, whose ``ssl.*`` without a prefix are for brokers."""


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """The address and the login of a registry.

    Attributes:
        urls: URLs without a login, of which the first that answers serves.
        login: User and password; ``None`` for none.
        bearer: Properties of a login by a token, empty without one.
        tls: Properties of TLS.
        path: Path of the file, empty without one.
        is_url_overridden: Whether the file has another URL, which the setting replaces.
    """

    urls: tuple[str, ...]
    login: tuple[str, str] | None = field(default=None, repr=False)
    bearer: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Mapping[str, str] = field(default_factory=dict, repr=False)
    path: str = ""
    is_url_overridden: bool = False

    @property
    def place(self) -> str:
        """The URLs, for messages."""
        return ",".join(self.urls)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may contain, the longest first."""
        found = [self.bearer.get(TOKEN, ""), self.bearer.get(CLIENT_SECRET, "")]
        found.append(self.tls.get(KEY_PASSWORD, ""))
        for name, secret in (self.login or ("", ""), self._client):
            if secret:
                pair = f"{name}:{secret}"
                sent = b64encode(pair.encode()).decode()  # as in the header ``Authorization``
                found += [sent.rstrip("="), pair, secret]
                found += [quote(secret, safe=""), quote(secret), quote_plus(secret)]
        return tuple(sorted({*filter(None, found)}, key=len, reverse=True))

    def mask(self, text: str, token: str = "") -> str:
        """Return a text of a registry or a library without secrets and without the user.

        Args:
            text: Text.
            token: Token of an endpoint, which is a secret, too; empty for none.
        """
        for secret in filter(None, (token, *self.secrets)):
            text = text.replace(secret, "***")
        user = re.escape(self.login[0]) if self.login else ""
        return re.sub(rf"(?<!\w){user}(?!\w)", "***", text) if user else text

    @property
    def _client(self) -> tuple[str, str]:
        """The id and the secret of a client that asks for tokens."""
        return self.bearer.get(CLIENT_ID, ""), self.bearer.get(CLIENT_SECRET, "")

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS options; ``None`` if no URL needs any.

        Raises:
            ConfigError: A certificate or key cannot be read.
        """
        if not any(url.startswith("https://") for url in self.urls):
            return None
        return make_ssl_context(self.tls, self.path or "schema_registry_url")


def read_registry_config(settings: Settings) -> RegistryConfig | None:
    """Return the address and the login that the settings name; ``None`` if they name none.

    Raises:
        ConfigError: The URL or the file is not valid.
    """
    secret, path = settings.schema_registry_url, settings.schema_registry_config
    if secret is None and path is None:
        return None
    return make_registry_config(secret.get_secret_value() if secret else None, path)


def make_registry_config(url: str | None, path: str | None = None) -> RegistryConfig:
    """Return the address and the login of a registry.

    Args:
        url: URLs, separated by commas; ``None`` for those of the file.
        path: Path of a java.properties file; ``None`` for none.

    Raises:
        ConfigError: The URL or the file is not valid.
    """
    properties = {} if path is None else _read(path)
    written = url if url is not None else properties.get(URL)
    if not written:
        raise ConfigError(f"{path} lacks {URL}; add it, or set --schema-registry-url")
    where = "schema_registry_url" if url is not None else f"{path}: {URL}"
    urls, login = _split_login(written, where)
    bearer = {name: text for name, text in properties.items() if name.startswith("bearer.")}
    if USER_INFO in properties:
        if login is not None:
            raise ConfigError(f"{path}: {USER_INFO} and {where} both have a login; remove one")
        user, colon, password = properties[USER_INFO].partition(":")
        if not colon:
            raise ConfigError(f"{path}: {USER_INFO} has no colon; write USER:PASSWORD")
        login = user, password
    if bearer and login is not None:
        raise ConfigError(f"{path}: a token and a password are two logins; remove one of them")
    if bearer and BEARER_SOURCE not in bearer:
        raise ConfigError(f"{path}: set {BEARER_SOURCE} to STATIC_TOKEN or OAUTHBEARER")
    return RegistryConfig(
        urls=urls,
        login=login,
        bearer=bearer,
        tls={name: text for name, text in properties.items() if name in TLS},
        path=path or "",
        is_url_overridden=url is not None and properties.get(URL, url) != url,
    )


def _read(path: str) -> dict[str, str]:
    """Return the supported properties of a file, by their names without a prefix."""
    written = read_properties(path, "schema registry config")
    found: dict[str, str] = {}
    used, unknown = [], set[str]()
    by_prefix = sorted(written, key=lambda name: name.startswith(PREFIX))  # Java's names win
    for name in by_prefix:
        plain = URL if name in (URL, "url") else name.removeprefix(PREFIX)
        if BROKERS in written and not name.startswith(PREFIX) and _is_of_brokers(plain):
            continue
        remedy = REFUSED.get(plain) or REFUSED.get(f"{plain}={written[name].upper()}")
        if remedy is not None:
            raise ConfigError(f"{path}: {name} is not supported: {remedy}")
        if plain in SUPPORTED:
            found[plain] = written[name]
            used.append(name)
        elif not _is_ignored(plain) and not _is_of_brokers(plain):
            unknown.add(name)
    if unknown:
        raise unknown_names(unknown, path, SUPPORTED, sorted(IGNORED_HERE))
    check_placeholders(written, used, path)
    check_value_texts(path, used)
    _check_sources(found, path)
    _check_headers(found, path)
    return found


def _check_headers(properties: Mapping[str, str], path: str) -> None:
    """Check the values that are sent as headers of HTTP."""
    for name in (TOKEN, CLUSTER, POOL):
        if not is_header_text(properties.get(name, "")):
            raise ConfigError(
                f"{path}: {name} has a line break, a blank or another character that no header of "
                "HTTP can have; write it in one line, as it was issued"
            )


def is_header_text(text: str) -> bool:
    """Return whether a token can be sent in a header: visible characters of ASCII alone."""
    return all("!" <= character <= "~" for character in text)


def _is_of_brokers(name: str) -> bool:
    return name in (*KNOWN, *ALIASES, *INSTEAD, *IGNORED) and name != URL


def _is_ignored(name: str) -> bool:
    return name in IGNORED_HERE or name.startswith(("rule.", "rules.", "schema.id."))


def _check_sources(properties: Mapping[str, str], path: str) -> None:
    """Check the sources of logins, and that the names are there that they need."""
    for name, choices in SOURCES.items():
        source = properties.get(name)
        if source is None:
            continue
        needed = choices.get(source.upper())
        if needed is None:
            raise ConfigError(f"{path}: {name} must be one of {', '.join(choices)}")
        if missing := [one for one in needed if not properties.get(one)]:
            raise ConfigError(f"{path}: {name}={source} needs {', '.join(missing)}")


def _split_login(written: str, where: str) -> tuple[tuple[str, ...], tuple[str, str] | None]:
    """Return URLs without a login, and the login; all URLs have the same one, or none."""
    urls: list[str] = []
    logins: list[tuple[str, str]] = []
    for url in filter(None, (part.strip().rstrip("/") for part in written.split(","))):
        if not url.startswith(("http://", "https://")):
            shown = "" if "@" in written else f" {url.partition('?')[0]}"
            raise ConfigError(f"{where}{shown} begins with neither http:// nor https://")
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            raise ConfigError(f"{where} has a port that is no number, or no valid host") from None
        if parts.query or parts.fragment or not parts.hostname:
            raise ConfigError(f"{where} must be https://HOST:PORT/PATH, without a query")
        if parts.username is not None:
            logins.append((unquote(parts.username), unquote(parts.password or "")))
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        urls.append(f"{parts.scheme}://{host}{port}{parts.path}")
    if not urls:
        raise ConfigError(f"{where} is empty; write https://HOST:PORT")
    if len({*logins}) > 1:
        raise ConfigError(f"{where} has several logins; all registries need the same one")
    return tuple(urls), logins[0] if logins else None
