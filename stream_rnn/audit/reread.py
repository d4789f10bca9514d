"""Outputs that are read again by their offset in the output topic."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.kafka.cluster import KafkaCluster

GAP_MAX = 1000  # offsets between two records of one read


async def record_at(
    cluster: KafkaCluster, tp: TopicPartition, output_offset: int
) -> ConsumerRecord | None:
    """Read one record; return ``None`` if the topic no longer contains it."""
    async with aclosing(cluster.batches(tp, output_offset, output_offset + 1)) as batches:
        async for records in batches:
            return records[0]
    return None


async def records_at(
    cluster: KafkaCluster, tp: TopicPartition, output_offsets: Iterable[int]
) -> AsyncGenerator[ConsumerRecord]:
    """Yield the records that still exist; one read fetches all that are close to each other."""
    ordered, first = sorted(set(output_offsets)), 0
    requested = set(ordered)
    for after in range(1, len(ordered) + 1):
        if after < len(ordered) and ordered[after] - ordered[after - 1] < GAP_MAX:
            continue
        async with aclosing(cluster.batches(tp, ordered[first], ordered[after - 1] + 1)) as batches:
            async for records in batches:
                for record in records:
                    if record.offset in requested:
                        yield record
        first = after
