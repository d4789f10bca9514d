"""Tokens for a schema registry, which the client of Confluent asks for before each request."""

import time
from collections.abc import Callable, Mapping

from stream_rnn.errors import UnavailableError, reason
from stream_rnn.formats.registry_config import (
    BEARER_SOURCE,
    CLIENT_ID,
    CLIENT_SECRET,
    CLUSTER,
    POOL,
    SCOPE,
    TOKEN,
    TOKEN_URL,
    RegistryConfig,
    is_header_text,
)
from stream_rnn.kafka.client_credentials import URL_NAME, ClientCredentials
from stream_rnn.kafka.tokens import TokenError

USED_SHARE = 0.8
"""Share of a token's lifetime after which a new one is requested."""


class BearerTokens:
    """Returns the fields of a login by a token.

    Args:
        config: Address and login of the registry.
        timeout_s: Deadline of the token endpoint, in seconds.
        clock: Function that returns monotonic seconds.
    """

    def __init__(
        self,
        config: RegistryConfig,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        bearer = config.bearer
        self._clock, self._token, self._until_s = clock, bearer.get(TOKEN, ""), float("inf")
        self._fields = {CLUSTER: bearer.get(CLUSTER, "")}
        if POOL in bearer:
            self._fields[POOL] = bearer[POOL]
        self._endpoint = None
        if bearer[BEARER_SOURCE].upper() == "OAUTHBEARER":
            self._until_s = float("-inf")
            self._endpoint = ClientCredentials(
                url=bearer[TOKEN_URL],
                client_id=bearer[CLIENT_ID],
                client_secret=bearer[CLIENT_SECRET],
                scope=bearer.get(SCOPE),
                context=config.ssl_context(),
                timeout_s=timeout_s,
                within_s=timeout_s,
            )

    @property
    def token(self) -> str:
        """The latest token, which no message may contain; empty before the first one."""
        return self._token

    def fields(self, _config: Mapping[str, str]) -> dict[str, str]:
        """Return the fields that the client wants of its custom provider.

        Raises:
            UnavailableError: The token endpoint does not answer, or refuses the client.
        """
        if self._endpoint is not None and self._clock() >= self._until_s:
            try:
                found = self._endpoint.fetch()
            except TokenError as error:
                text = reason(error).replace(URL_NAME, TOKEN_URL)
                raise UnavailableError(f"no token for the schema registry: {text}") from None
            if not is_header_text(found.text):
                raise UnavailableError(
                    f"no token for the schema registry: the answer of {TOKEN_URL} has a token with "
                    "a line break or a blank; check that it is the endpoint for tokens"
                )
            self._token = found.text
            lifetime_s = found.lifetime_s
            self._until_s = self._clock() + USED_SHARE * (lifetime_s or 0)
        return {**self._fields, TOKEN: self._token}
