"""What an output topic must be: one rule for the worker that creates it, and for whoever checks it.

A topic that does not fit takes a record now and refuses one later, when nobody looks; or it takes
a record and removes it at once.
"""

from typing import NamedTuple

from stream_rnn.kafka.topics import JAVA_LONG_MAX, TopicFacts
from stream_rnn.settings import Settings

TIMESTAMP_LIMITS = (
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.difference.max.ms",  # brokers before 3.6 know only this one
)

KEY_IN_OUTPUT_MAX = 7  # a prediction has the key, and in JSON six bytes for one of its bytes


class Misfit(NamedTuple):
    """Why a topic cannot be an output.

    Attributes:
        said: what is wrong, after the topic's name.
        remedy: what to do.
    """

    said: str
    remedy: str


def output_config(source: TopicFacts, settings: Settings) -> dict[str, str]:
    """Return the configuration with which an output topic is created.

    What the broker has by default counts for nothing: it may be made for topics whose records are
    stamped when they are sent, or for more replicas than the source has.

    Args:
        source: whose partitions and replication the topic gets.
        settings: of the worker.
    """
    config = {
        "cleanup.policy": "delete",
        # Recovery compares a prediction's timestamp with that of its source record.
        "message.timestamp.type": "CreateTime",
        "retention.ms": _number(_kept(source, "retention.ms")),
        "retention.bytes": _number(_kept(source, "retention.bytes")),
        "max.message.bytes": _number(
            max(source.limit("max.message.bytes"), float(settings.output_batch_bytes_max))
        ),
        "min.insync.replicas": _number(min(_in_sync(source), float(source.replication))),
        # The source took the record; when it is folded its timestamp may be of any age.
        **{name: str(JAVA_LONG_MAX) for name in TIMESTAMP_LIMITS},
    }
    # A broker refuses what it does not know.
    return {name: value for name, value in config.items() if name in source.config}


def misfit(topic: TopicFacts, source: TopicFacts, settings: Settings) -> Misfit | None:
    """Return why a topic cannot be an output of a source; ``None`` if it can.

    Args:
        topic: that exists.
        source: of the fold.
        settings: of the worker.
    """
    if topic.partitions != source.partitions:
        return Misfit(
            f"has {topic.partitions} partitions and the source {source.name} {source.partitions}: "
            "outputs go to the partition of their source record",
            f"create a topic with {source.partitions} partitions and name it with --predictions "
            "or --dead-letters",
        )
    if topic.is_compacted:
        return Misfit(
            "is compacted, so predictions would be removed", "set cleanup.policy=delete on it"
        )
    limit = topic.limit("max.message.bytes")
    if limit < settings.output_batch_bytes_max:
        return Misfit(
            f"has max.message.bytes {limit:.0f}, less than output_batch_bytes_max "
            f"{settings.output_batch_bytes_max}",
            "raise the one or lower the other",
        )
    needed = KEY_IN_OUTPUT_MAX * settings.key_bytes_max
    if settings.output_batch_bytes_max < needed:
        return Misfit(
            f"may get outputs of {needed} bytes for a key of key_bytes_max {settings.key_bytes_max}, "
            f"and output_batch_bytes_max is {settings.output_batch_bytes_max}",
            f"raise output_batch_bytes_max to {needed}, and the topic's max.message.bytes with it",
        )
    if _in_sync(topic) > topic.replication:
        return Misfit(
            f"has min.insync.replicas {_in_sync(topic):.0f} and {topic.replication} replicas: it "
            "takes no record that all of them must acknowledge",
            "lower min.insync.replicas, or give it more replicas",
        )
    return _misfit_of_retention(topic, source, settings) or _misfit_of_timestamps(topic, source)


def _misfit_of_retention(
    topic: TopicFacts, source: TopicFacts, settings: Settings
) -> Misfit | None:
    for name in ("retention.ms", "retention.bytes"):
        limit, wanted = topic.limit(name), _kept(source, name)
        if limit < wanted and not settings.allow_short_retention:
            return Misfit(
                f"has {name} {limit:.0f}, less than {source.name}'s {_number(wanted)}: outputs "
                "carry their source record's timestamp",
                f"raise {name}, or accept it with --allow-short-retention",
            )
    return None


def _misfit_of_timestamps(topic: TopicFacts, source: TopicFacts) -> Misfit | None:
    """Outputs carry their source record's timestamp: the broker must take it again, later."""
    if topic.config.get("message.timestamp.type") == "LogAppendTime":
        return None  # it is replaced, not looked at
    both = topic.limit("message.timestamp.difference.max.ms")
    before = min(topic.limit("message.timestamp.before.max.ms"), both)
    # A record stays until the newest one of its segment is past retention.
    oldest = _kept(source, "retention.ms") + source.limit("segment.ms")
    if before < oldest:
        return Misfit(
            f"has message.timestamp.before.max.ms {before:.0f}, and {source.name} keeps records "
            f"for {_number(oldest)} ms: predictions of a backlog are refused",
            f"set message.timestamp.before.max.ms={JAVA_LONG_MAX} on it",
        )
    after = topic.limit("message.timestamp.after.max.ms")
    is_broker_time = source.config.get("message.timestamp.type") == "LogAppendTime"
    if after < source.limit("message.timestamp.after.max.ms") and not is_broker_time:
        return Misfit(
            f"has message.timestamp.after.max.ms {after:.0f}, less than {source.name}'s: "
            "predictions of early events are refused",
            f"set message.timestamp.after.max.ms={JAVA_LONG_MAX} on it",
        )
    return None


def _kept(source: TopicFacts, name: str) -> float:
    """Return a limit of retention; what is only compacted keeps each key's last record for ever."""
    is_removed = "delete" in source.config.get("cleanup.policy", "delete")
    return source.limit(name) if is_removed else float("inf")


def _in_sync(topic: TopicFacts) -> float:
    return float(topic.config.get("min.insync.replicas", "1"))


def _number(limit: float) -> str:
    return "-1" if limit == float("inf") else f"{limit:.0f}"
