"""Connections to a server of Redis that may refuse ``HELLO`` and ``CLIENT``, as proxies do."""

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import hiredis
from redis.asyncio.connection import parse_url
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from stream_rnn.errors import ConfigError

logger = logging.getLogger(__name__)

READ_WITHIN_S = 5.0
PROTOCOL = 2
"""RESP2, which needs no ``HELLO``; the option ``protocol`` of a URL may choose 3."""


def adapt(connection: type[Any]) -> type[Any]:
    """Return a connection class that packs commands in C, and goes on without a name if it must."""

    def pack_command(_self: Any, *args: Any) -> list[bytes]:
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [hiredis.pack_command((*name.split(), *args[1:]))]  # e.g. "SCRIPT LOAD"

    async def on_connect_check_health(self: Any, check_health: bool = True) -> None:
        name, self.client_name = self.client_name, None
        try:
            await connection.on_connect_check_health(self, check_health)
        finally:
            self.client_name = name
        if name:
            await self.send_command("CLIENT", "SETNAME", name, check_health=False)
            with suppress(ResponseError):  # the name is for people who look at CLIENT LIST
                await self.read_response()

    methods = {"pack_command": pack_command, "on_connect_check_health": on_connect_check_health}
    return type(connection.__name__, (connection,), methods)


def reads_login_again(redis: Any) -> bool:
    """Return whether each new connection of a client reads user and password from a file."""
    owner = getattr(redis, "connection_pool", redis)  # a cluster's client has no pool
    return isinstance(owner.connection_kwargs.get("credential_provider"), UrlCredentials)


def without_login(url: str) -> str:
    """Return a URL without the user and the password of Redis; those of Sentinels remain."""
    scheme, _, rest = url.partition("://")
    address, mark, query = rest.partition("?")
    options = [text for text in query.split("&") if not re.match("(username|password)=", text)]
    return f"{scheme}://{address.rpartition('@')[2]}{mark}{'&'.join(options)}"


class UrlCredentials(CredentialProvider):
    """User and password of a URL that may change; each new connection reads it again.

    Args:
        read_url: Function that returns the present URL.
        url: URL of the client; a warning is logged if the present one differs in more than the
            login.
    """

    def __init__(self, read_url: Callable[[], str], url: str) -> None:
        self._read_url, self._address = read_url, without_login(url)

    def get_credentials(self) -> Any:
        """Return the user, if there is one, and the password; nothing without a login."""
        try:
            url = self._read_url()
        except ConfigError as error:  # a mounted secret is being replaced; the caller tries again
            raise AuthenticationError(str(error)) from error
        self._warn_of_another_address(without_login(url))
        scheme, _, rest = url.partition("://")
        kind = "rediss" if scheme.startswith("rediss") else "redis"
        login, at, _ = rest.partition("?")[0].rpartition("@")
        query = rest.partition("?")[2]
        try:
            parsed = parse_url(f"{kind}://{login}{at}h?{query}")
        except ValueError:  # the message may contain a part of the password
            message = "the URL in redis_url_file has changed, and cannot be parsed"
            raise AuthenticationError(message) from None
        username, password = parsed.get("username", ""), parsed.get("password", "")
        return tuple(text for text in (username, password) if text)

    def _warn_of_another_address(self, address: str) -> None:
        """Log once that a changed host, database or option does not apply."""
        if address != self._address:
            self._address = address
            logger.warning(
                "the URL in redis_url_file has another host, database or option than before, and "
                "this process keeps those with which it began: only user and password are read "
                "again; restart the process"
            )

    async def get_credentials_async(self) -> Any:
        """Return the same as :meth:`get_credentials`, from a thread and within a deadline."""
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await asyncio.to_thread(self.get_credentials)
        except TimeoutError as error:  # Redis may be tried again
            message = f"the file of redis_url is not read within {READ_WITHIN_S:g} s"
            raise RedisTimeoutError(message) from error
