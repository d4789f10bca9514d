"""A sample of a topic's records, read within bounds of records, bytes and time."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.kafka.clients import new_consumer, stop_consumer
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.connection import connection_options

RECORDS_MAX = 100_000
RECORDS_MIN = 100  # of a partition
BYTES_MAX = 64_000_000
SAMPLE_S = 10.0
NEWEST_MAX = 10_000
PARTITIONS_AT_ONCE = 64
FETCH_BYTES = 262_144  # of a partition; a record batch that is longer comes as a whole
POLL_MS = 100
POLL_RECORDS_MAX = 2_000


@dataclass(slots=True)
class KeySample:
    """A sample of the records of a topic: their keys, and some of the newest as a whole.

    Attributes:
        partitions: Number of partitions of the topic.
        records: Number of records that were read.
        without_key: Number of records without a key; a partitioner spreads them.
        events: (key, partition) -> number of events; a null value is no event.
        sampled: Partitions of which the sample has at least one record.
        is_complete: Whether all planned ranges were read before a bound ended the sample.
        newest: Some of the newest records, for the check of events.
    """

    partitions: int
    records: int = 0
    without_key: int = 0
    events: Counter[tuple[bytes, int]] = field(default_factory=Counter)
    sampled: set[int] = field(default_factory=set)
    is_complete: bool = False
    newest: list[ConsumerRecord] = field(default_factory=list)

    def add(self, partition: int, records: Iterable[ConsumerRecord]) -> None:
        """Add records of a partition."""
        for record in records:
            self.records += 1
            if len(self.newest) < NEWEST_MAX:
                self.newest.append(record)
            self.sampled.add(partition)
            if record.key is None:
                self.without_key += 1
            elif record.value is not None:
                self.events[record.key, partition] += 1

    def partitions_of_keys(self) -> dict[bytes, list[int]]:
        """Return the partitions of each key."""
        partitions: dict[bytes, list[int]] = {}
        for key, partition in self.events:
            partitions.setdefault(key, []).append(partition)
        return partitions

    def repeated_keys(self) -> int:
        """Return the number of keys with more than one event."""
        counts: Counter[bytes] = Counter()
        for (key, _), count in self.events.items():
            counts[key] += count
        return sum(count > 1 for count in counts.values())


@dataclass(frozen=True, slots=True)
class _Range:
    tp: TopicPartition
    start: int
    end: int


async def sample_keys(
    cluster: KafkaCluster, topic: str, partitions: int, within_s: float = SAMPLE_S
) -> KeySample:
    """Read the newest and the oldest records of every partition.

    The newest show the producers of today, the oldest those of before, and how many partitions the
    topic had.  The sample ends at a bound, with what was read until then.  It joins no group.

    Args:
        cluster: The open cluster.
        topic: Name of the topic.
        partitions: Number of its partitions.
        within_s: Longest time to read, in seconds.

    Raises:
        StreamRNNError: Kafka does not answer, or a record batch cannot be read.
        KafkaError: Kafka answers with an error.
    """
    sample = KeySample(partitions)
    tps = [TopicPartition(topic, number) for number in range(partitions)]
    starts = await cluster.await_answer(cluster.consumer.beginning_offsets(tps), topic)
    ends = await cluster.await_answer(cluster.consumer.end_offsets(tps), topic)
    half = max(RECORDS_MIN, RECORDS_MAX // partitions) // 2
    newest, oldest = [], []
    for tp in tps:
        start, end = starts[tp], ends[tp]
        middle = max(start, end - half)
        if middle < end:
            newest.append(_Range(tp, middle, end))
        if start < middle:
            oldest.append(_Range(tp, start, min(middle, start + half)))
    reader = _Reader(cluster, sample)
    try:
        async with asyncio.timeout(within_s):
            for ranges in (newest, oldest):
                for first in range(0, len(ranges), PARTITIONS_AT_ONCE):
                    await reader.read(ranges[first : first + PARTITIONS_AT_ONCE])
            sample.is_complete = reader.bytes < BYTES_MAX
    except TimeoutError:
        pass  # the sample has what was read until now
    return sample


class _Reader:
    """Reads ranges into a sample.

    Attributes:
        bytes: Bytes of keys and values that were read.
    """

    def __init__(self, cluster: KafkaCluster, sample: KeySample) -> None:
        self._cluster, self._sample = cluster, sample
        self.bytes = 0

    async def read(self, ranges: Sequence[_Range]) -> None:
        """Read ranges of different partitions, by one consumer."""
        if self.bytes >= BYTES_MAX:
            return
        settings = self._cluster.settings
        consumer = new_consumer(
            isolation_level="read_committed",
            auto_offset_reset="earliest",  # retention may remove the oldest records meanwhile
            enable_auto_commit=False,
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=int(settings.kafka_timeout_s * 1000),
            **connection_options(settings),
        )
        try:
            await consumer.start()
            consumer.assign([each.tp for each in ranges])
            for each in ranges:
                consumer.seek(each.tp, each.start)
            left = {each.tp: each.end for each in ranges}
            while left and self.bytes < BYTES_MAX:
                fetched = await consumer.getmany(
                    *left, timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX
                )
                for tp, records in fetched.items():
                    self._add(tp, [record for record in records if record.offset < left[tp]])
                for tp in [*left]:
                    if await consumer.position(tp) >= left[tp]:
                        del left[tp]
                        consumer.pause(tp)
        finally:
            await stop_consumer(consumer, settings.revoke_timeout_s)

    def _add(self, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        self._sample.add(tp.partition, records)
        self.bytes += sum(len(each.key or b"") + len(each.value or b"") for each in records)
