"""The erasure of a key: a forget in the log, and what it met.

A forget is a record with a null value.  It deletes the hidden state of its key in every fold that
reads it, now or in a rebuild.  It deletes no record: those of the key stay in the source and in the
outputs until retention (or the compaction of a compacted source) removes them.
"""

from collections.abc import Collection
from contextlib import aclosing
from dataclasses import dataclass

from aiokafka import TopicPartition

from stream_rnn.errors import ConfigError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.record_limits import TICK_KEY
from stream_rnn.operate.key_states import (
    count_unfolded,
    find_partitions,
    publish_forgets,
    wait_until_folded,
)
from stream_rnn.operate.open_fold import Fold

READ_RECORDS_MAX = 100_000
"""Most unfolded records of a partition that an erasure reads, to find those of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The result of an erasure.

    Attributes:
        states: Partitions that had a hidden state of the key before.
        offsets: Partition -> offset of the forget.
        unfolded: Number of the key's events that were not folded when the erasure began, in the
            partitions of the forgets; ``None`` if it is not known, because there are too many
            records to read.
        waiting: Number of unfolded records in all other partitions, which may have the key.
        is_folded: Whether workers have folded the forgets; ``None`` if nobody waited for that.
    """

    states: Collection[int]
    offsets: dict[int, int]
    unfolded: int | None
    waiting: int
    is_folded: bool | None

    @property
    def has_met_something(self) -> bool:
        """Whether a forget deletes a hidden state, or one that unfolded events make."""
        return bool({*self.states} & self.offsets.keys() or self.unfolded)


def require_erasable(key: bytes) -> None:
    """Check that a record with a null value only forgets a key.

    Raises:
        ConfigError: It would be a tick, which moves stream time.
    """
    if key == TICK_KEY:
        raise ConfigError(
            f"{TICK_KEY.decode()} is the key of ticks: a record with a null value under it moves "
            "stream time, and nothing undoes that; to let states expire, use stream-rnn state expire"
        )


async def erase_key(
    fold: Fold, key: bytes, partitions: Collection[int] | None, within_s: float
) -> Erasure:
    """Publish forgets of a key, and wait until they are folded.

    Args:
        fold: The fold.
        key: The record key.
        partitions: Partitions to publish to; ``None`` for those that have a hidden state of it.
        within_s: Longest time to wait, in seconds; 0 does not wait.

    Raises:
        FencedError: Kafka did not acknowledge the records; sending them again does no harm.
    """
    states = await find_partitions(fold, key)
    targets = sorted(states if partitions is None else partitions)
    stored = await gather_or_cancel(place.store.read() for place in fold.places)
    others = [place.partition for place in fold.places if place.partition not in targets]
    waiting = await count_unfolded(fold, others)
    if not targets:
        return Erasure(states=states, offsets={}, unfolded=0, waiting=waiting, is_folded=None)
    offsets = await publish_forgets(fold, key, targets)
    unfolded: int | None = 0
    for number in targets:
        begin, end = stored[number].position, offsets[number]
        count = await _count_events(fold, key, number, begin, end)
        unfolded = None if count is None or unfolded is None else unfolded + count
    is_folded = await wait_until_folded(fold, offsets, within_s) if within_s else None
    return Erasure(
        states=states, offsets=offsets, unfolded=unfolded, waiting=waiting, is_folded=is_folded
    )


async def _count_events(
    fold: Fold, key: bytes, partition: int, begin: int | None, end: int
) -> int | None:
    """Count the events of a key in a range; ``None`` if the range is too long to read."""
    tp = TopicPartition(fold.settings.source, partition)
    first = max(begin or 0, await fold.cluster.log_start(tp))
    if end - first > READ_RECORDS_MAX:
        return None
    count = 0
    async with aclosing(fold.cluster.batches(tp, first, end)) as batches:
        async for records in batches:
            count += sum(record.key == key and record.value is not None for record in records)
    return count
