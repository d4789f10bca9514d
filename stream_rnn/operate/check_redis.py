"""Checks of Redis: may we, will it keep what it has, is there room, how fast is it."""

import statistics
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio import RedisCluster

from stream_rnn.errors import ConfigError, MovedError, StateError, StreamRNNError
from stream_rnn.model.network import Model
from stream_rnn.operate.check_result import Finding, bad, fine, warning
from stream_rnn.operate.key_states import state_bytes
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import RedisStore, check_redis, primary_info
from stream_rnn.store.state import Commit
from stream_rnn.text import format_duration

PINGS = 50
SLOW_MS = 5.0
CLOCKS_APART_S = 2.0
OLDEST = (6, 2)  # COPY, for exports
NO_POSITION = -1

Facts = Mapping[str, Any]


async def check_store(redis: Any, settings: FoldSettings) -> list[Finding]:
    """Check that Redis answers, keeps what it has, and runs scripts."""
    try:
        await check_redis(redis, settings)
    except StreamRNNError as error:
        return [bad("redis", str(error), "until then a worker does not start")]
    found = [fine("redis", "answers, and evicts nothing")]
    nodes = await primary_info(redis)
    for node, facts in nodes.items():
        found += [_version(node, facts), _persistence(node, facts)]
    return found


def _version(node: str, facts: Facts) -> Finding:
    number = str(facts.get("valkey_version", facts.get("redis_version", "0")))
    version = tuple(int(part) for part in number.split(".")[:2])
    text = f"{node} {number}".strip()
    if version < OLDEST:
        return bad("redis version", text, "6.2 or later is needed: upgrade it")
    return fine("redis version", text)


def _persistence(node: str, facts: Facts) -> Finding:
    name, of = "redis persistence", f"{node}: " if node else ""
    if facts.get("aof_enabled"):
        if facts.get("aof_last_write_status") != "ok":
            return bad(
                name, f"{of}its append-only file cannot be written", "look at its disk and log"
            )
        return fine(name, f"{of}appendonly")
    if facts.get("rdb_last_bgsave_status") != "ok":
        return bad(name, f"{of}its last snapshot failed", "look at its disk and log")
    return warning(
        name,
        f"{of}no append-only file: a restart loses states",
        "appendonly yes, appendfsync everysec; without it every restart is a rebuild from the log",
    )


def check_memory(
    nodes: Collection[Facts], model: Model, settings: FoldSettings, keys: int | None, held: int
) -> Finding:
    """Check that the expected number of keys fits into all primaries together.

    Args:
        nodes: what each primary says of its memory.
        model: its hidden states are counted.
        settings: of the worker.
        keys: expected, all in all.
        held: of them in Redis already.
    """
    used = sum(int(facts.get("used_memory", 0)) for facts in nodes)
    limit = sum(
        int(facts.get("maxmemory", 0)) or int(facts.get("total_system_memory", 0))
        for facts in nodes
    )
    each = state_bytes(model, 16)
    said = f"{used / 1e6:,.0f} of {limit / 1e6:,.0f} MB used"
    if keys is None:
        return fine("redis memory", f"{said}; about {each:.0f} bytes a key, see --keys")
    needed = max(0, keys - held) * each
    if used + needed > limit:
        return bad(
            "redis memory",
            f"{said}; {keys:,} keys of app {settings.app}, {held:,} of them there, take about "
            f"{needed / 1e6:,.0f} MB more",
            "raise maxmemory, or spread the partitions over a cluster",
        )
    more = f"{keys:,} keys, {held:,} of them there, take about {needed / 1e6:,.0f} MB more"
    return fine("redis memory", f"{said}; {more}")


async def check_speed(redis: Any, wall: Callable[[], float]) -> list[Finding]:
    """Ping it, and compare clocks."""
    times = []
    for _ in range(PINGS):
        began = time.perf_counter()
        await redis.ping()
        times.append(1000 * (time.perf_counter() - began))
    middle, most = statistics.median(times), max(times)
    said = f"{middle:.2f} ms an answer, at most {most:.1f}"
    found = [
        fine("redis latency", said)
        if middle < SLOW_MS
        else warning("redis latency", said, "put workers and Redis into one zone")
    ]
    if not isinstance(redis, RedisCluster):
        seconds, micros = await redis.time()
        apart = abs(wall() - seconds - micros / 1e6)
        said = f"{format_duration(apart)} from that of Redis"
        found.append(
            fine("clock", said)
            if apart < CLOCKS_APART_S
            else warning("clock", said, "synchronize both machines: ages and lags are wrong")
        )
    return found


async def check_rights(store: RedisStore) -> Finding:
    """Run what a worker runs, in a way that writes nothing."""
    name, remedy = "redis rights", "see deploy/README.md for the commands and keys of its user"
    try:
        keys = (await store.read()).fields
    except ConfigError as error:
        return bad(name, str(error), remedy)
    try:
        with suppress(MovedError):  # it answered: the position is another one
            await store.scan(NO_POSITION, 0, 1)
        # No position is -1, so the script finds it moved, and writes nothing.
        await store.commit(
            Commit(
                expected_position=NO_POSITION,
                origin=NO_POSITION,
                position=0,
                anchor=None,
                stream_time_ms=None,
                numerics="",
                writes=[],
                deletes=[],
            )
        )
    except MovedError:
        return fine(name, f"reads, scans and scripts may be used; partition 0 holds {keys} states")
    except StateError as error:
        return bad(name, str(error), "a worker rebuilds it; what else writes there?")
    except ConfigError as error:
        return bad(name, str(error), remedy)
    return bad(name, "a commit that had to be refused was not", "this is a fault of the software")
