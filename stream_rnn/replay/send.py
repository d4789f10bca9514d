"""Sending a file to a topic, as its producer would have: keyed, in order, at a pace."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
)

from stream_rnn.errors import ConfigError, StreamRNNError, UnreachableError, reason
from stream_rnn.fold.decoder import Record
from stream_rnn.kafka.admin_client import is_transient, retry_while_unavailable
from stream_rnn.kafka.clients import new_admin, new_producer, stop_admin, stop_producer
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings

TICK_S = 0.02
IN_FLIGHT_MAX = 5000
REPLICAS_MAX = 3


@dataclass(frozen=True, slots=True)
class Sending:
    """How a file is sent.

    Attributes:
        topic: to which it goes.
        rate: records a second; 0 is as fast as possible.
        without: fields that are left out, such as labels.
        create_partitions: the topic is made with so many if it is not there; 0: it must be.
    """

    topic: str
    rate: float = 0.0
    without: tuple[str, ...] = ()
    create_partitions: int = 0


async def send(
    log: Log, settings: Settings, how: Sending, on_progress: Callable[[int], None]
) -> int:
    """Send a log's records in its order; return how many.

    A record without a key goes where Kafka's partitioner puts it.  The timestamp is the moment of
    sending: with an old one, retention could remove the record at once.

    Args:
        log: in one partition, so that its order is the file's.
        settings: the cluster.
        how: where to, how fast, what.
        on_progress: how many records more were sent.

    Raises:
        UnreachableError: Kafka does not answer, or does not acknowledge.
        ConfigError: the topic is not there, or refuses a record.
    """
    options = kafka_options(settings.bootstrap_servers, settings.kafka_config)
    timeout_ms = int(settings.kafka_timeout_s * 1000)
    producer = new_producer(
        enable_idempotence=True,
        acks="all",
        linger_ms=5,
        max_batch_size=262_144,
        request_timeout_ms=timeout_ms,
        **options,
    )
    try:
        try:
            await _require_topic(options, how, settings)
            async with asyncio.timeout(settings.kafka_timeout_s):
                await producer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            raise UnreachableError(
                await describe_unreachable(options, error, settings.kafka_timeout_s)
            ) from error
        return await _send_all(producer, log, how, settings.kafka_timeout_s, on_progress)
    except (KafkaError, TimeoutError) as error:
        raise _describe(error, how.topic, settings.kafka_timeout_s) from error
    finally:
        await stop_producer(producer, settings.revoke_timeout_s)


def _describe(error: BaseException, topic: str, within_s: float) -> StreamRNNError:
    """Return what a record's end without an acknowledgement means: an absence, or a refusal."""
    said = reason(error, within_s)
    is_of_broker = isinstance(error, BrokerResponseError)
    is_retriable = isinstance(error, KafkaError) and error.retriable and not is_of_broker
    if isinstance(error, TimeoutError | KafkaTimeoutError) or is_retriable or is_transient(error):
        return UnreachableError(
            f"Kafka does not acknowledge what is sent to topic {topic}: {said}; look whether its "
            "brokers are there, as many as its min.insync.replicas.  What was acknowledged before "
            "stays: sending the file again sends that twice"
        )
    return ConfigError(
        f"topic {topic} does not take a record: {said}; change the topic, or what is sent"
    )


async def _require_topic(options: dict[str, object], how: Sending, settings: Settings) -> None:
    timeout_s = settings.kafka_timeout_s
    admin = new_admin(request_timeout_ms=int(timeout_s * 1000), **options)
    try:
        async with asyncio.timeout(timeout_s):
            await admin.start()
        if how.topic in await retry_while_unavailable(admin.list_topics, timeout_s):
            return
        if not how.create_partitions:
            raise ConfigError(
                f"topic {how.topic} does not exist; make it, or give --create-partitions"
            )
        brokers = len((await retry_while_unavailable(admin.describe_cluster, timeout_s))["brokers"])
        replicas = min(REPLICAS_MAX, brokers)
        # A cluster's default may ask for more replicas in sync than there are.
        config = {"min.insync.replicas": str(max(1, replicas - 1))}
        topic = NewTopic(how.topic, how.create_partitions, replicas, topic_configs=config)
        await retry_while_unavailable(partial(admin.create_topics, [topic]), timeout_s)
    except TopicAlreadyExistsError:
        return
    except BrokerResponseError as error:
        if is_transient(error):
            raise
        raise ConfigError(f"topic {how.topic} cannot be made: {reason(error)}") from error
    finally:
        await stop_admin(admin, settings.revoke_timeout_s)


async def _send_all(
    producer: AIOKafkaProducer,
    log: Log,
    how: Sending,
    timeout_s: float,
    on_progress: Callable[[int], None],
) -> int:
    began, sent = time.monotonic(), 0
    waiting: list[asyncio.Future[object]] = []
    async with log:
        for wanted in await log.ranges():
            async for records in log.batches(wanted):
                for record in records:
                    waiting.append(await _send_one(producer, how, record))
                    sent += 1
                    if len(waiting) >= IN_FLIGHT_MAX:
                        await _acknowledged(waiting, timeout_s)
                        on_progress(IN_FLIGHT_MAX)
                    ahead_s = sent / how.rate + began - time.monotonic() if how.rate else 0
                    if ahead_s > TICK_S:
                        await asyncio.sleep(ahead_s)
    on_progress(len(waiting))
    await _acknowledged(waiting, timeout_s)
    return sent


async def _send_one(
    producer: AIOKafkaProducer, how: Sending, record: Record
) -> "asyncio.Future[object]":
    value = record.value
    if how.without and value is not None:
        content = orjson.loads(value)
        value = orjson.dumps({k: v for k, v in content.items() if k not in how.without})
    future: asyncio.Future[object] = await producer.send(how.topic, value, key=record.key)
    return future


async def _acknowledged(waiting: "list[asyncio.Future[object]]", timeout_s: float) -> None:
    """Wait until Kafka has what was sent; the first refusal is raised."""
    async with asyncio.timeout(timeout_s):
        await asyncio.gather(*waiting)
    waiting.clear()
