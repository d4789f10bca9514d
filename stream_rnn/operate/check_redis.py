"""Checks of Redis: access rights, persistence, memory and latency."""

import re
import secrets
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from redis.exceptions import ResponseError

from stream_rnn.errors import (
    ConfigError,
    MovedError,
    StateError,
    StreamRNNError,
    UnavailableError,
)
from stream_rnn.model.network import Model
from stream_rnn.operate.check_result import Finding, bad, fine, warning
from stream_rnn.operate.key_states import state_bytes
from stream_rnn.operate.rollout_cost import memory_of
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import check_redis, primary_info, primary_times
from stream_rnn.store.state import NO_COMMIT
from stream_rnn.text import format_duration

PINGS = 50
SLOW_MS = 5.0
CLOCK_OFFSET_MAX_S = 2.0
OLDEST_VERSION = (6, 2)  # the first version with COPY, which exports use

Facts = Mapping[str, Any]


async def check_store(redis: Any, settings: FoldSettings) -> list[Finding]:
    """Check that Redis answers, evicts no keys, and survives a restart."""
    try:
        warnings = await check_redis(redis, settings)
    except StreamRNNError as error:
        remedy = "do what the message says; until then, no worker starts"
        return [bad("redis", str(error), remedy)]
    findings = [warning("redis", *text.split("; ", 1)) for text in warnings]
    findings = findings or [fine("redis", "it answers, and evicts no keys")]
    nodes = await primary_info(redis)
    for node, facts in nodes.items():
        findings += [_version(node, facts), _persistence(node, facts)]
    return findings if nodes else [*findings, _not_checked("version, persistence, memory", "INFO")]


def _not_checked(what: str, command: str) -> Finding:
    remedy = f"allow {command}, or look at the console of the service"
    return warning("not checked", f"{what} of Redis: it refuses {command}", remedy)


def _version(node: str, facts: Facts) -> Finding:
    number = str(facts.get("valkey_version", facts.get("redis_version", "")))
    version = tuple(int(part) for part in re.findall(r"\d+", number)[:2])
    if not version:
        return _not_checked("version", "INFO server")
    text = f"{node} {number}".strip()
    if version < OLDEST_VERSION:
        return bad("redis version", text, "upgrade to 6.2 or later")
    return fine("redis version", text)


def _persistence(node: str, facts: Facts) -> Finding:
    name, prefix = "redis persistence", f"{node}: " if node else ""
    if "aof_enabled" not in facts and "rdb_last_bgsave_status" not in facts:
        return _not_checked("persistence", "INFO persistence")
    if facts.get("aof_enabled"):
        if facts.get("aof_last_write_status", "ok") != "ok":
            detail = f"{prefix}Redis cannot write its append-only file"
            return bad(name, detail, "check the disk and the log of Redis")
        return fine(name, f"{prefix}append-only file")
    if facts.get("rdb_last_bgsave_status", "ok") != "ok":
        detail = f"{prefix}the last snapshot failed"
        return bad(name, detail, "check the disk and the log of Redis")
    return warning(
        name,
        f"{prefix}no append-only file, so a restart loses hidden states",
        "set appendonly yes and appendfsync everysec; otherwise workers rebuild the states from "
        "the log after each restart",
    )


def check_memory(
    nodes: Collection[dict[str, Any]],
    model: Model,
    settings: FoldSettings,
    keys: int | None,
    stored: int,
) -> Finding:
    """Check that the expected number of keys fits into all primaries together.

    Args:
        nodes: Section ``memory`` of INFO of each primary.
        model: The model, for the size of its hidden states.
        settings: Settings of the worker.
        keys: Expected number of keys; ``None`` if unknown.
        stored: Number of keys in Redis now.
    """
    used, limit = memory_of(nodes)
    key_bytes = state_bytes(model, 16)
    if not limit:
        return _not_checked("memory", "INFO memory")
    detail = f"{used / 1e6:,.0f} of {limit / 1e6:,.0f} MB used"
    if keys is None:
        detail += f"; a key takes about {key_bytes:.0f} bytes; --keys N checks whether N keys fit"
        return fine("redis memory", detail)
    needed = max(0, keys - stored) * key_bytes
    detail += (
        f"; {keys:,} keys of app {settings.app}, of which {stored:,} are stored, need about "
        f"{needed / 1e6:,.0f} MB more"
    )
    if used + needed > limit:
        remedy = "raise maxmemory, or distribute the partitions over a Redis Cluster"
        return bad("redis memory", detail, remedy)
    return fine("redis memory", detail)


async def check_speed(redis: Any, wall: Callable[[], float]) -> list[Finding]:
    """Measure the latency of Redis, and compare its clock with that of this machine."""
    times = []
    try:
        for _ in range(PINGS):
            start = time.perf_counter()
            await redis.ping()
            times.append(1000 * (time.perf_counter() - start))
    except ResponseError:
        return [_not_checked("latency and clock", "PING")]
    median_ms = statistics.median(times)
    detail = f"median {median_ms:.2f} ms, maximum {max(times):.1f} ms"
    findings = [
        fine("redis latency", detail)
        if median_ms < SLOW_MS
        else warning("redis latency", detail, "run workers and Redis in the same zone")
    ]
    try:
        times_s = await primary_times(redis)
    except ResponseError:
        return [*findings, _not_checked("clock", "TIME")]
    offset_s = max(abs(wall() - time_s) for time_s in times_s)
    detail = f"{format_duration(offset_s)} between the clocks of Redis and this machine"
    remedy = "synchronize both clocks: ages and delays would be wrong"
    is_small = offset_s < CLOCK_OFFSET_MAX_S
    return [*findings, fine("clock", detail) if is_small else warning("clock", detail, remedy)]


async def _try_commands(store: RedisStore) -> None:
    """Run the commands of a worker's scripts and verbs in one transaction, which changes nothing.

    A script runs some of them only if there is something to write or to delete.
    """
    key = f"{store.hidden_key}:doctor-{secrets.token_hex(4)}"
    async with store.redis.pipeline(transaction=True) as pipe:
        pipe.hset(key, "field", "")
        pipe.hget(key, "field")
        pipe.hdel(key, "field")
        pipe.type(key)
        pipe.unlink(key)
        await store.await_reply(pipe.execute())


async def check_rights(store: RedisStore) -> Finding:
    """Run the commands of a worker, with arguments that change nothing."""
    name = "redis rights"
    remedy = "grant the user the commands and keys that deploy/README.md lists"
    try:
        keys = (await store.read()).fields
        await _try_commands(store)
    except ConfigError as error:
        return bad(name, str(error), remedy)
    except UnavailableError as error:  # it reads, and accepts no write: its memory is full
        return bad(name, str(error), "let Redis accept writes: free memory, or raise maxmemory")
    try:
        with suppress(MovedError):  # the script ran, and Redis has another position
            await store.scan(NO_COMMIT.expected_position, 0, 1)
        # No position is -1, so the script reports a moved position and writes nothing.
        await store.commit(NO_COMMIT)
    except MovedError:
        detail = f"reads, scans and scripts are allowed; partition 0 has {keys} hidden states"
        return fine(name, detail)
    except StateError as error:
        remedy = "check what else writes to this key; a worker rebuilds the state from the log"
        return bad(name, str(error), remedy)
    except ConfigError as error:
        return bad(name, str(error), remedy)
    detail = "Redis accepted a commit at a position that it does not have"
    return bad(name, detail, "report this: it is a bug in stream_rnn")
