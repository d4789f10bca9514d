"""Partitions, replicas and configuration of topics."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import LeaderNotAvailableError, UnknownTopicOrPartitionError

from stream_rnn.errors import reason
from stream_rnn.kafka.admin_client import CheckedAdminClient

JAVA_LONG_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """The cluster's facts about one topic.

    Attributes:
        name: Name of the topic.
        partitions: Number of partitions; 0 if the topic does not exist.
        replication: Number of replicas of each partition.
        config: Configuration of the topic, defaults included.
    """

    name: str
    partitions: int
    replication: int = 1
    config: dict[str, str] = field(default_factory=dict)

    @property
    def is_compacted(self) -> bool:
        """Whether compaction may remove all but the last record of a key."""
        return "compact" in self.config.get("cleanup.policy", "")

    def limit(self, name: str) -> float:
        """Return a numeric setting; infinity for -1 or ``JAVA_LONG_MAX``, which mean no limit."""
        value = int(self.config.get(name, "-1"))
        return float("inf") if value < 0 or value == JAVA_LONG_MAX else float(value)


async def read_topics(admin: CheckedAdminClient, names: Iterable[str]) -> dict[str, TopicFacts]:
    """Return the facts about some topics.

    Raises:
        ConfigError: The user has no right to see their configuration.
        KafkaError: The cluster cannot answer now.
    """
    # A request for a topic by its name creates it on a broker with auto.create.topics.enable.
    existing = set(await admin.list_topics())
    requested = list(dict.fromkeys(names))
    known = [name for name in requested if name in existing]
    try:
        answer = await admin.describe_topics(known) if known else []
        described = {topic["topic"]: topic for topic in answer}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in described]
        responses = await admin.describe_configs(resources) if resources else []
    except UnknownTopicOrPartitionError as error:
        # The topic was just deleted, or is so new that a broker does not know it: retry.
        raise LeaderNotAvailableError(f"{reason(error)}: listed, but not described") from error
    configs = {
        name: {entry[0]: entry[1] or "" for entry in entries}
        for response in responses
        for _, _, _, name, entries in response.resources
    }
    return {
        name: TopicFacts(
            name,
            len(described[name]["partitions"]),
            max((len(p["replicas"]) for p in described[name]["partitions"]), default=1),
            configs.get(name, {}),
        )
        if name in described
        else TopicFacts(name, 0)
        for name in requested
    }
