"""The expiry of hidden states in partitions that receive no records: ticks, which move stream time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from stream_rnn.errors import ConfigError
from stream_rnn.fold.record_limits import TICK_KEY
from stream_rnn.operate.key_states import POLL_S, publish_forgets, wait_until_folded
from stream_rnn.operate.open_fold import Fold, FoldPartition
from stream_rnn.store.state import StoredPosition
from stream_rnn.text import format_time

CLOCK_AHEAD_MIN_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryPlan:
    """What a tick does in one partition.

    Attributes:
        partition: Partition of the source.
        keys: Number of hidden states in Redis.
        stream_time_ms: Stream time in milliseconds; ``None`` before the first event.
        reason: Why the partition needs no tick; empty if it gets one.
        refusal: Why a tick would probably do harm; empty if not.
    """

    partition: int
    keys: int
    stream_time_ms: int | None
    reason: str
    refusal: str = ""


async def plan_expiry(
    fold: Fold, partition: int | None, silent_s: float | None, now_ms: float
) -> list[ExpiryPlan]:
    """Return for each partition whether a tick would free its states.

    Args:
        fold: The fold.
        partition: Partition to plan for; ``None`` for all.
        silent_s: Least age of the last record in seconds; ``None`` for ``state_ttl``.
        now_ms: Time of the tick in milliseconds.

    Raises:
        ConfigError: Hidden states of this fold never expire.
    """
    ttl_s = fold.settings.state_ttl
    if ttl_s is None:
        raise ConfigError(
            "hidden states of this fold never expire: state_ttl is not set; give the worker's "
            "--state-ttl, or set STREAM_RNN_STATE_TTL"
        )
    least_s = ttl_s if silent_s is None else silent_s
    places = fold.select(partition)
    skew = await _clock_skew(places, now_ms, ttl_s) if places else ""
    return await asyncio.gather(*(_plan(place, least_s, now_ms, ttl_s, skew) for place in places))


async def _clock_skew(places: Sequence[FoldPartition], now_ms: float, ttl_s: float) -> str:
    """Return how far ahead of Redis's clock this machine's is, if states would expire early."""
    redis = places[0].store.redis
    if not hasattr(redis, "connection_pool"):
        return ""  # a cluster has no single clock
    try:
        seconds, _ = await places[0].store.await_reply(redis.time())
    except ConfigError:  # some services refuse TIME
        return ""
    ahead_s = now_ms / 1000 - seconds
    if ahead_s <= max(CLOCK_AHEAD_MIN_S, 0.1 * ttl_s):
        return ""
    return f"the clock of this machine is {ahead_s:.0f} s ahead of Redis's; set the clock"


def _refusal(stored: StoredPosition, ttl_s: float) -> str:
    """Return why later events are probably as old as earlier ones; empty if they are not."""
    if stored.anchor is None or stored.stream_time_ms is None or stored.anchor.timestamp < 0:
        return ""
    behind_s = (stored.anchor.timestamp - stored.stream_time_ms) / 1000
    if behind_s <= ttl_s:
        return ""
    return (
        f"its event times are in the past: its last record is of "
        f"{format_time(stored.anchor.timestamp)}, and stream time is "
        f"{format_time(stored.stream_time_ms)}; after a tick, later events with such times would "
        "find no memory, and nothing undoes a tick; run it after the backfill, or use --force"
    )


async def _plan(
    place: FoldPartition, silent_s: float, now_ms: float, ttl_s: float, skew: str
) -> ExpiryPlan:
    stored, end = await place.store.read(), await place.log.log_end()
    reason = ""
    if not stored.fields or stored.position is None:
        reason = "Redis has no states of it"
    elif end > stored.position:
        reason = f"{end - stored.position} records are not folded yet"
    elif stored.anchor is not None and now_ms - stored.anchor.timestamp < 1000 * silent_s:
        age_s = max(0.0, now_ms - stored.anchor.timestamp) / 1000
        reason = f"its last record is only {age_s:.0f} s old, which is less than {silent_s:g} s"
    return ExpiryPlan(
        partition=place.partition,
        keys=stored.fields,
        stream_time_ms=stored.stream_time_ms,
        reason=reason,
        refusal="" if reason else skew or _refusal(stored, ttl_s),
    )


async def expire(fold: Fold, partitions: list[int], within_s: float) -> tuple[bool, int]:
    """Publish a tick to some partitions, and wait until workers have freed what it expires.

    Args:
        fold: The fold.
        partitions: Partitions of the source.
        within_s: Longest time to wait.

    Returns:
        Whether workers have folded all ticks, and the number of states that are left.

    Raises:
        FencedError: Kafka did not acknowledge the records; sending them again does no harm.
    """
    deadline = time.monotonic() + within_s
    offsets = await publish_forgets(fold, TICK_KEY, partitions)
    is_folded = await wait_until_folded(fold, offsets, within_s)
    places = [place for place in fold.places if place.partition in offsets]
    while True:
        stored = await asyncio.gather(*(place.store.read() for place in places))
        left = sum(position.fields for position in stored)
        if not left or not is_folded or time.monotonic() > deadline:
            return is_folded, left
        await asyncio.sleep(POLL_S)
