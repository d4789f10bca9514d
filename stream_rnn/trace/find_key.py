"""Finding a key in a log, and unrolling the network over its events."""

from contextlib import aclosing
from dataclasses import replace
from itertools import islice

from stream_rnn.errors import ConfigError
from stream_rnn.key_spellings import NearKey, Spellings, format_partitions, list_near_keys
from stream_rnn.keys import KEY_FORMS, describe_key, shorten, similar_keys
from stream_rnn.model.network import Model
from stream_rnn.replay.files import name_of, partition_of
from stream_rnn.replay.logs import FileLog, Log, Range
from stream_rnn.settings import Settings
from stream_rnn.trace.unroll import LAST, Unrolled, unroll

KEYS_MAX = 100_000


async def unroll_log(
    log: Log,
    model: Model,
    settings: Settings,
    key: bytes,
    *,
    partition: int | None = None,
    until: int | None = None,
    last: int = LAST,
) -> Unrolled:
    """Find a key in an open log, and unroll the network over its events.

    Args:
        log: An open log.
        model: The model.
        settings: Settings of the fold.
        key: The record key.
        partition: Partition to read; ``None`` for any.
        until: Offset of the last event to step; ``None`` for no limit.
        last: Number of steps to keep.

    Raises:
        ConfigError: The log does not contain the key, or several partitions of a topic do.
    """
    matches = []
    for source_range in await _ranges_to_read(log, key, partition):
        unrolled = await unroll(
            model,
            settings,
            key,
            log.batches(_limit_range(source_range, until)),
            source=log.name,
            partition=source_range.partition,
            start=source_range.start,
            until=until,
            last=last,
        )
        if unrolled.records:
            matches.append(unrolled)
    if len(matches) > 1:
        partitions = format_partitions(match.partition for match in matches)
        raise ConfigError(
            f"key {describe_key(key)} is in {partitions} of {log.name}, with a separate memory in "
            "each; choose one with --partition (deploy/README.md, One key in two partitions, names "
            "the usual cause)"
        )
    if not matches:
        raise await _key_not_found(log, key, partition, until)
    return matches[0]


def _limit_range(whole: Range, until: int | None) -> Range:
    if until is None or whole.end is None:
        return whole
    return replace(whole, end=max(whole.start, min(whole.end, until + 1)))


async def _ranges_to_read(log: Log, key: bytes, partition: int | None) -> list[Range]:
    """Return the ranges that may contain a key.

    The rows of a file are split by key, so that the partition is known.  The producers of a topic
    may partition in any way (Kafka's own clients use murmur2 or crc32), so that all partitions are
    read unless one is given.

    Raises:
        ConfigError: The given partition does not exist, or is not that of the key in a file.
    """
    ranges = await log.ranges()
    if isinstance(log, FileLog):
        number = partition_of(key, log.partitions)
        if partition not in (None, number):
            message = (
                f"{name_of(log.rows)} is split by key: {describe_key(key)} is in partition {number}"
            )
            raise ConfigError(f"{message}; leave out --partition {partition}")
        return [ranges[number]]
    matches = [each for each in ranges if partition in (None, each.partition)]
    if not matches:
        message = f"topic {log.name} has {len(ranges)} partitions, numbered from 0"
        raise ConfigError(f"{message}; there is no --partition {partition}")
    return matches


async def _key_not_found(
    log: Log, key: bytes, partition: int | None, until: int | None
) -> ConfigError:
    """Return an error that names similar keys; reads the log once more."""
    spellings, shown = Spellings(key), shorten(describe_key(key))
    keys, near = await _list_keys(log, key, spellings)
    if key in keys:
        bounds = [f"in partition {partition}"] if partition is not None else []
        bounds += [f"up to offset {until}"] if until is not None else []
        return ConfigError(
            f"key {shown!r} has records in {log.name}, but none {' '.join(bounds)}; leave out "
            "--partition, or choose a greater --until"
        )
    count = f"more than {KEYS_MAX:,}" if len(keys) > KEYS_MAX else f"{len(keys):,}"
    near += [NearKey(other, "") for other in similar_keys(key, keys - {each.key for each in near})]
    names = f"similar: {list_near_keys(near)}" if near else "none is similar"
    return ConfigError(
        f"no record of {log.name} in this range has the key {shown!r}; the range has {count} keys, "
        f"{names}. A key is {KEY_FORMS}"
    )


async def _list_keys(
    log: Log, wanted: bytes, spellings: Spellings
) -> tuple[set[bytes], list[NearKey]]:
    """Return little more than ``KEYS_MAX`` keys, and every key that is a near spelling.

    The keys contain ``wanted`` if any record has it.
    """
    is_file = isinstance(log, FileLog)
    whole = replace(log, partitions=1) if isinstance(log, FileLog) else log
    keys: set[bytes] = set()
    near: dict[bytes, tuple[str, set[int]]] = {}
    for source_range in await whole.ranges():
        async with aclosing(whole.batches(source_range)) as batches:
            async for records in batches:
                batch = {record.key for record in records if record.key is not None}
                keys |= batch & {wanted}
                for key in batch:
                    if (how := spellings.describe(key)) is not None:
                        near.setdefault(key, (how, set()))[1].add(source_range.partition)
                keys.update(islice(batch - keys, max(0, KEYS_MAX + 1 - len(keys))))
    return keys, [
        NearKey(key, how, () if is_file else tuple(sorted(partitions)))
        for key, (how, partitions) in near.items()
    ]
