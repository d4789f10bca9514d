"""Why no coordinator answers: brokers are starting, or a setting of theirs can never be met.

Kafka's clients only wait: a broker that cannot create the topic of its coordinator says the same as
one that has just been started.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.answers import CheckedAdminClient
from stream_rnn.kafka.clients import new_admin, stop_admin

ASKED_WITHIN_S = 10.0


class Coordinator(NamedTuple):
    """A kind of coordinator.

    Attributes:
        topic: in which it keeps what it knows.
        settings: how the brokers' settings of that topic begin.
        min_isr: the setting of its replicas in sync.
    """

    topic: str
    settings: str
    min_isr: str


TRANSACTIONS = Coordinator(
    "__transaction_state", "transaction.state.log", "transaction.state.log.min.isr"
)
GROUPS = Coordinator("__consumer_offsets", "offsets.topic", "min.insync.replicas")


async def never_answers(connection: Mapping[str, Any], kind: Coordinator) -> ConfigError | None:
    """Return which setting must be changed before a coordinator can answer.

    Args:
        connection: options of a Kafka client.
        kind: that did not answer.

    Returns:
        ``None`` if waiting may help, or if the brokers' settings may not be seen.
    """
    admin = new_admin(**connection)
    try:
        async with asyncio.timeout(ASKED_WITHIN_S):
            await admin.start()
            return await _ask(admin, kind)
    except (KafkaError, ConfigError, TimeoutError, OSError):
        return None
    finally:
        await stop_admin(admin, ASKED_WITHIN_S)


async def refuse_unmet(
    connection: Mapping[str, Any], kind: Coordinator, error: BaseException
) -> None:
    """Refuse to wait for a coordinator that can never answer; return if waiting may help.

    Args:
        connection: options of a Kafka client.
        kind: that did not answer.
        error: of the client that waited.

    Raises:
        ConfigError: a setting of the brokers must be changed.
    """
    if (never := await never_answers(connection, kind)) is not None:
        raise never from error


async def _ask(admin: CheckedAdminClient, kind: Coordinator) -> ConfigError | None:
    brokers = {broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]}
    topics = await admin.describe_topics()
    resources = [ConfigResource(ConfigResourceType.BROKER, str(min(brokers)))]
    if any(topic["topic"] == kind.topic for topic in topics):
        resources = [ConfigResource(ConfigResourceType.TOPIC, kind.topic)]
    (response,) = await admin.describe_configs(resources)
    ((_, _, _, _, entries),) = response.resources
    said = unmet(kind, brokers, topics, {entry[0]: entry[1] for entry in entries})
    return ConfigError(said) if said else None


def unmet(
    kind: Coordinator,
    brokers: set[int],
    topics: Sequence[Mapping[str, Any]],
    config: Mapping[str, str | None],
) -> str | None:
    """Return which setting can never be met, and the remedy; ``None`` if none is known.

    A broker that is away now, and holds a replica of some topic, counts: it comes back.

    Args:
        kind: of coordinator.
        brokers: that are alive.
        topics: all that are seen, as aiokafka describes them.
        config: of the coordinator's topic if it exists, else of a broker.
    """
    replicas = {
        topic["topic"]: [set(one["replicas"]) for one in topic["partitions"]] for topic in topics
    }
    if kind.topic in replicas:
        count = min(map(len, replicas[kind.topic]), default=0)
        least = int(config.get("min.insync.replicas") or 1)
        if count >= least:
            return None
        return (
            f"{kind.topic} has {count} replica{'s'[: count != 1]} and min.insync.replicas "
            f"{least}, so that no coordinator can write to it: set min.insync.replicas={count} on "
            f"{kind.topic} and {kind.min_isr}={count} on the brokers, or give it {least} replicas"
        )
    known = brokers.union(*(one for partitions in replicas.values() for one in partitions))
    name = f"{kind.settings}.replication.factor"
    wanted = int(config.get(name) or 1)
    if len(known) >= wanted:
        return None
    return (
        f"{name} is {wanted} and the cluster has {len(known)} broker{'s'[: len(known) != 1]}, so "
        f"that {kind.topic} cannot be created: set {name}={len(known)} on the brokers, and "
        f"{kind.min_isr} to no more than that, or start {wanted} brokers"
    )
