"""Broker settings that prevent a coordinator from ever answering.

A broker that cannot create the topic of its coordinator returns the same error as a broker that has
just started, so Kafka's clients wait in both cases.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    InvalidRequestError,
    KafkaError,
    UnsupportedVersionError,
)

from stream_rnn.errors import ConfigError, UnreachableError, reason
from stream_rnn.kafka.admin_client import CheckedAdminClient, retry_while_unavailable
from stream_rnn.kafka.clients import new_admin, stop_admin

ANSWER_TIMEOUT_S = 10.0
INIT_PRODUCER_ID = 22
TRANSACTION_APIS = {
    INIT_PRODUCER_ID: "InitProducerId",
    24: "AddPartitionsToTxn",
    25: "AddOffsetsToTxn",
    26: "EndTxn",
    28: "TxnOffsetCommit",
}
"""Requests of a producer with transactions; one without them sends only the first."""
NO_TRANSACTIONS = (IncompatibleBrokerVersion, InvalidRequestError, UnsupportedVersionError)
"""Errors of brokers that have no coordinator of transactions."""
WITHOUT_TRANSACTIONS = "set --delivery at_least_once, which needs no transactions"


class CoordinatorKind(NamedTuple):
    """A kind of coordinator.

    Attributes:
        topic: Internal topic of the coordinator.
        settings: Prefix of the brokers' settings for that topic.
        min_isr: Name of the brokers' setting for the minimum in-sync replicas of that topic.
        alternative: Remedy that changes no setting of the brokers; empty if there is none.
    """

    topic: str
    settings: str
    min_isr: str
    alternative: str = ""


class TransactionUse(NamedTuple):
    """What needs transactions.

    Attributes:
        name: Name, for messages.
        alternative: Remedy without transactions; empty if there is none.
    """

    name: str
    alternative: str


EXACTLY_ONCE = TransactionUse("exactly_once", WITHOUT_TRANSACTIONS)
TRANSACTIONS = CoordinatorKind(
    "__transaction_state",
    "transaction.state.log",
    "transaction.state.log.min.isr",
    f"; or {WITHOUT_TRANSACTIONS}",
)
GROUPS = CoordinatorKind("__consumer_offsets", "offsets.topic", "min.insync.replicas")


async def find_unmet_setting(
    connection: Mapping[str, Any], kind: CoordinatorKind
) -> ConfigError | None:
    """Return an error that names the setting that prevents a coordinator from answering.

    Args:
        connection: Options of a Kafka client.
        kind: Kind of the coordinator that does not answer.

    Returns:
        ``None`` if waiting may help, or if the user has no right to see the brokers' settings.
    """
    admin = new_admin(**connection)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await admin.start()
            return await _read_and_check(admin, kind)
    except (KafkaError, ConfigError, TimeoutError, OSError):
        return None
    finally:
        await stop_admin(admin, ANSWER_TIMEOUT_S)


async def raise_if_unmet(
    connection: Mapping[str, Any], kind: CoordinatorKind, error: BaseException
) -> None:
    """Raise an error if a coordinator can never answer; return if waiting may help.

    Args:
        connection: Options of a Kafka client.
        kind: Kind of the coordinator that does not answer.
        error: Error of the client that waited.

    Raises:
        ConfigError: A setting of the brokers must change.
    """
    if (unmet := await find_unmet_setting(connection, kind)) is not None:
        raise unmet from error


async def require_transactions(
    admin: CheckedAdminClient,
    connection: Mapping[str, Any],
    transactional_id: str | None,
    timeout_s: float,
    use: TransactionUse = EXACTLY_ONCE,
) -> None:
    """Check that the brokers provide what a producer needs.

    Args:
        admin: Started admin client.
        connection: Options of a Kafka client.
        transactional_id: Transactional id of the fold; ``None`` for a producer without transactions.
        timeout_s: Deadline in seconds, for all attempts while a broker cannot answer.
        use: What needs the transactions, for messages.

    Raises:
        ConfigError: The brokers provide no transactions, or can never have a coordinator for them.
        UnreachableError: No coordinator is available now.
    """
    client = admin._client  # noqa: SLF001  # no public way
    node = await client._get_conn(client.get_random_node())  # noqa: SLF001  # see above
    known = node._versions if node is not None else TRANSACTION_APIS  # noqa: SLF001  # see above
    needed = TRANSACTION_APIS if transactional_id else {INIT_PRODUCER_ID: "InitProducerId"}
    if missing := [name for key, name in needed.items() if key not in known]:
        raise _no_transactions(f"{', '.join(missing)} missing", transactional_id, use)
    if transactional_id is None:
        return
    try:
        find = partial(admin.find_coordinator, transactional_id, 1)
        await retry_while_unavailable(find, timeout_s)
    except NO_TRANSACTIONS as error:
        raise _no_transactions(reason(error), transactional_id, use) from error
    except (KafkaError, TimeoutError, OSError) as error:
        alternative = f"; or {use.alternative}" if use.alternative else ""
        await raise_if_unmet(connection, TRANSACTIONS._replace(alternative=alternative), error)
        raise UnreachableError(
            f"there is no coordinator of transactions: {reason(error)}; a broker may be starting; "
            f"the next start tries again{alternative}"
        ) from error


def _no_transactions(why: str, transactional_id: str | None, use: TransactionUse) -> ConfigError:
    if transactional_id is None:
        return ConfigError(f"the brokers provide no idempotent producers ({why}); use Kafka 0.11")
    alternative = f"{use.alternative}, or " if use.alternative else ""
    return ConfigError(
        f"the brokers provide no transactions ({why}), which {use.name} needs: "
        f"{alternative}use brokers, or a tier of your provider, with transactions"
    )


async def read_timeout_limit(admin: CheckedAdminClient) -> int | None:
    """Return the brokers' ``transaction.max.timeout.ms``; ``None`` if the user may not see it.

    Raises:
        KafkaError: The brokers do not answer.
    """
    broker = min(broker["node_id"] for broker in (await admin.describe_cluster())["brokers"])
    try:
        config = await _read_config(admin, ConfigResourceType.BROKER, str(broker))
    except ConfigError:
        return None
    limit = config.get("transaction.max.timeout.ms")
    return int(limit) if limit else None


async def _read_config(
    admin: CheckedAdminClient, kind: ConfigResourceType, name: str
) -> dict[str, str | None]:
    (response,) = await admin.describe_configs([ConfigResource(kind, name)])
    ((_, _, _, _, entries),) = response.resources
    return {entry[0]: entry[1] for entry in entries}


async def _read_and_check(admin: CheckedAdminClient, kind: CoordinatorKind) -> ConfigError | None:
    brokers = {broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]}
    topics = await admin.describe_topics()
    if any(topic["topic"] == kind.topic for topic in topics):
        config = await _read_config(admin, ConfigResourceType.TOPIC, kind.topic)
    else:
        config = await _read_config(admin, ConfigResourceType.BROKER, str(min(brokers)))
    message = describe_unmet_setting(kind, brokers, topics, config)
    return ConfigError(message) if message else None


def describe_unmet_setting(
    kind: CoordinatorKind,
    brokers: set[int],
    topics: Sequence[Mapping[str, Any]],
    config: Mapping[str, str | None],
) -> str | None:
    """Return a message about a setting that the cluster can never meet; ``None`` if there is none.

    A broker that is down counts as long as it has a replica of any topic, because it may return.

    Args:
        kind: Kind of coordinator.
        brokers: Ids of the brokers that are alive.
        topics: All topics, as aiokafka describes them.
        config: Configuration of the coordinator's topic if it exists, else of a broker.
    """
    replicas = {
        topic["topic"]: [set(partition["replicas"]) for partition in topic["partitions"]]
        for topic in topics
    }
    if kind.topic in replicas:
        count = min(map(len, replicas[kind.topic]), default=0)
        least = int(config.get("min.insync.replicas") or 1)
        if count >= least:
            return None
        return (
            f"{kind.topic} has {count} replica{'s'[: count != 1]} and min.insync.replicas "
            f"{least}, so that no coordinator can write to it: set min.insync.replicas={count} on "
            f"{kind.topic} and {kind.min_isr}={count} on the brokers, or give it {least} replicas{kind.alternative}"
        )
    known = brokers.union(*(ids for partitions in replicas.values() for ids in partitions))
    name = f"{kind.settings}.replication.factor"
    factor = int(config.get(name) or 1)
    if len(known) >= factor:
        return None
    return (
        f"{name} is {factor} and the cluster has {len(known)} broker{'s'[: len(known) != 1]}, so "
        f"that {kind.topic} cannot be created: set {name}={len(known)} on the brokers, and "
        f"{kind.min_isr} to at most {len(known)}, or start {factor} brokers{kind.alternative}"
    )
