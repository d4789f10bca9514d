"""Credentials of Kafka clients that may change while the clients run.

The security options of a Kafka config are read again before each new connection, if the file or a
certificate that it names has changed.  So a rotated secret serves the next connection, and what is
connected stays so.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from stream_rnn.errors import ConfigError, UnreachableError, reason
from stream_rnn.kafka.config_names import ALIASES
from stream_rnn.kafka.config_rules import check_names, ignored_note, unused_names
from stream_rnn.kafka.placeholders import check_placeholders
from stream_rnn.kafka.properties import read_properties
from stream_rnn.kafka.security import security_options
from stream_rnn.kafka.tls import FILES
from stream_rnn.kafka.tokens import OwnTokens, TokenError
from stream_rnn.kafka.value_texts import check_value_texts

logger = getLogger(__name__)

READ_WITHIN_S = 5.0
REFUSALS_GAP_S = 60.0
"""Seconds between two refusals after which the second one begins a new row."""

REFUSALS = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TokenError,
    UnsupportedSaslMechanismError,
    ssl.SSLError,
)
"""Errors of a connection whose credentials or certificates do not serve."""
LOST = (ssl.SSLEOFError, ssl.SSLSyscallError, ssl.SSLZeroReturnError)
"""Errors of TLS that say nothing of certificates: a broker that shuts down closes its connections."""


class SecretOptions(dict[str, Any]):
    """Options of a client, whose representation has their names only."""

    def __repr__(self) -> str:
        """Return a text without the values."""
        return f"SecretOptions({[*self]})"


class Credentials:
    """The security options of clients, and whether the brokers accept them.

    Args:
        options: Security options of aiokafka's clients.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self, options: Mapping[str, Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = SecretOptions(options)
        self._clock = clock
        self._refused_s: tuple[float, float] | None = None  # first and latest of a row of refusals
        self._refusal: BaseException | None = None

    def options(self) -> dict[str, Any]:
        """Return the options as they were read last."""
        return self._options

    async def read(self) -> dict[str, Any]:
        """Return the options of the next connection."""
        return self._options

    def record(self, error: BaseException | None) -> None:
        """Record the outcome of a connection: an error, or ``None`` for a success."""
        if isinstance(error, REFUSALS) and not isinstance(error, LOST):
            now_s = self._clock()
            first_s, last_s = self._refused_s or (now_s, now_s)
            self._refused_s = (first_s if now_s - last_s <= REFUSALS_GAP_S else now_s, now_s)
            self._refusal = error
        elif error is None:  # any other error, such as that of a dead broker, is no answer
            self._refused_s = self._refusal = None

    def refusal(self, for_s: float) -> str | None:
        """Return a message if the brokers have refused every connection for ``for_s`` seconds.

        The outcomes of connections count, not the time: a client whose connections all serve may
        open no new one for a long time after one refusal.
        """
        refused_s, refusal = self._refused_s, self._refusal
        if refused_s is None or refusal is None or refused_s[1] - refused_s[0] < for_s:
            return None
        return (
            f"Kafka has refused every new connection for {for_s:g} s ({reason(refusal)}); check the "
            "credentials and certificates, which are read again for each connection"
        )

    def report_failure(self, for_s: float, on_failure: Callable[[BaseException], None]) -> None:
        """Report an error if the brokers have refused every connection for ``for_s`` seconds."""
        message = self.refusal(for_s)
        if message is not None:
            on_failure(UnreachableError(message))

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call the token provider of the app's owner, if there is one, on this event loop."""
        provider = self._options.get("sasl_oauth_token_provider")
        if isinstance(provider, OwnTokens):
            provider.use_loop(loop)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The content of a Kafka config.

    Attributes:
        servers: Value of ``bootstrap.servers``; empty if the file has none.
        client_id: Value of ``client.id``; ``None`` if the file has none.
        note: Line that lists the ignored names; ``None`` if there are none.
        settings: The settings that have an effect, by Java's names.
    """

    servers: str
    client_id: str | None
    note: str | None
    settings: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, path: str) -> "ConfigFile":
        """Read a file.

        Raises:
            ConfigError: The file cannot be read, or has an unknown name.
        """
        properties = read_properties(path)
        known = check_names(properties, path)
        check_value_texts(path, {"security.protocol"})  # it decides which others have an effect
        protocol = known.get("security.protocol", "").upper()
        unused = {*unused_names(known, protocol)} if protocol else set()
        used = known.keys() - unused
        check_placeholders(properties, used, path)
        check_value_texts(path, {name for name in properties if ALIASES.get(name, name) in used})
        return cls(
            known.get("bootstrap.servers", ""),
            known.get("client.id"),
            ignored_note(properties, path),
            known,
        )


class FileCredentials(Credentials):
    """The security options of a Kafka config, read again when a file changes.

    Args:
        path: Path of the config.
        servers: Brokers to connect to; ``None`` for those of the file.
        token_provider: Provider of tokens instead of the login of the file.

    Attributes:
        file: Content of the config at the start.

    Raises:
        ConfigError: The config is missing or invalid.
    """

    def __init__(
        self,
        path: str,
        servers: str | None = None,
        token_provider: AbstractTokenProvider | None = None,
    ) -> None:
        self._path = path
        self._servers = servers
        self._token_provider = token_provider
        self._lock = threading.Lock()
        self._versions: dict[str, object] = {}
        self.file = ConfigFile.read(path)
        super().__init__(self._read(self.file))

    def _read(self, file: ConfigFile) -> dict[str, Any]:
        servers = self._servers or file.servers
        settings = {**file.settings, "bootstrap.servers": servers}
        paths = {settings[name] for name in FILES if name in settings}
        # Before the files are read, so that a change while they are read is seen later.
        self._versions = {path: _version(path) for path in (self._path, *paths)}
        return security_options(settings, self._path, self._token_provider)

    async def read(self) -> dict[str, Any]:
        """Return the options of the next connection, read again if a file has changed.

        A file that is being written may be invalid, and a mounted one may not answer: then the
        previous options serve.
        """
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await asyncio.to_thread(self._read_again)
        except TimeoutError:
            logger.warning("the Kafka config is not read within %g s", READ_WITHIN_S)
            return self._options

    def _read_again(self) -> dict[str, Any]:
        """Read in a thread, one at a time; the event loops of an app share the options."""
        if not self._lock.acquire(timeout=READ_WITHIN_S):
            return self._options
        try:
            if all(_version(path) == version for path, version in self._versions.items()):
                return self._options
            try:
                self._options = SecretOptions(self._read(ConfigFile.read(self._path)))
            except ConfigError as error:
                logger.warning("the Kafka config is not read again: %s", reason(error))
            else:
                logger.info("Kafka config read again file=%s", self._path)
            return self._options
        finally:
            self._lock.release()


def _version(path: str) -> object:
    """Return what changes when a file does; ``None`` for a file that is missing."""
    try:
        status = Path(path).stat()  # follows the link that Kubernetes replaces
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
