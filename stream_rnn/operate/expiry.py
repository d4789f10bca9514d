"""The expiry of hidden states in partitions that receive no records: ticks, which move stream time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_rnn.errors import ConfigError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.record_limits import TICK_KEY
from stream_rnn.operate.distinct_keys import DistinctKeys
from stream_rnn.operate.key_states import POLL_S, publish_forgets, wait_until_folded
from stream_rnn.operate.open_fold import Fold, FoldPartition
from stream_rnn.settings import Settings
from stream_rnn.store.server_checks import primary_times
from stream_rnn.store.state import StateCodec, StoredPosition
from stream_rnn.store.sweep import PAGES_MAX
from stream_rnn.text import format_time

CLOCK_AHEAD_MIN_S = 60
OLD_S = 86_400
"""Age of a last record, beyond the required silence, at which it may belong to a backfill."""
PAGE_FIELDS = 1000  # Redis serves no other client while it reads a page
MARGIN_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What is compared with the states of each partition.

    Attributes:
        ttl_s: ``state_ttl`` in seconds.
        least_s: Least age of the last record in seconds.
        now_ms: Time of the tick in milliseconds.
        skew: Why the clock is not to be trusted; empty if it is.
        has_append_time: Whether the broker sets the timestamps of the source.
    """

    ttl_s: float
    least_s: float
    now_ms: float
    skew: str = ""
    has_append_time: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryPlan:
    """What a tick does in one partition.

    Attributes:
        partition: Partition of the source.
        keys: Number of hidden states in Redis.
        stays: Number of them that the tick does not expire.
        stream_time_ms: Stream time in milliseconds; ``None`` before the first event.
        last_record_ms: Timestamp of the last record in milliseconds; ``None`` without a record.
        reason: Why the partition needs no tick; empty if it gets one.
        refusal: Why a tick would probably do harm; empty if not.
    """

    partition: int
    keys: int
    stays: int = 0
    stream_time_ms: int | None
    last_record_ms: int | None = None
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
    places = fold.select(partition)
    source = fold.settings.source
    config = (await fold.cluster.topics(source))[source].config
    silence = Silence(
        ttl_s=ttl_s,
        least_s=ttl_s if silent_s is None else silent_s,
        now_ms=now_ms,
        skew=await _clock_skew(places, now_ms, ttl_s) if places else "",
        has_append_time=config.get("message.timestamp.type") == "LogAppendTime",
    )
    codec = StateCodec(fold.model.hidden_size_floats, fold.model.tail_size_floats)
    return await _plan_each(places, codec, silence)


async def _clock_skew(places: Sequence[FoldPartition], now_ms: float, ttl_s: float) -> str:
    """Return how far ahead of Redis's clock this machine's is, if states would expire early."""
    store = places[0].store
    try:
        times_s = await store.await_reply(primary_times(store.redis))
    except ConfigError:  # some services refuse TIME
        return ""
    ahead_s = now_ms / 1000 - min(times_s)
    if ahead_s <= max(CLOCK_AHEAD_MIN_S, 0.1 * ttl_s):
        return ""
    return f"the clock of this machine is {ahead_s:.0f} s ahead of Redis's; set the clock"


def _refusal(stored: StoredPosition, silence: Silence) -> str:
    """Return why later events are probably as old as earlier ones; empty if they are not."""
    if stored.anchor is None or stored.anchor.timestamp < 0:
        return ""
    record_ms, stream_ms = stored.anchor.timestamp, stored.stream_time_ms
    harm = (
        "after a tick, later events with such times would find no memory, and nothing undoes a "
        "tick; run it after the backfill, or use --force"
    )
    if stream_ms is not None and record_ms - stream_ms > 1000 * silence.ttl_s:
        return (
            f"its event times are in the past: its last record is of {format_time(record_ms)}, and "
            f"stream time is {format_time(stream_ms)}; {harm}"
        )
    age_s = (silence.now_ms - record_ms) / 1000
    if age_s <= silence.least_s + OLD_S or silence.has_append_time:
        return ""
    return (
        f"its last record is of {format_time(record_ms)}: the partition is silent since then, or "
        f"old records are being sent to it; {harm} for a partition that is silent"
    )


async def _plan_each(
    places: Sequence[FoldPartition], codec: StateCodec, silence: Silence
) -> list[ExpiryPlan]:
    """Plan one partition after another, because a plan may read all its states."""
    return [await _plan(place, codec, silence) for place in places]


async def _plan(place: FoldPartition, codec: StateCodec, silence: Silence) -> ExpiryPlan:
    stored, end = await place.store.read(), await place.log.log_end()
    now_ms, stays = silence.now_ms, 0
    reason = _reason(stored, end, silence)
    oldest_ms = now_ms - 1000 * silence.ttl_s
    if not reason and (stored.stream_time_ms is None or stored.stream_time_ms >= oldest_ms):
        stays = await _count_since(place, codec, oldest_ms)
        if stays >= stored.fields:
            reason = f"none of its {stored.fields} states would expire now"
    return ExpiryPlan(
        partition=place.partition,
        keys=stored.fields,
        stays=stays,
        stream_time_ms=stored.stream_time_ms,
        last_record_ms=None if stored.anchor is None else stored.anchor.timestamp,
        reason=reason,
        refusal="" if reason else silence.skew or _refusal(stored, silence),
    )


def _reason(stored: StoredPosition, end: int, silence: Silence) -> str:
    """Return why a partition needs no tick; empty if it may need one."""
    now_ms, stream_ms = silence.now_ms, stored.stream_time_ms
    if not stored.fields or stored.position is None:
        return "Redis has no states of it"
    if end > stored.position:
        return f"{end - stored.position} records are not folded yet"
    if stored.anchor is not None and now_ms - stored.anchor.timestamp < 1000 * silence.least_s:
        age_s = max(0.0, now_ms - stored.anchor.timestamp) / 1000
        return (
            f"its last record is only {age_s:.0f} s old, which is less than {silence.least_s:g} s"
        )
    if stream_ms is not None and stream_ms >= now_ms:
        return f"stream time is {format_time(stream_ms)}, ahead of now, so a tick would not move it"
    return ""


async def _count_since(place: FoldPartition, codec: StateCodec, since_ms: float) -> int:
    """Return the number of states whose last event is not before a time; reads all states.

    It is an estimate if Redis resizes a large hash meanwhile, and so returns some states twice.
    """
    store, cursor, keys = place.store, 0, DistinctKeys()
    while True:
        call: Any = store.redis.hscan(store.hidden_key, cursor, count=PAGE_FIELDS)
        cursor, page = await store.await_reply(call)
        names, values = list(page), list(page.values())
        later = np.flatnonzero(codec.decode(values).last_ms >= since_ms).tolist() if values else []
        keys.add(names[i] for i in later)
        if not int(cursor):
            return keys.count


def needed_s(settings: Settings, plans: Sequence[ExpiryPlan]) -> float:
    """Return the seconds after which idle workers have deleted what ticks expire.

    Workers begin ``idle_check_s`` after a tick; it is that of these settings.
    """
    rate = PAGES_MAX * settings.sweep_fields_max / settings.sweep_interval_s  # states a second
    return MARGIN_S + settings.idle_check_s + 2 * max(plan.keys for plan in plans) / rate


async def expire(fold: Fold, plans: Sequence[ExpiryPlan], within_s: float) -> tuple[bool, int]:
    """Publish a tick to some partitions, and wait until workers have deleted what it expires.

    Args:
        fold: The fold.
        plans: Plans of the partitions.
        within_s: Longest time to wait.

    Returns:
        Whether workers have folded all ticks, and the number of expired states that are left.

    Raises:
        FencedError: Kafka did not acknowledge the records; sending them again does no harm.
    """
    deadline = time.monotonic() + within_s
    stays = {plan.partition: plan.stays for plan in plans}
    offsets = await publish_forgets(fold, TICK_KEY, [*stays])
    is_folded = await wait_until_folded(fold, offsets, within_s)
    places = [place for place in fold.places if place.partition in offsets]
    while True:
        stored = await gather_or_cancel(place.store.read() for place in places)
        left = sum(
            max(0, position.fields - stays[place.partition])
            for place, position in zip(places, stored, strict=True)
        )
        if not left or not is_folded or time.monotonic() > deadline:
            return is_folded, left
        await asyncio.sleep(POLL_S)
