"""Prepares the topics of a fold: makes the missing outputs, refuses what does not fit."""

import asyncio
import logging

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from stream_rnn.errors import ConfigError, UnreachableError
from stream_rnn.fold.topics import TopicFacts, read_topics
from stream_rnn.settings import Settings

logger = logging.getLogger(__name__)

COPIED = (
    "retention.ms",
    "retention.bytes",
    "max.message.bytes",
    # Outputs carry their source record's timestamp: what the source took they must take.
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
)
CREATED_WITHIN_S = 30.0


async def prepare_topics(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Make sure that the topics of a fold are there and fit.

    Raises:
        ConfigError: the source does not exist, an output cannot be created, or one does not fit.
        UnreachableError: a broker went away meanwhile.
    """
    try:
        async with asyncio.timeout(settings.kafka_timeout_s + CREATED_WITHIN_S):
            await _prepare(admin, settings)
    except (KafkaError, TimeoutError, OSError) as error:
        raise UnreachableError(
            f"Kafka did not answer about the topics of the fold: {type(error).__name__} {error}; "
            "a broker may be starting, the next start asks again"
        ) from error


async def _prepare(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    source_name, predictions = settings.source or "", settings.predictions or ""
    outputs = (predictions, settings.dead_letters_topic)
    topics = await read_topics(admin, (source_name, *outputs))
    source = topics[source_name]
    if not source.partitions:
        raise ConfigError(
            f"the source topic {source_name} does not exist, or this user lacks Read on it; create "
            "it, or check --source and --bootstrap-servers"
        )
    if source_name in outputs or predictions == settings.dead_letters_topic:
        raise ConfigError(
            f"source {source_name}, predictions {predictions} and dead letters "
            f"{settings.dead_letters_topic} must be three topics"
        )
    missing = [name for name in outputs if not topics[name].partitions]
    for name in missing:
        await _create(admin, name, source)
    if missing:
        topics = await _until_there(admin, (source_name, *outputs))
    for name in outputs:
        _check(topics[name], source, settings)


async def _create(admin: AIOKafkaAdminClient, name: str, source: TopicFacts) -> None:
    config = {key: source.config[key] for key in COPIED if key in source.config}
    config["cleanup.policy"] = "delete"
    # Recovery compares a prediction's timestamp with that of its source record.
    config["message.timestamp.type"] = "CreateTime"
    topic = NewTopic(name, source.partitions, source.replication, topic_configs=config)
    response = await admin.create_topics([topic])
    for _, code, *message in response.topic_errors:
        error = for_code(code)
        if code and error.__name__ != "TopicAlreadyExistsError":
            options = "".join(f" --config {key}={value}" for key, value in config.items())
            raise ConfigError(
                f"topic {name} does not exist and cannot be created ({error.__name__}"
                f"{': ' + str(message[0]) if message and message[0] else ''}); give the user Create "
                f"on topic {name}, or run: kafka-topics "
                f"--create --topic {name} --partitions {source.partitions} "
                f"--replication-factor {source.replication}{options}"
            )
    logger.info("topic created topic=%s partitions=%d", name, source.partitions)


async def _until_there(admin: AIOKafkaAdminClient, names: tuple[str, ...]) -> dict[str, TopicFacts]:
    """Wait until the cluster knows topics that were just created."""
    async with asyncio.timeout(CREATED_WITHIN_S):
        while True:
            topics = await read_topics(admin, names)
            if all(topic.partitions for topic in topics.values()):
                return topics
            await asyncio.sleep(0.1)


def _check(topic: TopicFacts, source: TopicFacts, settings: Settings) -> None:
    if topic.partitions != source.partitions:
        raise ConfigError(
            f"{topic.name} has {topic.partitions} partitions and the source {source.name} "
            f"{source.partitions}: outputs go to the partition of their source record; create a "
            f"topic with {source.partitions} partitions and name it with --predictions or "
            "--dead-letters"
        )
    if topic.is_compacted:
        raise ConfigError(
            f"{topic.name} is compacted, so predictions would be removed; set "
            "cleanup.policy=delete on it"
        )
    for name in ("retention.ms", "retention.bytes"):
        if topic.limit(name) < source.limit(name) and not settings.allow_short_retention:
            raise ConfigError(
                f"{topic.name} has {name} {topic.config[name]}, less than {source.name}'s "
                f"{source.config[name]}: outputs carry their source record's timestamp; raise it, "
                "or accept it with --allow-short-retention"
            )
    limit = topic.limit("max.message.bytes")
    if limit < settings.output_batch_bytes_max:
        raise ConfigError(
            f"{topic.name} has max.message.bytes {limit:.0f}, less than output_batch_bytes_max "
            f"{settings.output_batch_bytes_max}; raise the one or lower the other"
        )
