"""The expiry of hidden states in partitions that receive no records: ticks, which move stream time."""

import asyncio
import time
from dataclasses import dataclass

from stream_rnn.errors import ConfigError
from stream_rnn.fold.record_limits import TICK_KEY
from stream_rnn.operate.key_states import POLL_S, publish_forgets, wait_until_folded
from stream_rnn.operate.open_fold import Fold, FoldPartition


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryPlan:
    """What a tick does in one partition.

    Attributes:
        partition: Partition of the source.
        keys: Number of hidden states in Redis.
        stream_time_ms: Stream time in milliseconds; ``None`` before the first event.
        reason: Why the partition needs or gets no tick; empty if it gets one.
    """

    partition: int
    keys: int
    stream_time_ms: int | None
    reason: str


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
    return await asyncio.gather(*(_plan(place, least_s, now_ms) for place in places))


async def _plan(place: FoldPartition, silent_s: float, now_ms: float) -> ExpiryPlan:
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
