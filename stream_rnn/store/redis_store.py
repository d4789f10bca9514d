"""The store in Redis: for each fold and partition two keys with one hash tag, and three scripts.

    {app:topic:partition:fold_id}:position
    {app:topic:partition:fold_id}:hidden

Reads that must agree are one ``MULTI`` on the primary.  ``commit.lua``, ``start.lua`` and
``drop.lua`` are the only writers.  Nothing is retried here; the processor retries.
"""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError as SlotMovedError
from redis.exceptions import TimeoutError as RedisTimeoutError

from stream_rnn.errors import (
    ConfigError,
    MovedError,
    NoAnswerError,
    StreamRNNError,
    TooLargeError,
    TornError,
    UnavailableError,
    reason,
)
from stream_rnn.store.script import Script
from stream_rnn.store.server_connection import reads_login_again
from stream_rnn.store.state import STORE_FORMAT, Anchor, Commit, FirstPosition, StoredPosition

_FIELDS = (
    "position",
    "origin",
    "anchor",
    "keys",
    "stream_time_ms",
    "partitions",
    "numerics",
    "lost",
)
# A failover, a restart or more memory ends these errors.  A script returns them as text.
TEMPORARY_ERRORS = (
    AskError,  # the slot migrates to another node
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    SlotMovedError,
    TryAgainError,
)
_TEMPORARY_CODES = (
    "OOM",
    "LOADING",
    "BUSY",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MASTERDOWN",
    "NOREPLICAS",
    "MISCONF",  # its disk is full, for example
)

_TOO_LARGE = re.compile(  # of Redis (proto-max-bulk-len), Upstash, and proxies
    r"invalid (multi)?bulk (length|count)|(request|payload|command|message)[^.]*"
    r"(too (large|big|long)|size exceeded|exceeds)",
    re.IGNORECASE,
)
_REFUSALS = ("ACL failure", "NOPERM", "EXEC without MULTI")  # MULTI itself was refused
# Redis before 7.2 does not name the command of a script that it refuses.
_SCRIPT_COMMANDS = "HDEL, HLEN, HMGET, HSET, TYPE and UNLINK"

T = TypeVar("T")


class RedisStore:
    """See :class:`stream_rnn.store.state.Store`.

    Args:
        redis: Client that returns raw bytes; all partitions of a worker share it.
        tag: ``app:topic:partition:fold_id``.
        timeout_s: Deadline in seconds for one reply.
    """

    def __init__(self, redis: Redis, tag: str, timeout_s: float) -> None:
        self.redis = redis
        self._timeout_s = timeout_s
        self.position_key = f"{{{tag}}}:position"
        self.hidden_key = f"{{{tag}}}:hidden"
        self._commit = Script(redis, "commit.lua")
        self._start = Script(redis, "seen.lua", "start.lua")
        self._drop = Script(redis, "seen.lua", "drop.lua")

    async def read(self) -> StoredPosition:
        """Read everything except the hidden states, atomically."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hmget(self.position_key, _FIELDS)
            pipe.hlen(self.hidden_key)
            values, fields = await self.await_reply(pipe.execute())
        try:
            texts = [None if value is None else value.decode() for value in values]
            return _parse_position(texts, fields)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self.position_key} contains values that no worker writes "
                f"({reason(error)}); another program writes to this key: stop it, then delete the "
                "key; the next start rebuilds it from the log"
            ) from error

    async def load(self, position: int, origin: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the hidden states of some keys, atomically with the position."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hmget(self.position_key, "position", "origin", "keys")
            pipe.hlen(self.hidden_key)
            if keys:
                pipe.hmget(self.hidden_key, keys)
            stored, fields, *states = await self.await_reply(pipe.execute())
        self._check(stored, fields, position, origin)
        return cast("list[bytes | None]", states[0]) if keys else []

    async def start(self, seen: StoredPosition, first: FirstPosition) -> None:
        """Delete everything and write the first position, if nothing changed since ``seen``."""
        status = await self.await_reply(
            self._start(
                keys=[self.position_key, self.hidden_key],
                args=[
                    _format_number(seen.position),
                    _format_number(seen.origin),
                    seen.fields,
                    first.position,
                    first.origin,
                    first.partitions,
                    first.numerics,
                    STORE_FORMAT,
                    first.lost,
                ],
            )
        )
        self._raise_unless_ok(status, _format_number(seen.position))

    async def commit(self, commit: Commit) -> None:
        """Write hidden states and position, if the position is the expected one."""
        arguments: list[Any] = [
            commit.expected_position,
            commit.origin,
            commit.position,
            str(commit.anchor or ""),
            _format_number(commit.stream_time_ms),
            commit.numerics,
            len(commit.writes),
        ]
        for pair in commit.writes:
            arguments.extend(pair)
        arguments.extend(commit.deletes)
        keys = [self.position_key, self.hidden_key]
        status = await self.await_reply(self._commit(keys=keys, args=arguments))
        self._raise_unless_ok(status, str(commit.expected_position))

    async def scan(
        self, position: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Read some hidden states from a cursor on, atomically with the position."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hget(self.position_key, "position")
            pipe.hscan(self.hidden_key, cursor, count=count)
            stored, (after, page) = await self.await_reply(pipe.execute())
        if stored != str(position).encode():
            raise MovedError(f"{self.position_key}: position is {stored!r}, expected {position}")
        return int(after), list(page.items())

    async def drop_seen(self, seen: StoredPosition) -> None:
        """Delete everything, if nothing changed since ``seen``."""
        numbers = _format_number(seen.position), _format_number(seen.origin), seen.fields
        keys = [self.position_key, self.hidden_key]
        status = await self.await_reply(self._drop(keys=keys, args=numbers))
        self._raise_unless_ok(status, _format_number(seen.position))

    async def drop(self) -> int:
        """Delete both keys; return the number of hidden states.

        Only ``stream-rnn state drop`` and the demo call this.
        """
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hlen(self.hidden_key)
            pipe.execute_command("UNLINK", self.position_key, self.hidden_key)
            fields, _ = await self.await_reply(pipe.execute())
        return int(fields)

    def _check(self, stored: list[bytes | None], fields: int, position: int, origin: int) -> None:
        if stored[:2] != [b"%d" % position, b"%d" % origin]:
            message = (
                f"{self.position_key}: position and origin are {stored[0]!r} and {stored[1]!r}, "
                f"expected {position} and {origin}"
            )
            raise MovedError(message)
        if stored[2] != b"%d" % fields:
            message = f"{self.hidden_key} has {fields} hidden states, expected {stored[2]!r}"
            raise TornError(message)

    def _raise_unless_ok(self, status: bytes, expected: str) -> None:
        if status == b"ok":
            return
        if status == b"moved":
            raise MovedError(f"{self.position_key}: the position is no longer {expected or 'none'}")
        if status == b"torn":
            raise TornError(f"{self.hidden_key} does not have the committed number of states")
        raise self._wrong_type_error()

    def _wrong_type_error(self) -> ConfigError:
        if self.position_key == self.hidden_key:
            return ConfigError(
                f"{self.position_key} is not a hash: another program writes to this key; inspect it "
                "with TYPE, delete it, and start again"
            )
        message = (
            f"{self.position_key} or {self.hidden_key} is not a hash: another program writes to "
            "these keys; inspect them with TYPE, delete the key that is no hash, and start again"
        )
        return ConfigError(message)

    async def await_reply(self, call: Awaitable[T]) -> T:
        """Await a reply of Redis within its deadline.

        Raises:
            ConfigError: Redis refuses a command, a key has another type, or this is one node of a
                cluster.
            UnavailableError: Redis does not answer in time, cannot serve requests now, or no
                longer accepts the password.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call
        except NoPermissionError as error:
            raise ConfigError(
                f"Redis refuses this user: {reason(error)}; check redis_url and its ACL"
            ) from error
        except (AuthenticationError, AuthorizationError) as error:
            # At first, `check_redis` was accepted: the secret is new.
            remedy = (
                "write the present ones into redis_url_file, which each new connection reads again"
                if reads_login_again(self.redis)
                else "if they were changed, restart this process with the new redis_url"
            )
            raise UnavailableError(
                f"Redis no longer accepts the user or the password: {reason(error)}; {remedy}"
            ) from error
        except BusyLoadingError as error:
            raise UnavailableError(f"Redis is still starting: {reason(error)}") from error
        except (
            TimeoutError,
            RedisConnectionError,
            RedisTimeoutError,
            NoScriptError,
            OSError,
            RedisClusterException,  # no node serves the slot at the moment
        ) as error:
            why = reason(error, self._timeout_s)
            within = f" within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else ""
            raise NoAnswerError(f"Redis did not answer{within}: {why}") from error
        except RedisError as error:
            if isinstance(error, ReadOnlyError):
                await self._reconnect()
            raise self._translate(error) from error

    async def _reconnect(self) -> None:
        """Close idle connections to a former primary, whose name may now resolve to the new primary."""
        pool = getattr(self.redis, "connection_pool", None)  # a cluster's client has none
        if pool is not None:
            await pool.disconnect(inuse_connections=False)

    def _translate(self, error: RedisError) -> StreamRNNError:
        text = str(error)
        if "WRONGTYPE" in text:
            return self._wrong_type_error()
        is_redirection = isinstance(error, AskError) or text.startswith(("MOVED ", "ASK "))
        if is_redirection and hasattr(self.redis, "connection_pool"):  # no client of a cluster
            return ConfigError(
                f"Redis sends {self.position_key} to another node ({reason(error)}): it is a Redis "
                "Cluster; begin redis_url with redis+cluster:// (TLS: rediss+cluster://)"
            )
        if _TOO_LARGE.search(text):
            return TooLargeError(f"Redis refuses a request of this size: {text}")
        is_temporary = isinstance(error, TEMPORARY_ERRORS) or any(
            word in text for word in _TEMPORARY_CODES
        )
        if isinstance(error, ResponseError) and not is_temporary:
            needed = f"; scripts run {_SCRIPT_COMMANDS}" if "executing the script" in text else ""
            if needed or any(word in text for word in _REFUSALS):
                remedy = f"check redis_url and its ACL{needed}"
                return ConfigError(f"Redis refuses this user: {text.rstrip('.')}; {remedy}")
            return ConfigError(f"Redis refused a command of {self.position_key}: {text}")
        return UnavailableError(f"Redis cannot serve {self.position_key} now: {text}")


def _parse_position(texts: list[str | None], fields: int) -> StoredPosition:
    position, origin, anchor, keys, stream_time_ms, partitions, numerics, lost = texts
    if position and not origin:
        raise ValueError(f"position {position} without an origin")
    return StoredPosition(
        position=_parse_number(position),
        origin=_parse_number(origin),
        anchor=Anchor.parse(anchor or ""),
        keys=_parse_number(keys) or 0,
        fields=fields,
        stream_time_ms=_parse_number(stream_time_ms),
        partitions=_parse_number(partitions),
        numerics=numerics or "",
        lost=lost or "",
    )


def _parse_number(text: str | None) -> int | None:
    return int(text) if text else None


def _format_number(number: int | None) -> str:
    return "" if number is None else str(number)
