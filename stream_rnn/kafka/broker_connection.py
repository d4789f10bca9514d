"""A connection to a broker: its login, and the end of its session.

*Login.*  A broker that refuses a token says so in a message of the exchange, not by an error
(RFC 7628).  aiokafka takes that message for success, and fails at the first request.  Here, each
refused login is an error that names the broker, the mechanism and the broker's reason.  A broker
that only closes the connection gives no reason; the error then lists what it may be.

*Sessions.*  A broker closes a connection that is used after its session has ended: the token has
expired, or ``connections.max.reauth.ms`` is over (KIP-368).  A connection knows when it must be
replaced; see ``client.py``.
"""

import json
import ssl
import time
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslAuthenticateRequest, SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from stream_rnn.kafka.tokens import CachedTokens, OwnTokens, TokenRejectedError

MARGIN_SHARE = 0.15  # of a session, before whose end its connection is replaced
MARGIN_S = 10.0
SESSION_SHARE_MIN = 0.5  # of a short session, in which its connection serves
DETAIL_LENGTH_MAX = 200
LOGIN_ERRORS = (IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError)
CLOSED_BY_PEER = (
    EOFError,
    ConnectionResetError,
    BrokenPipeError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


class ClosedError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka is not typed
    """A broker, or what is in front of it, closes a connection before it serves it."""


class TokenLogin:
    """The exchange of OAUTHBEARER, as aiokafka calls it.

    Source: RFC 7628, sections 3.1 and 3.2.3.

    Args:
        provider: Provider of tokens.

    Attributes:
        token: The token that was sent; ``None`` before.
        refusal: The broker's message if it refuses the token; empty otherwise.
    """

    def __init__(self, provider: AbstractTokenProvider) -> None:
        self._provider = provider
        self.token: str | None = None
        self.refusal = b""

    async def step(self, answer: bytes | None) -> tuple[bytes, bool] | None:
        """Return the next message, and whether the broker answers it; ``None`` at the end.

        Args:
            answer: The broker's last answer; ``None`` before the first message.
        """
        if self.token is None:
            self.token = await self._provider.token()
            extensions = getattr(self._provider, "extensions", None)
            named = extensions() if callable(extensions) else {}
            fields = [f"auth=Bearer {self.token}", *(f"{name}={named[name]}" for name in named)]
            return f"n,,\x01{chr(1).join(fields)}\x01\x01".encode(), True
        if answer and not self.refusal:
            self.refusal = answer
            return b"\x01", True  # then the broker ends the exchange with an error
        return None


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka is not typed
    """A connection that names what refuses its login, and knows when its session ends."""

    replace_s = float("inf")
    """Monotonic time in seconds at which the connection must be replaced."""
    _login: TokenLogin | None = None
    _mechanisms: tuple[str, ...] = ()
    _is_logged_in = False

    async def connect(self) -> Any:
        """Connect and log in.

        Raises:
            TokenRejectedError: The broker refuses the token.
            ClosedError: The broker closes the connection without a reason.
            KafkaError: The broker refuses another login.
        """
        try:
            streams = await super().connect()
        except LOGIN_ERRORS as error:
            raise self._refused(error) from None  # its text is in the error, without the secret
        except (KafkaError, OSError) as error:
            if self._login is not None and self._login.refusal:
                raise self._refused(error) from None
            if (closed := self.explain(error)) is not None:
                raise closed from None
            raise
        if self._login is not None:
            if self._login.refusal:
                self.close()
                raise self._refused(None)
            provider, token = self._sasl_oauth_token_provider, self._login.token
            if isinstance(provider, CachedTokens) and token is not None:
                provider.accept(token)
            self._login = None  # it has the token
        self._is_logged_in = self._security_protocol.startswith("SASL")
        return streams

    def authenticator_oauth(self) -> TokenLogin:
        """Return the exchange of a login with a token."""
        self._login = TokenLogin(self._sasl_oauth_token_provider)
        return self._login

    def explain(self, error: KafkaError | OSError) -> ClosedError | None:
        """Return an error with what to check, if the broker closes the connection; else ``None``.

        Args:
            error: Error of the connection's login, or of its first request.
        """
        cause = error.__cause__ if isinstance(error, KafkaConnectionError) else error
        if not isinstance(cause, CLOSED_BY_PEER):
            return None
        broker, protocol = f"{self.host}:{self.port}", self._security_protocol
        tls = f"{'no TLS' if 'SSL' in protocol else 'TLS'} (security.protocol is {protocol})"
        if self._is_logged_in:
            return ClosedError(
                f"{broker} closes the connection after the login and gives no reason: it may be "
                "starting or stopping"
            )
        if protocol.startswith("SASL"):
            return ClosedError(
                f"{broker} closes the connection during the login by {self._sasl_mechanism} and gives "
                f"no reason: it may be starting or stopping, the port may have {tls}, or not take this "
                "sasl.mechanism or login"
            )
        wants = "want a certificate of the client" if protocol == "SSL" else "take a login"
        return ClosedError(
            f"{broker} closes the connection at the first request and gives no reason: it may be "
            f"starting or stopping, the port may have {tls}, or {wants}"
        )

    def _refused(self, error: BaseException | None) -> KafkaError:
        """Return an error that names the broker, and what it says of the login."""
        broker, mechanism = f"the broker {self.host}:{self.port}", self._sasl_mechanism
        if isinstance(error, UnsupportedSaslMechanismError):
            offered = _printable(", ".join(map(str, self._mechanisms)) or "another one")
            return UnsupportedSaslMechanismError(
                f"{broker} does not take sasl.mechanism {mechanism}, but {offered}"
            )
        if isinstance(error, IllegalSaslStateError):
            return IllegalSaslStateError(
                f"{broker} takes no login on this port, and security.protocol is "
                f"{self._security_protocol}"
            )
        said = ": ".join(part for part in getattr(error, "args", ()) if isinstance(part, str))
        if self._login is None:
            said = _printable(said, self._sasl_plain_password)
            return SaslAuthenticationFailed(f"{broker} refuses the login by {mechanism} ({said})")
        detail = _refusal_words(self._login.refusal) or said
        provider, token = self._sasl_oauth_token_provider, self._login.token
        source = provider.source if isinstance(provider, CachedTokens | OwnTokens) else "a provider"
        rejected = TokenRejectedError(
            f"{broker} refuses the token of {mechanism} ({_printable(detail, token)}), which comes "
            f"from {source}: check its audience, issuer, scope and lifetime, the signing key and "
            "the clocks, against the broker's sasl.oauthbearer settings"
        )
        if isinstance(provider, CachedTokens) and token is not None:
            provider.discard(token, rejected)
        return rejected

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request."""
        sent = super().send(request, expect_response)
        is_login = isinstance(request, SaslAuthenticateRequest | SaslHandShakeRequest)
        return self._note_login(sent) if is_login else sent

    async def _note_login(self, sent: Any) -> Any:
        answer = await sent
        self._mechanisms = tuple(getattr(answer, "enabled_mechanisms", self._mechanisms))
        lifetime_s = getattr(answer, "session_lifetime_ms", 0) / 1000
        if lifetime_s > 0:
            self.replace_s = time.monotonic() + serving_s(lifetime_s)
        return answer

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._requests)


class NoTopicConnection(Connection):
    """A connection on which a request for metadata creates no topic."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request."""
        if isinstance(request, MetadataRequest):
            topics = request._topics  # noqa: SLF001  # no public way
            request = MetadataRequest(topics, allow_auto_topic_creation=False)
        return super().send(request, expect_response)


def serving_s(lifetime_s: float) -> float:
    """Return the seconds for which a connection serves before it is replaced."""
    margin_s = max(MARGIN_SHARE * lifetime_s, MARGIN_S)
    return max(lifetime_s - margin_s, SESSION_SHARE_MIN * lifetime_s)


def _refusal_words(message: bytes) -> str:
    """Return the words of a broker's message about a token, such as ``status invalid_token``."""
    text = message.decode(errors="replace")
    try:
        fields = json.loads(text)
    except ValueError:
        return text
    if not isinstance(fields, dict):
        return text
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def _printable(text: str, secret: str | None = None) -> str:
    """Return a short text on one line, without the secret."""
    text = text.replace(secret, "***") if secret else text
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown[:DETAIL_LENGTH_MAX] or "it gives no reason"
