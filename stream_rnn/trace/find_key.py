"""Finding a key in a log, and unrolling the network over its events."""

from dataclasses import replace

from stream_rnn.errors import ConfigError
from stream_rnn.keys import BASE64, describe_key, shorten, similar_keys
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
    """Find a key in a log, inside of its context, and unroll the network over its events.

    Raises:
        ConfigError: the key is not there, or is in several partitions of a topic.
    """
    found = []
    for one in await _ranges_to_read(log, key, partition):
        unrolled = await unroll(
            model,
            settings,
            key,
            log.batches(_ended(one, until)),
            source=log.name,
            partition=one.partition,
            start=one.start,
            until=until,
            last=last,
        )
        if unrolled.records:
            found.append(unrolled)
    if len(found) > 1:
        places = ", ".join(str(one.partition) for one in found)
        raise ConfigError(
            f"key {describe_key(key)} is in partitions {places} of {log.name}, and has a memory "
            "of its own in each; name one with --partition"
        )
    if not found:
        raise await _absent(log, key, partition, until)
    return found[0]


def _ended(whole: Range, until: int | None) -> Range:
    if until is None or whole.end is None:
        return whole
    return replace(whole, end=max(whole.start, min(whole.end, until + 1)))


async def _ranges_to_read(log: Log, key: bytes, partition: int | None) -> list[Range]:
    """Return where a key may be.

    A file was split by the key, so one partition is known to hold it.  Of a topic nobody knows how
    its producers partition (Kafka's own clients alone have murmur2 and crc32), so all of it is
    read, unless one partition is named.

    Raises:
        ConfigError: the partition that was named does not exist, or the log is a file.
    """
    ranges = await log.ranges()
    if isinstance(log, FileLog):
        held = partition_of(key, log.partitions)
        if partition not in (None, held):
            message = (
                f"{name_of(log.rows)} is split by key: {describe_key(key)} is in partition {held}"
            )
            raise ConfigError(f"{message}; leave --partition {partition} out")
        return [ranges[held]]
    found = [one for one in ranges if partition in (None, one.partition)]
    if not found:
        message = f"topic {log.name} has {len(ranges)} partitions, from 0 on"
        raise ConfigError(f"{message}; there is no --partition {partition}")
    return found


async def _absent(log: Log, key: bytes, partition: int | None, until: int | None) -> ConfigError:
    """Return the error that says what keys there are instead; reads the log once more."""
    keys, shown = await _some_keys(log), shorten(describe_key(key))
    if key in keys:
        bounds = [f"in partition {partition}"] if partition is not None else []
        bounds += [f"up to offset {until}"] if until is not None else []
        return ConfigError(
            f"key {shown!r} has no record {' '.join(bounds)} of {log.name}, but elsewhere; "
            "leave --partition out, or take a greater --until"
        )
    count = f"more than {KEYS_MAX:,}" if len(keys) > KEYS_MAX else f"{len(keys):,}"
    similar = [repr(shorten(one)) for one in similar_keys(key, keys)]
    named = f"similar: {', '.join(similar)}" if similar else "none is similar"
    return ConfigError(
        f"no record of {log.name} in this range has the key {shown!r}; "
        f"{count} keys are there, {named}; bytes that are no text are given as {BASE64}..."
    )


async def _some_keys(log: Log) -> set[bytes]:
    whole = replace(log, partitions=1) if isinstance(log, FileLog) else log
    keys: set[bytes] = set()
    for one in await whole.ranges():
        async for records in whole.batches(one):
            if len(keys) <= KEYS_MAX:
                keys.update(record.key for record in records if record.key is not None)
    return keys
