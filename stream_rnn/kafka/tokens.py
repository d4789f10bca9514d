"""Tokens for OAUTHBEARER: a provider of aiokafka that caches one token and renews it in time.

Each new connection sends the current token.  A token is renewed when most of its lifetime is over,
by a thread, so that a slow endpoint delays no event loop.  Faust's consumer has an event loop of
its own, so a provider serves several loops.
"""

import asyncio
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import NamedTuple

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from stream_rnn.errors import reason

logger = logging.getLogger(__name__)

RENEW_AT = 0.8  # of the lifetime of a token, as in Kafka's Java clients
TOKEN_WITHIN_S = 30.0
ABANDON_S = 2 * TOKEN_WITHIN_S
"""Age at which a fetch that does not end is given up, so that the next connection fetches again."""
PAUSES_S = (0.1, 0.3, 1.0, 3.0)
"""Pauses between the attempts of one fetch, while the issuer does not answer."""
BACK_OFF_S, BACK_OFF_MAX_S = 0.1, 10.0
"""First and longest pause after a fetch that failed; each is twice the one before, as in Java."""

BEARER = re.compile(r"(?:Authorization:\s*)?Bearer(?:\s+|$)", re.IGNORECASE)
"""What precedes a token in a header of HTTP."""


class TokenError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka is not typed
    """There is no token now; a connection with the next one may succeed."""


class TokenRefusedError(TokenError):
    """The issuer of tokens refuses the client."""


class TokenRejectedError(TokenError):
    """A broker refuses the token."""


class Token(NamedTuple):
    """A token and its lifetime.

    Attributes:
        text: The token as it is sent.
        lifetime_s: Seconds for which it is valid; ``None`` if unknown, then it is used once.
    """

    text: str
    lifetime_s: float | None

    def __repr__(self) -> str:
        """Return a text without the token."""
        return f"Token(lifetime_s={self.lifetime_s})"


class CachedTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is not typed
    """A provider that fetches a token when it needs one, and keeps it while it is fresh.

    After a failure, and after a broker refuses the token, the next fetch begins after a pause;
    until then the failure is the answer.

    Args:
        fetch: Function that returns a new token; called in a thread, by one at a time.
        extensions: SASL extensions, such as ``logicalCluster`` of Confluent Cloud.
        clock: Monotonic clock in seconds.
        source: Name of the issuer, for messages.

    Attributes:
        source: As the argument.
    """

    def __init__(
        self,
        fetch: Callable[[], Token],
        extensions: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        source: str = "its issuer",
    ) -> None:
        self._fetch = fetch
        self._extensions = dict(extensions or {})
        self._clock = clock
        self.source = source
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._renew_s = self._expires_s = 0.0
        self._pending: Future[Token] | None = None
        self._pending_since_s = 0.0
        self._failure: TokenError | None = None
        self._failures = 0
        self._retry_s = -math.inf

    def extensions(self) -> dict[str, str]:
        """Return the extensions that a new connection sends."""
        return self._extensions

    async def token(self) -> str:
        """Return a token that is valid now.

        Raises:
            TokenError: There is none.
        """
        with self._lock:
            now_s, cached = self._clock(), self._token
            if cached is not None and now_s < self._renew_s:
                return cached.text
            if self._failure is not None and now_s < self._retry_s:
                if cached is not None and now_s < self._expires_s:
                    return cached.text
                raise type(self._failure)(str(self._failure))
            if self._pending is None or now_s - self._pending_since_s >= ABANDON_S:
                self._pending, self._pending_since_s = Future(), now_s
                threading.Thread(target=self._renew, args=(self._pending,), daemon=True).start()
            pending = self._pending
        try:
            async with asyncio.timeout(TOKEN_WITHIN_S):
                # The shield keeps one caller that is cancelled from cancelling the others.
                return (await asyncio.shield(asyncio.wrap_future(pending))).text
        except (TokenError, TimeoutError) as error:
            if cached is not None and self._clock() < self._expires_s:
                logger.warning("the token cannot be renewed yet: %s", reason(error))
                return cached.text
            if isinstance(error, TimeoutError):
                raise self.delay(TOKEN_WITHIN_S) or TokenError("no token") from error
            raise

    def delay(self, within_s: float) -> TokenError | None:
        """Return why connections wait for a token; ``None`` if none waits.

        Args:
            within_s: Seconds for which the caller has waited.
        """
        with self._lock:
            if self._pending is None:
                return None
            why = f" ({reason(self._failure)})" if self._failure is not None else ""
        return TokenError(f"no token from {self.source} within {within_s:g} s{why}")

    def accept(self, text: str) -> None:
        """Record that a broker takes a token, after which pauses begin at the shortest again.

        An older token that is still valid says nothing of the issuer's next one, so the pauses go
        on growing while the renewal fails.

        Args:
            text: The token.
        """
        with self._lock:
            is_newest = self._token is not None and self._token.text == text
            if is_newest and self._failure is None:
                self._failures = 0

    def discard(self, text: str, error: TokenError) -> None:
        """Forget a token that a broker refuses, so that a later connection fetches another one.

        Args:
            text: The token.
            error: Error of the connection.
        """
        with self._lock:
            if self._token is not None and self._token.text == text:
                self._token = None
                self._renew_s = self._expires_s = 0.0
                self._fail(error)

    def _fail(self, error: TokenError) -> None:
        """Record a failure, and when the next fetch may begin."""
        pause_s = BACK_OFF_S * 2.0 ** min(self._failures, 60)
        self._failure, self._failures = error, self._failures + 1
        self._retry_s = self._clock() + min(pause_s, BACK_OFF_MAX_S)

    def _renew(self, pending: "Future[Token]") -> None:
        began_s = self._clock()
        try:
            token, error = self._fetch_and_check(pending, began_s + TOKEN_WITHIN_S), None
        except TokenError as failure:
            token, error = None, failure
        except Exception as failure:  # noqa: BLE001  # a library raises whatever it raises
            token, error = None, TokenError(f"no token: {reason(failure)}")
        with self._lock:
            is_current = self._pending is pending
            if is_current:
                self._pending = None
            if is_current and token is not None:
                self._token, lifetime_s = token, token.lifetime_s or 0.0
                self._renew_s = began_s + RENEW_AT * lifetime_s
                self._expires_s = began_s + lifetime_s
                self._failure = None
            elif is_current and error is not None:
                self._fail(error)
        if token is None:
            pending.set_exception(error)
        else:
            pending.set_result(token)

    def _fetch_and_check(self, pending: "Future[Token]", until_s: float) -> Token:
        for pause_s in PAUSES_S:
            try:
                return check_token(self._fetch(), self.source)
            except TokenRefusedError:
                raise
            except TokenError as error:
                if self._clock() >= until_s or not self._note(pending, error):
                    raise  # nobody waits any longer
                logger.debug("no token yet: %s", reason(error))
            time.sleep(pause_s)
        return check_token(self._fetch(), self.source)

    def _note(self, pending: "Future[Token]", error: TokenError) -> bool:
        """Record why a fetch goes on; return whether it is still the current one."""
        with self._lock:
            is_current = self._pending is pending
            if is_current:
                self._failure = error
        return is_current


class OwnTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is not typed
    """A provider of an app's owner, called within a deadline and on one event loop.

    Args:
        provider: The owner's provider.

    Attributes:
        source: Name of the provider, for messages.
    """

    def __init__(self, provider: AbstractTokenProvider) -> None:
        self._provider = provider
        self.source = f"token_provider {type(provider).__name__}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_unanswered = False

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call the provider on this event loop only, also for connections of another one."""
        self._loop = loop

    def extensions(self) -> Mapping[str, str]:
        """Return the owner's extensions."""
        found = getattr(self._provider, "extensions", None)
        return found() if callable(found) else {}

    async def token(self) -> str:
        """Return the owner's token.

        Raises:
            TokenError: The provider raised an error, or returned no token within the deadline.
        """
        name = type(self._provider).__name__
        self._is_unanswered = True
        try:
            async with asyncio.timeout(TOKEN_WITHIN_S):
                text = await self._call()
            self._is_unanswered = False
        except TimeoutError as error:
            raise TokenError(f"{name} returned no token within {TOKEN_WITHIN_S:g} s") from error
        except Exception as error:  # the owner's code raises whatever it raises
            self._is_unanswered = False
            raise TokenError(f"{name} returned no token: {reason(error)}") from error
        return check_token(Token(text, None), self.source).text

    def delay(self, within_s: float) -> TokenError | None:
        """Return that the provider did not answer its last call; ``None`` if it did.

        Args:
            within_s: Seconds for which the caller has waited.
        """
        if not self._is_unanswered:
            return None
        return TokenError(f"{self.source} returned no token within {within_s:g} s")

    async def _call(self) -> str:
        if self._loop in {None, asyncio.get_running_loop()}:
            return await self._provider.token()  # type: ignore[no-any-return]  # not typed
        assert self._loop is not None, "it is another loop"
        call = asyncio.run_coroutine_threadsafe(self._provider.token(), self._loop)
        return await asyncio.wrap_future(call)


def guard_provider(provider: AbstractTokenProvider | None) -> AbstractTokenProvider | None:
    """Return a provider whose errors are those of a connection, and whose calls end in time."""
    if provider is None or isinstance(provider, CachedTokens | OwnTokens):
        return provider
    return OwnTokens(provider)


def check_token(token: Token, source: str) -> Token:
    """Return a token that can be sent.

    Args:
        token: The token.
        source: Name of the place where it comes from, for the message.

    Raises:
        TokenError: It is no text, or has a character that would end it.
    """
    text: object = token.text
    if isinstance(text, str) and text and all("!" <= letter <= "~" for letter in text):
        return token
    message = f"the token of {source} is not a text of printable ASCII without blanks"
    if isinstance(text, str) and BEARER.match(text):
        message += "; return the token alone, without the word Bearer before it"
    raise TokenError(message)
