"""Outputs read again, by where they stand in their topic."""

from collections.abc import AsyncIterator, Iterable

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.kafka.cluster import KafkaCluster

NEAR = 1000  # places that one read bridges


async def record_at(cluster: KafkaCluster, tp: TopicPartition, place: int) -> ConsumerRecord | None:
    """Read one record; ``None`` if it is not there any more."""
    async for records in cluster.batches(tp, place, place + 1):
        return records[0]
    return None


async def records_at(
    cluster: KafkaCluster, tp: TopicPartition, wanted: Iterable[int]
) -> AsyncIterator[ConsumerRecord]:
    """Yield some records by place, those that are still there: one read for all that are near."""
    places, first = sorted(set(wanted)), 0
    chosen = set(places)
    for after in range(1, len(places) + 1):
        if after < len(places) and places[after] - places[after - 1] < NEAR:
            continue
        async for records in cluster.batches(tp, places[first], places[after - 1] + 1):
            for record in records:
                if record.offset in chosen:
                    yield record
        first = after
