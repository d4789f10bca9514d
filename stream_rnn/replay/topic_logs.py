"""Partitions of a topic, and the offsets of a range of it."""

from aiokafka import TopicPartition

from stream_rnn.errors import ConfigError
from stream_rnn.fold.event_time import parse_iso8601_ms
from stream_rnn.kafka.cluster import KafkaCluster


async def list_partitions(cluster: KafkaCluster, topic: str) -> range:
    """Return the partitions of a topic.

    Raises:
        ConfigError: The topic does not exist.
    """
    facts = (await cluster.topics(topic))[topic]
    if not facts.partitions:
        raise ConfigError(f"topic {topic} does not exist; check its name and --bootstrap-servers")
    return range(facts.partitions)


async def resolve_bound(
    cluster: KafkaCluster, tp: TopicPartition, text: str | None, *, is_end: bool
) -> int:
    """Return the offset of a bound of a range.

    Args:
        cluster: The open cluster.
        tp: The partition.
        text: An offset, or an ISO 8601 time (UTC unless it names a zone); ``None`` for the log
            start or the log end.
        is_end: Whether the bound is the end of the range.

    Raises:
        ConfigError: The text is neither an offset nor a time.
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
    offsets = await cluster.await_answer(cluster.consumer.offsets_for_times({tp: time_ms}), f"{tp}")
    return end if offsets.get(tp) is None else int(offsets[tp].offset)
