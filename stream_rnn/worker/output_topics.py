"""Checks the topics of a fold: it creates missing outputs and refuses unsuitable ones."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiokafka.admin import NewTopic
from aiokafka.errors import (
    BrokerResponseError,
    InvalidTopicError,
    KafkaError,
    TopicAlreadyExistsError,
)

from stream_rnn.errors import ConfigError, UnreachableError, reason
from stream_rnn.fold.fold_id import transactional_id
from stream_rnn.kafka.admin_client import CheckedAdminClient, is_transient, retry_while_unavailable
from stream_rnn.kafka.coordinator import GROUPS, raise_if_unmet, require_transactions
from stream_rnn.kafka.topic_rules import (
    find_shadow_problem,
    find_topic_problem,
    output_config,
    shadow_config,
)
from stream_rnn.kafka.topics import TopicFacts, read_topics
from stream_rnn.settings import FoldSettings

logger = logging.getLogger(__name__)

CREATED_WITHIN_S = 30.0


async def prepare_topics(admin: CheckedAdminClient, settings: FoldSettings) -> None:
    """Create the missing outputs of a fold, and check those that exist.

    Raises:
        ConfigError: The source does not exist, an output cannot be created, or an existing
            output does not satisfy the rules of ``kafka/topic_rules.py``.
        UnreachableError: Kafka did not answer within the deadline.
    """
    try:
        async with asyncio.timeout(settings.kafka_timeout_s + CREATED_WITHIN_S):
            await _prepare(admin, settings)
    except (KafkaError, TimeoutError, OSError) as error:
        why = reason(error, settings.kafka_timeout_s + CREATED_WITHIN_S)
        raise UnreachableError(
            f"Kafka did not answer about the topics of the fold: {why}; "
            "a broker may be starting; the next start of the worker tries again"
        ) from error


async def prepare_shadow_topic(admin: CheckedAdminClient, settings: FoldSettings) -> None:
    """Create the shadow topic of a roll-out unless it exists, and check it.

    Raises:
        ConfigError: It cannot be created, or the existing topic cannot take the predictions.
        UnreachableError: Kafka did not answer within the deadline.
    """
    name, source_name = settings.shadow_topic, settings.source
    if name in (source_name, settings.dead_letters_topic):
        raise ConfigError(f"{name} is the source or the dead-letter topic of the fold, too")
    try:
        async with asyncio.timeout(settings.kafka_timeout_s + CREATED_WITHIN_S):
            topics = await retry_while_unavailable(
                partial(read_topics, admin, (source_name, name)), settings.kafka_timeout_s
            )
            source = topics[source_name]
            if not topics[name].partitions:
                await _create(admin, name, source, settings, shadow_config(source, settings))
                topics = await _wait_for_topics(admin, (source_name, name))
    except (KafkaError, TimeoutError, OSError) as error:
        why = reason(error, settings.kafka_timeout_s + CREATED_WITHIN_S)
        raise UnreachableError(f"Kafka did not answer about {name}: {why}") from error
    if (problem := find_shadow_problem(topics[name], source, settings)) is not None:
        raise ConfigError(
            f"{name} {problem.description}; delete the topic, and the workers create it again"
        )


async def require_coordinator(
    admin: CheckedAdminClient, connection: Mapping[str, Any], settings: FoldSettings
) -> None:
    """Check that the group of the app and its transactions have a coordinator.

    Without the first, Faust would wait for ever.

    Raises:
        ConfigError: The cluster cannot provide a coordinator, or the user may not look for one.
        UnreachableError: No coordinator is available now.
    """
    try:
        find = partial(admin.find_coordinator, settings.app)
        await retry_while_unavailable(find, settings.kafka_timeout_s)
    except (KafkaError, TimeoutError, OSError) as error:
        await raise_if_unmet(connection, GROUPS, error)
        raise UnreachableError(
            f"group {settings.app} has no coordinator: {reason(error)}; a broker "
            "may be starting; the next start of the worker tries again"
        ) from error
    is_transactional = settings.delivery == "exactly_once"
    identity = transactional_id(settings.app, settings.source, 0) if is_transactional else None
    await require_transactions(admin, connection, identity, settings.kafka_timeout_s)


async def _prepare(admin: CheckedAdminClient, settings: FoldSettings) -> None:
    source_name, predictions = settings.source, settings.predictions
    outputs = (predictions, settings.dead_letters_topic)
    read = partial(read_topics, admin, (source_name, *outputs))
    topics = await retry_while_unavailable(read, settings.kafka_timeout_s)
    source = topics[source_name]
    if not source.partitions:
        raise ConfigError(
            f"the source topic {source_name} does not exist, or this user lacks Read on it; create "
            "it, or check --source and --bootstrap-servers"
        )
    missing = [name for name in outputs if not topics[name].partitions]
    for name in missing:
        await _create(admin, name, source, settings, output_config(source, settings))
    if missing:
        topics = await _wait_for_topics(admin, (source_name, *outputs))
    for name in outputs:
        if (problem := find_topic_problem(topics[name], source, settings)) is not None:
            raise ConfigError(f"{name} {problem.description}; {problem.remedy}")


async def _create(
    admin: CheckedAdminClient,
    name: str,
    source: TopicFacts,
    settings: FoldSettings,
    config: dict[str, str],
) -> None:
    topic = NewTopic(name, source.partitions, source.replication, topic_configs=config)
    try:
        await retry_while_unavailable(
            partial(admin.create_topics, [topic]), settings.kafka_timeout_s
        )
    except TopicAlreadyExistsError:
        return  # another worker of the app was first
    except (ConfigError, BrokerResponseError) as error:
        if is_transient(error):
            raise
        if isinstance(error, InvalidTopicError):  # too long, or like another name but for . and _
            option = "--dead-letters" if name == settings.dead_letters_topic else "--predictions"
            raise ConfigError(
                f"topic {name} cannot be created ({reason(error)}); choose another name by {option}"
            ) from error
        options = "".join(f" --config {key}={value}" for key, value in config.items())
        raise ConfigError(
            f"topic {name} does not exist and cannot be created ({reason(error)}); give the user Create "
            f"on topic {name}, or run: kafka-topics "
            f"--create --topic {name} --partitions {source.partitions} "
            f"--replication-factor {source.replication}{options}"
        ) from error
    logger.info("topic created topic=%s partitions=%d", name, source.partitions)


async def _wait_for_topics(
    admin: CheckedAdminClient, names: tuple[str, ...]
) -> dict[str, TopicFacts]:
    """Wait until the cluster returns the partitions of topics that were just created."""
    async with asyncio.timeout(CREATED_WITHIN_S):
        while True:
            topics = await retry_while_unavailable(
                partial(read_topics, admin, names), CREATED_WITHIN_S
            )
            if all(topic.partitions for topic in topics.values()):
                return topics
            await asyncio.sleep(0.1)
