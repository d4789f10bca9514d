"""Tokens for OAUTHBEARER: a provider of aiokafka that caches one token and renews it in time.

Each new connection sends the current token.  A token is renewed when most of its lifetime is over,
by a thread, so that a slow endpoint delays no event loop.  Faust's consumer has an event loop of
its own, so a provider serves several loops.
"""

import asyncio
import logging
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
"""Age at which a fetch that does not end is given up, so that the next connection fetches anew."""
BACK_OFF_S = (0.1, 0.3, 1.0, 3.0)


class TokenError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka is not typed
    """There is no token now; a connection with the next one may succeed."""


class TokenRefusedError(TokenError):
    """The issuer of tokens refuses the client."""


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

    Args:
        fetch: Function that returns a new token; called in a thread, by one at a time.
        extensions: SASL extensions, such as ``logicalCluster`` of Confluent Cloud.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Token],
        extensions: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._extensions = dict(extensions or {})
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._renew_s = self._expires_s = 0.0
        self._pending: Future[Token] | None = None
        self._pending_since_s = 0.0

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
                raise TokenError(f"no token within {TOKEN_WITHIN_S:g} s") from error
            raise

    def _renew(self, pending: "Future[Token]") -> None:
        began_s = self._clock()
        try:
            token, error = self._fetch_and_check(began_s + TOKEN_WITHIN_S), None
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
        if token is None:
            pending.set_exception(error)
        else:
            pending.set_result(token)

    def _fetch_and_check(self, until_s: float) -> Token:
        for pause_s in BACK_OFF_S:
            try:
                return check_token(self._fetch())
            except TokenRefusedError:
                raise
            except TokenError as error:
                if self._clock() >= until_s:  # nobody waits any longer
                    raise
                logger.debug("no token yet: %s", reason(error))
            time.sleep(pause_s)
        return check_token(self._fetch())


class OwnTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is not typed
    """A provider of an app's owner, called within a deadline and on one event loop.

    Args:
        provider: The owner's provider.
    """

    def __init__(self, provider: AbstractTokenProvider) -> None:
        self._provider = provider
        self._loop: asyncio.AbstractEventLoop | None = None

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
        try:
            async with asyncio.timeout(TOKEN_WITHIN_S):
                text = await self._call()
        except TimeoutError as error:
            raise TokenError(f"{name} returned no token within {TOKEN_WITHIN_S:g} s") from error
        except Exception as error:
            raise TokenError(f"{name} returned no token: {reason(error)}") from error
        return check_token(Token(text, None)).text

    async def _call(self) -> str:
        if self._loop in {None, asyncio.get_running_loop()}:
            return await self._provider.token()  # type: ignore[no-any-return]  # not typed
        assert self._loop is not None, "it is another loop"
        call = asyncio.run_coroutine_threadsafe(self._provider.token(), self._loop)
        return await asyncio.wrap_future(call)


def check_token(token: Token) -> Token:
    """Return a token that can be sent.

    Raises:
        TokenError: It is no text, or has a character that would end it.
    """
    text: object = token.text
    if not isinstance(text, str) or not text or not all("!" <= letter <= "~" for letter in text):
        raise TokenError("the token is not a text of printable ASCII without blanks")
    return token
