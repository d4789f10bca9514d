"""What the cluster says of a topic."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import LeaderNotAvailableError, UnknownTopicOrPartitionError

from stream_rnn.errors import reason
from stream_rnn.kafka.answers import CheckedAdminClient

JAVA_LONG_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What the cluster says of one topic.

    Attributes:
        name: of the topic.
        partitions: how many; 0 if it does not exist.
        replication: replicas of each partition.
        config: its configuration, defaults included.
    """

    name: str
    partitions: int
    replication: int = 1
    config: dict[str, str] = field(default_factory=dict)

    @property
    def is_compacted(self) -> bool:
        """Whether old records of a key may be removed while newer ones stay."""
        return "compact" in self.config.get("cleanup.policy", "")

    def limit(self, name: str) -> float:
        """Return a numeric setting; -1 and the greatest integer, which mean no limit, as infinity."""
        value = int(self.config.get(name, "-1"))
        return float("inf") if value < 0 or value == JAVA_LONG_MAX else float(value)


async def read_topics(admin: CheckedAdminClient, names: Iterable[str]) -> dict[str, TopicFacts]:
    """Ask the cluster about some topics.

    Raises:
        ConfigError: their configuration may not be seen.
        KafkaError: the cluster cannot say now.
    """
    wanted = list(dict.fromkeys(names))
    # Asking for a topic by its name creates it on a broker that creates topics by itself.
    there = set(await admin.list_topics())
    known = [name for name in wanted if name in there]
    try:
        found = {one["topic"]: one for one in await admin.describe_topics(known)} if known else {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
        responses = await admin.describe_configs(resources) if resources else []
    except UnknownTopicOrPartitionError as error:
        # Deleted meanwhile, or one broker does not know it yet: the list, asked again, decides.
        raise LeaderNotAvailableError(f"{reason(error)}: listed, and not described") from error
    configs = {
        name: {entry[0]: entry[1] or "" for entry in entries}
        for response in responses
        for _, _, _, name, entries in response.resources
    }
    return {
        name: TopicFacts(
            name,
            len(found[name]["partitions"]),
            max((len(p["replicas"]) for p in found[name]["partitions"]), default=1),
            configs.get(name, {}),
        )
        if name in found
        else TopicFacts(name, 0)
        for name in wanted
    }
