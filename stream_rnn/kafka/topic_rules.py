"""The rules for output topics, for the worker that creates them and for all checks.

A topic that breaks a rule may refuse records later, although it accepts them at first, or may
remove records that it has just accepted.
"""

from typing import NamedTuple

from stream_rnn.kafka.topics import JAVA_LONG_MAX, TopicFacts
from stream_rnn.settings import Settings

TIMESTAMP_LIMITS = (
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.difference.max.ms",  # the only limit of brokers before 3.6
)

SHADOW_RETENTION_MS_MAX = 7 * 86_400_000
OUTPUT_BYTES_PER_KEY_BYTE = 7  # a prediction repeats the key in JSON, where a byte takes up to six


class TopicProblem(NamedTuple):
    """The reason why a topic cannot be an output.

    Attributes:
        description: Predicate of a sentence that begins with the topic's name.
        remedy: Remedy, in the imperative.
    """

    description: str
    remedy: str


def output_config(source: TopicFacts, settings: Settings) -> dict[str, str]:
    """Return the configuration of a new output topic.

    It overrides the broker's defaults.  These may suit only topics whose records have the time of
    their sending, or may need more replicas than the source has.

    Args:
        source: Source topic, whose configuration the output topic follows.
        settings: Settings of the worker.
    """
    config = {
        "cleanup.policy": "delete",
        # Recovery compares a prediction's timestamp with that of its source record.
        "message.timestamp.type": "CreateTime",
        "retention.ms": _number(_retention(source, "retention.ms")),
        "retention.bytes": _number(_retention(source, "retention.bytes")),
        "max.message.bytes": _number(
            max(source.limit("max.message.bytes"), float(settings.output_batch_bytes_max))
        ),
        "min.insync.replicas": _number(min(_min_in_sync(source), float(source.replication))),
        # A source record may have any age when it is folded.
        **{name: str(JAVA_LONG_MAX) for name in TIMESTAMP_LIMITS},
    }
    # A broker refuses settings that it does not know.
    return {name: value for name, value in config.items() if name in source.config}


def shadow_config(source: TopicFacts, settings: Settings) -> dict[str, str]:
    """Return the configuration of a new shadow topic, which keeps its records for a week at most.

    The broker sets the time of its records.  By the times of source records, which may be years
    old, retention would remove predictions that were just published.
    """
    config = {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": _number(min(_retention(source, "retention.ms"), SHADOW_RETENTION_MS_MAX)),
    }
    known = output_config(source, settings)
    return {**known, **{name: value for name, value in config.items() if name in known}}


def find_shadow_problem(
    topic: TopicFacts, source: TopicFacts, settings: Settings
) -> TopicProblem | None:
    """Return why a topic cannot be the shadow topic; ``None`` if it can.

    It may have less retention than the source, because nothing is recovered from it.
    """
    return _find_shape_problem(topic, source, settings) or _find_timestamp_problem(topic, source)


def find_topic_problem(
    topic: TopicFacts, source: TopicFacts, settings: Settings
) -> TopicProblem | None:
    """Return why a topic cannot be an output of a source; ``None`` if it can.

    Args:
        topic: Existing topic to check.
        source: Source topic of the fold.
        settings: Settings of the worker.
    """
    return (
        _find_shape_problem(topic, source, settings)
        or _find_retention_problem(topic, source, settings)
        or _find_timestamp_problem(topic, source)
    )


def _find_shape_problem(
    topic: TopicFacts, source: TopicFacts, settings: Settings
) -> TopicProblem | None:
    """Check partitions, compaction, sizes and replicas."""
    if topic.partitions != source.partitions:
        return TopicProblem(
            f"has {topic.partitions} partitions, and the source {source.name} has "
            f"{source.partitions}: an output goes to the partition of its source record",
            f"create a topic with {source.partitions} partitions and name it with --predictions "
            "or --dead-letters",
        )
    if topic.is_compacted:
        return TopicProblem(
            "is compacted, so predictions would be removed", "set cleanup.policy=delete on it"
        )
    limit = topic.limit("max.message.bytes")
    if limit < settings.output_batch_bytes_max:
        return TopicProblem(
            f"has max.message.bytes {limit:.0f}, less than output_batch_bytes_max "
            f"{settings.output_batch_bytes_max}",
            "raise max.message.bytes or lower output_batch_bytes_max",
        )
    needed = OUTPUT_BYTES_PER_KEY_BYTE * settings.key_bytes_max
    if settings.output_batch_bytes_max < needed:
        return TopicProblem(
            f"may get outputs of {needed} bytes with key_bytes_max {settings.key_bytes_max}, "
            f"and output_batch_bytes_max is {settings.output_batch_bytes_max}",
            f"raise output_batch_bytes_max and the topic's max.message.bytes to {needed}",
        )
    if _min_in_sync(topic) > topic.replication:
        return TopicProblem(
            f"has min.insync.replicas {_min_in_sync(topic):.0f} and {topic.replication} replicas, "
            "so it refuses every record of a producer with acks=all",
            "lower min.insync.replicas, or add replicas",
        )
    return None


def _find_retention_problem(
    topic: TopicFacts, source: TopicFacts, settings: Settings
) -> TopicProblem | None:
    for name in ("retention.ms", "retention.bytes"):
        limit, needed = topic.limit(name), _retention(source, name)
        if limit < needed and not settings.allow_short_retention:
            return TopicProblem(
                f"has {name} {limit:.0f}, less than {source.name}'s {_number(needed)}: outputs "
                "have the timestamp of their source record",
                f"raise {name}, or accept it with --allow-short-retention",
            )
    return None


def _find_timestamp_problem(topic: TopicFacts, source: TopicFacts) -> TopicProblem | None:
    """Check that the topic accepts the timestamps of source records when they are folded."""
    if topic.config.get("message.timestamp.type") == "LogAppendTime":
        return None  # the broker replaces the timestamp without checking it
    both = topic.limit("message.timestamp.difference.max.ms")
    before = min(topic.limit("message.timestamp.before.max.ms"), both)
    # A record stays until retention removes the newest record of its segment.
    oldest = _retention(source, "retention.ms") + source.limit("segment.ms")
    if before < oldest:
        return TopicProblem(
            f"has message.timestamp.before.max.ms {before:.0f}, and {source.name} keeps records "
            f"for {_number(oldest)} ms: it would refuse the predictions of old records",
            f"set message.timestamp.before.max.ms={JAVA_LONG_MAX} on it",
        )
    after = topic.limit("message.timestamp.after.max.ms")
    is_broker_time = source.config.get("message.timestamp.type") == "LogAppendTime"
    if after < source.limit("message.timestamp.after.max.ms") and not is_broker_time:
        return TopicProblem(
            f"has message.timestamp.after.max.ms {after:.0f}, less than {source.name}'s: "
            "it would refuse the predictions of records with a timestamp in the future",
            f"set message.timestamp.after.max.ms={JAVA_LONG_MAX} on it",
        )
    return None


def _retention(source: TopicFacts, name: str) -> float:
    """Return a limit of retention: infinity if the topic is compacted and deletes nothing."""
    deletes = "delete" in source.config.get("cleanup.policy", "delete")
    return source.limit(name) if deletes else float("inf")


def _min_in_sync(topic: TopicFacts) -> float:
    return float(topic.config.get("min.insync.replicas", "1"))


def _number(limit: float) -> str:
    return "-1" if limit == float("inf") else f"{limit:.0f}"
