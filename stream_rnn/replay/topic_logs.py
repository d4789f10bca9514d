"""Which partitions and offsets a range of a topic means."""

from aiokafka import TopicPartition

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import parse_iso8601_ms
from stream_rnn.kafka.cluster import KafkaCluster


async def partitions_of(cluster: KafkaCluster, topic: str) -> range:
    """Return the partitions of a topic.

    Raises:
        ConfigError: it does not exist.
    """
    found = (await cluster.topics(topic))[topic]
    if not found.partitions:
        raise ConfigError(f"topic {topic} does not exist; check its name and --bootstrap-servers")
    return range(found.partitions)


async def bound(
    cluster: KafkaCluster, tp: TopicPartition, text: str | None, *, is_end: bool
) -> int:
    """Return the offset that a bound of a range means.

    Args:
        cluster: the cluster.
        tp: the partition.
        text: an offset, an ISO 8601 time (no zone: UTC), or ``None`` for all there is.
        is_end: whether it ends the range.

    Raises:
        ConfigError: it is neither.
    """
    start, end = await cluster.log_start(tp), await cluster.log_end(tp)
    if text is None:
        return end if is_end else start
    if text.isdecimal():
        return min(max(int(text), start), end)
    try:
        time_ms = parse_iso8601_ms(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is neither an offset nor an ISO 8601 time") from error
    found = await cluster.await_answer(cluster.consumer.offsets_for_times({tp: time_ms}), f"{tp}")
    return end if found.get(tp) is None else int(found[tp].offset)
