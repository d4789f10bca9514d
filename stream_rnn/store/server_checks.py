"""What a server of Redis says about itself, and whether it suits a fold.

Managed services, proxies and ACLs refuse ``INFO`` and ``CONFIG``, or answer with few fields.  What
cannot be read is a warning, and never a reason to stop.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from stream_rnn.errors import ConfigError, UnavailableError, UnreachableError, reason
from stream_rnn.settings import Settings
from stream_rnn.store.connection import read_redis_url, safe_url
from stream_rnn.store.redis_store import TEMPORARY_ERRORS
from stream_rnn.store.retry import retry

logger = logging.getLogger(__name__)

POLICY = "maxmemory-policy"
SET_NOEVICTION = f"set {POLICY} noeviction"
_NO_TLS = re.compile("wrong.version|record.layer|unexpected.eof", re.IGNORECASE)
_CLOSED = re.compile("closed|reset by peer", re.IGNORECASE)


async def check_redis(redis: Redis, settings: Settings) -> list[str]:
    """Check that Redis is usable and does not evict hidden states.

    Returns:
        Warnings, each with its remedy after a semicolon.

    Raises:
        ConfigError: Redis refuses the user or the database, or its policy evicts.
        UnavailableError: Redis refuses the user of ``redis_url_file``, which may change.
        UnreachableError: Redis does not answer.
    """
    path = settings.redis_url_file
    option = f"--redis-url-file {path}" if path else "--redis-url"
    url = _shown_url(settings)
    try:
        async with asyncio.timeout(settings.redis_timeout_s):
            policies = await read_policies(redis, await primary_info(redis, "memory"))
    except (AuthenticationError, AuthorizationError) as error:
        why = reason(error).rstrip(".")
        message = f"Redis at {url} refuses this user: {why}; check {option}"
        if path:  # a mounted secret may be older than the user's password
            raise UnavailableError(f"{message}, which is read again at each attempt") from error
        raise ConfigError(message) from error
    except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
        why = reason(error, settings.redis_timeout_s)
        if "DB index" in why:
            raise ConfigError(f"Redis at {url} has no such database: {why}") from error
        remedy = f"start it, or check {option}{_other_scheme(url, error)}"
        message = f"Redis at {url} does not answer: {why}; {remedy}"
        raise UnreachableError(message) from error
    return [text for policy in sorted(policies) if (text := _judge(policy, url))]


def _other_scheme(url: str, error: BaseException) -> str:
    """Return what to try if a server speaks TLS and the URL does not, or the reverse.

    A Redis without TLS waits for the end of a TLS greeting, and one with TLS closes the connection.
    """
    scheme, text = url.partition("://")[0], str(error)
    if scheme.startswith("rediss"):
        has_no_tls = isinstance(error, TimeoutError | RedisTimeoutError) or _NO_TLS.search(text)
        other = scheme.replace("rediss", "redis", 1)
        return f": if the port has no TLS, write {other}://" if has_no_tls else ""
    if scheme != "unix" and _CLOSED.search(text):
        return f": if the port has TLS, write {scheme.replace('redis', 'rediss', 1)}://"
    return ""


async def check_redis_and_warn(redis: Redis, settings: Settings) -> None:
    """Check Redis as :func:`check_redis` does, and log the warnings.

    A user of ``redis_url_file`` that Redis refuses is tried again for ``redis_retry_s``.

    Raises:
        StreamRNNError: See :func:`check_redis`.
    """
    warnings = await retry(
        lambda: check_redis(redis, settings),
        settings.redis_retry_s,
        time.monotonic,
        "",
        lambda _error: None,
    )
    for text in warnings:
        logger.warning("%s", text)


def _shown_url(settings: Settings) -> str:
    """Return the URL without its secrets, for messages."""
    try:
        return safe_url(read_redis_url(settings))
    except ConfigError:  # the file is being replaced
        return f"the URL in {settings.redis_url_file}"


def _judge(policy: str, url: str) -> str:
    """Return a warning about a policy; empty if it never evicts."""
    if may_evict(policy):
        raise ConfigError(
            f"Redis at {url} has {POLICY} {policy}: it would evict hidden states when "
            f"memory is short; {SET_NOEVICTION}"
        )
    if policy == "noeviction":
        return ""
    if not policy:
        return (
            f"Redis at {url} does not show its {POLICY}: it refuses INFO and CONFIG GET, or their "
            f"answers lack it; make sure that it is noeviction, or volatile-*"
        )
    return (
        f"Redis at {url} has {POLICY} {policy}: it evicts keys with an expiry, which hidden "
        f"states do not have, and then refuses writes; {SET_NOEVICTION} if nothing else needs "
        "the eviction"
    )


def may_evict(policy: str) -> bool:
    """Return whether a policy evicts hidden states; not for one that cannot be read.

    The keys of a fold have no expiry; the copies of an export or an import have one.
    """
    return policy not in ("", "noeviction") and not policy.startswith("volatile-")


async def read_policies(redis: Redis, nodes: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the policies of all primaries; an empty text for one that cannot be read.

    Args:
        redis: Client.
        nodes: Section ``memory`` of INFO of each primary, if the server has allowed it.
    """
    policies = {str(memory.get("maxmemory_policy", "")) for memory in nodes.values()} or {""}
    if "" not in policies:
        return policies
    try:
        answer: Any = await redis.config_get(POLICY)
    except ResponseError as error:
        raise_unless_refused(error)
        return policies
    # A cluster's client asks any one of the primaries.
    return {*policies, *answer.values()} - ({""} if answer else set())


async def primary_info(redis: Any, *sections: str) -> dict[str, dict[str, Any]]:
    """Return the ``INFO`` of one Redis, or of every primary of a cluster.

    Args:
        redis: Client.
        sections: Sections of ``INFO``; the server's default sections if there are none.

    Returns:
        Name of the node -> its answer; the name is empty for a single Redis.  Nothing if the
        server refuses the command.
    """
    try:
        if not isinstance(redis, RedisCluster):
            return {"": await redis.info(*sections)}
        info = await redis.info(*sections, target_nodes=RedisCluster.PRIMARIES)
    except ResponseError as error:
        raise_unless_refused(error)
        return {}
    # For a single primary, redis-py omits the node's name.
    return info if all(isinstance(node, dict) for node in info.values()) else {"": info}


async def primary_times(redis: Any) -> list[float]:
    """Return the clock of one Redis, or of every primary of a cluster, in seconds since 1970."""
    if not isinstance(redis, RedisCluster):
        answers = [await redis.time()]
    else:
        times: Any = await redis.time(target_nodes=RedisCluster.PRIMARIES)
        # For a single primary, redis-py omits the node's name.
        answers = [*times.values()] if isinstance(times, dict) else [times]
    return [seconds + micros / 1e6 for seconds, micros in answers]


def raise_unless_refused(error: ResponseError) -> None:
    """Raise an error again unless it means that this server does not have or allow a command."""
    if isinstance(error, TEMPORARY_ERRORS) or "DB index" in str(error):
        raise error
