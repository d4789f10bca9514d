"""The store in Redis: one hash tag per fold and partition, two keys, two scripts.

    {app:topic:partition:fold_id}:position
    {app:topic:partition:fold_id}:hidden

Reads that must agree are one ``MULTI`` on the primary; ``commit.lua`` and ``start.lua`` are the
only writers.  Nothing is retried here: the processor decides.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from importlib.resources import files
from typing import Any, TypeVar, cast

from redis.asyncio import Redis, RedisCluster
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
    StreamRNNError,
    TornError,
    UnavailableError,
    UnreachableError,
    reason,
)
from stream_rnn.settings import Settings
from stream_rnn.store.connection import safe_url
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
# Errors that a failover, a restart or more memory ends; in a script they arrive as text.
_PASSING = (
    AskError,  # the slot's keys are on their way to another node
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    SlotMovedError,
    TryAgainError,
)
_PASSING_WORDS = (
    "OOM",
    "LOADING",
    "BUSY",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MASTERDOWN",
    "NOREPLICAS",
)

_OF_SCRIPTS = "HDEL, HLEN, HMGET, HSET, TYPE and UNLINK"

T = TypeVar("T")


class RedisStore:
    """See :class:`stream_rnn.store.state.Store`.

    Args:
        redis: a client of raw bytes, shared by all partitions of a worker.
        tag: ``app:topic:partition:fold_id``.
        timeout_s: deadline of one answer.
    """

    def __init__(self, redis: Redis, tag: str, timeout_s: float) -> None:
        self.redis = redis
        self._timeout_s = timeout_s
        self.position_key = f"{{{tag}}}:position"
        self.hidden_key = f"{{{tag}}}:hidden"
        lua = files("stream_rnn.store")
        self._commit = redis.register_script(lua.joinpath("commit.lua").read_text())
        self._start = redis.register_script(lua.joinpath("start.lua").read_text())

    async def read(self) -> StoredPosition:
        """Read all but the states, atomically."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hmget(self.position_key, _FIELDS)
            pipe.hlen(self.hidden_key)
            values, fields = await self.answer(pipe.execute())
        try:
            return _held([None if value is None else value.decode() for value in values], fields)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self.position_key} holds what no worker wrote ({reason(error)}); something else writes "
                "there: stop it, then delete the key, and the next start decides by the log"
            ) from error

    async def load(self, position: int, origin: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the states of some keys, atomically with the position."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hmget(self.position_key, "position", "origin", "keys")
            pipe.hlen(self.hidden_key)
            if keys:
                pipe.hmget(self.hidden_key, keys)
            held, fields, *states = await self.answer(pipe.execute())
        self._check(held, fields, position, origin)
        return cast("list[bytes | None]", states[0]) if keys else []

    async def start(self, seen: StoredPosition, first: FirstPosition) -> None:
        """Drop everything and write the first position, if nothing changed since ``seen``."""
        status = await self.answer(
            self._start(
                keys=[self.position_key, self.hidden_key],
                args=[
                    _text(seen.position),
                    _text(seen.origin),
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
        self._raise_unless_ok(status, _text(seen.position))

    async def commit(self, commit: Commit) -> None:
        """Write states and position if the position is the expected one."""
        arguments: list[Any] = [
            commit.expected_position,
            commit.origin,
            commit.position,
            str(commit.anchor or ""),
            _text(commit.stream_time_ms),
            commit.numerics,
            len(commit.writes),
        ]
        for pair in commit.writes:
            arguments.extend(pair)
        arguments.extend(commit.deletes)
        keys = [self.position_key, self.hidden_key]
        status = await self.answer(self._commit(keys=keys, args=arguments))
        self._raise_unless_ok(status, str(commit.expected_position))

    async def scan(
        self, position: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Read some hidden states from a cursor on, atomically with the position."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hget(self.position_key, "position")
            pipe.hscan(self.hidden_key, cursor, count=count)
            held, (after, found) = await self.answer(pipe.execute())
        if held != str(position).encode():
            raise MovedError(f"{self.position_key}: position is {held!r}, expected {position}")
        return int(after), list(found.items())

    async def drop(self) -> int:
        """Delete both keys; return how many hidden states went.

        Only ``stream-rnn state drop`` and the demo call this.
        """
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hlen(self.hidden_key)
            pipe.execute_command("UNLINK", self.position_key, self.hidden_key)
            fields, _ = await self.answer(pipe.execute())
        return int(fields)

    def _check(self, held: list[bytes | None], fields: int, position: int, origin: int) -> None:
        if held[:2] != [b"%d" % position, b"%d" % origin]:
            message = (
                f"{self.position_key}: position and origin are {held[0]!r} and {held[1]!r}, "
                f"expected {position} and {origin}"
            )
            raise MovedError(message)
        if held[2] != b"%d" % fields:
            message = f"{self.hidden_key} holds {fields} hidden states, expected {held[2]!r}"
            raise TornError(message)

    def _raise_unless_ok(self, status: bytes, expected: str) -> None:
        if status == b"ok":
            return
        if status == b"moved":
            raise MovedError(f"{self.position_key}: the position is no longer {expected or 'none'}")
        if status == b"torn":
            raise TornError(f"{self.hidden_key} does not hold as many states as were committed")
        raise self._wrong_type()

    def _wrong_type(self) -> ConfigError:
        message = (
            f"{self.position_key} or {self.hidden_key} is not a hash: something else writes under "
            f"our keys; look with TYPE, delete the foreign key, and start again"
        )
        return ConfigError(message)

    async def answer(self, call: Awaitable[T]) -> T:
        """Await an answer of Redis within its deadline.

        Raises:
            ConfigError: a person must change something.
            UnavailableError: there is none, or none now.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            raise ConfigError(
                f"Redis refuses this user: {reason(error)}; check redis_url and its ACL"
            ) from error
        except (
            TimeoutError,
            RedisConnectionError,
            RedisTimeoutError,
            NoScriptError,
            OSError,
            RedisClusterException,  # no node has the slot, for now
        ) as error:
            message = f"Redis did not answer within {self._timeout_s:g} s: {reason(error, self._timeout_s)}"
            raise UnavailableError(message) from error
        except RedisError as error:
            if isinstance(error, ReadOnlyError):
                await self._connect_anew()
            raise self._translate(error) from error

    async def _connect_anew(self) -> None:
        """Leave a primary that has become a replica: its name may lead to the new one by now."""
        pool = getattr(self.redis, "connection_pool", None)  # a cluster finds primaries itself
        if pool is not None:
            await pool.disconnect(inuse_connections=False)

    def _translate(self, error: RedisError) -> StreamRNNError:
        text = str(error)
        if "WRONGTYPE" in text:
            return self._wrong_type()
        passing = isinstance(error, _PASSING) or any(word in text for word in _PASSING_WORDS)
        if isinstance(error, ResponseError) and not passing:
            # Before 7.2 Redis does not say which command of a script this user may not run.
            needed = f"; scripts run {_OF_SCRIPTS}" if "executing the script" in text else ""
            return ConfigError(f"Redis refused a command of {self.position_key}: {text}{needed}")
        return UnavailableError(f"Redis cannot serve {self.position_key} now: {text}")


def _held(texts: list[str | None], fields: int) -> StoredPosition:
    position, origin, anchor, keys, stream_time_ms, partitions, numerics, lost = texts
    if position and not origin:
        raise ValueError(f"position {position} without an origin")
    return StoredPosition(
        position=_number(position),
        origin=_number(origin),
        anchor=Anchor.parse(anchor or ""),
        keys=_number(keys) or 0,
        fields=fields,
        stream_time_ms=_number(stream_time_ms),
        partitions=_number(partitions),
        numerics=numerics or "",
        lost=lost or "",
    )


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


async def check_redis(redis: Redis, settings: Settings) -> None:
    """Refuse a Redis that would lose hidden states by itself, or that cannot be used.

    Raises:
        ConfigError: wrong password, or a policy that evicts.
        UnreachableError: no answer.
    """
    url = safe_url(settings.redis_url.get_secret_value())
    try:
        async with asyncio.timeout(settings.redis_timeout_s):
            nodes = await facts_of_primaries(redis, "memory")
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        said = reason(error).rstrip(".")
        raise ConfigError(f"Redis at {url} refuses this user: {said}; check --redis-url") from error
    except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
        said = reason(error, settings.redis_timeout_s)
        if "DB index" in said:
            raise ConfigError(f"Redis at {url} has no such database: {said}") from error
        message = f"Redis at {url} does not answer: {said}; start it, or check --redis-url"
        raise UnreachableError(message) from error
    policies = {str(memory.get("maxmemory_policy", "noeviction")) for memory in nodes.values()}
    for policy in sorted(policies - {"noeviction"}):
        raise ConfigError(
            f"Redis at {url} has maxmemory-policy {policy}: it would drop hidden states when "
            "memory is short; set maxmemory-policy noeviction"
        )


async def facts_of_primaries(redis: Any, *sections: str) -> dict[str, dict[str, Any]]:
    """Ask one Redis, or every primary of a cluster, about itself.

    Args:
        redis: a client.
        sections: of ``INFO``; none: the usual ones.

    Returns:
        What each says, by its name; one Redis has none.
    """
    if not isinstance(redis, RedisCluster):
        return {"": await redis.info(*sections)}
    found = await redis.info(*sections, target_nodes=RedisCluster.PRIMARIES)
    # With one primary redis-py leaves the node's name away.
    return found if all(isinstance(facts, dict) for facts in found.values()) else {"": found}
