"""A check of the latest dead letters: causes that have one remedy for all of them."""

from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing

from aiokafka import TopicPartition

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.operate.check_result import Finding, fine, warning
from stream_rnn.operate.dead_letters import DeadLetter
from stream_rnn.operate.local_times import TIME_AHEAD, LocalTimes
from stream_rnn.settings import FoldSettings

OFFSETS_MAX = 500
"""Latest offsets that are read of each partition."""


async def check_dead_letters(
    cluster: KafkaCluster, settings: FoldSettings, partitions: Mapping[str, int]
) -> Finding | None:
    """Check the latest dead letters of the source; ``None`` if there is none.

    Args:
        cluster: Clients of the cluster.
        settings: Settings of the worker.
        partitions: Number of partitions of each topic that exists.
    """
    count = partitions.get(settings.dead_letters_topic, 0)
    try:
        return await _check(cluster, settings, count)
    except ConfigError as error:  # no right to read the topic
        return warning("dead letters", str(error), "do what the message says")


async def _check(cluster: KafkaCluster, settings: FoldSettings, partitions: int) -> Finding | None:
    topic = settings.dead_letters_topic
    counts: Counter[str] = Counter()
    local_times = LocalTimes()
    for partition in range(partitions):
        tp = TopicPartition(topic, partition)
        start, end = await cluster.log_start(tp), await cluster.log_end(tp)
        async with aclosing(cluster.batches(tp, max(start, end - OFFSETS_MAX), end)) as batches:
            async for records in batches:
                for record in records:
                    letter = DeadLetter.parse(record)
                    if letter is None or letter.source[0] != settings.source:
                        continue
                    counts[letter.error] += 1
                    if letter.error == TIME_AHEAD:
                        local_times.add(letter.reason, letter.timestamp)
    if not counts:
        return None
    codes = ", ".join(f"{code} {count}" for code, count in counts.most_common())
    detail = f"the latest of {topic}: {codes}"
    if hint := local_times.hint():
        cause, _, remedy = hint.partition(": ")
        return warning("dead letters", f"{detail}; the times that are ahead {cause}", remedy)
    return fine("dead letters", detail)
