"""Sending the rows of a file to a topic: keyed, in order, and at a given rate."""

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
)
from pydantic import ConfigDict, TypeAdapter

from stream_rnn.errors import ConfigError, StreamRNNError, UnreachableError, reason
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.value_formats import SCHEMA_KINDS
from stream_rnn.kafka.admin_client import is_transient, retry_while_unavailable
from stream_rnn.kafka.clients import new_admin, new_producer, start_admin, stop_admin, stop_producer
from stream_rnn.kafka.connection import connection_options
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.replay.logs import FileLog, Log
from stream_rnn.replay.row_keys import parse_json
from stream_rnn.settings import Settings

_OBJECT = TypeAdapter(dict[str, Any], config=ConfigDict(ser_json_inf_nan="constants"))
TICK_S = 0.02
IN_FLIGHT_MAX = 5000
REPLICAS_MAX = 3


@dataclass(frozen=True, slots=True)
class SendOptions:
    """Options of ``stream-rnn send``.

    Attributes:
        topic: Name of the topic.
        rate: Records per second; 0 for as fast as possible.
        without: Fields to leave out, such as labels.
        create_partitions: Number of partitions with which to create the topic if it does not
            exist; 0 to require that it exists.
    """

    topic: str
    rate: float = 0.0
    without: tuple[str, ...] = ()
    create_partitions: int = 0


async def send(
    log: Log, settings: Settings, options: SendOptions, on_progress: Callable[[int], None]
) -> int:
    """Send the records of a log in order, and return their number.

    Kafka's partitioner chooses the partition of a record without a key.  The timestamp is the time
    of sending, because retention could remove a record with an old timestamp at once.

    Args:
        log: A log of one partition, whose order is that of the file.
        settings: Settings with the connection to Kafka.
        options: Options of the command.
        on_progress: Called with the number of records sent since the last call.

    Raises:
        UnreachableError: Kafka does not answer, or does not acknowledge a record.
        ConfigError: The topic does not exist, or refuses a record, or the log is a file that cannot
            be read to its end, of which nothing is sent then, or the spec wants another format than
            JSON.
    """
    if isinstance(log, FileLog):
        if (wanted := log.spec.event.value_format) in SCHEMA_KINDS:
            raise ConfigError(
                f"event.value_format is {wanted}, but send writes JSON; send with a spec whose "
                "value_format is auto, or by the serializer of your schema registry"
            )
        await _read_to_end(log)
    connection = connection_options(settings)
    timeout_ms = int(settings.kafka_timeout_s * 1000)
    producer = new_producer(
        enable_idempotence=True,
        acks="all",
        linger_ms=5,
        max_batch_size=262_144,
        request_timeout_ms=timeout_ms,
        **connection,
    )
    try:
        try:
            await _require_topic(connection, options, settings)
            async with asyncio.timeout(settings.kafka_timeout_s):
                await producer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            raise UnreachableError(
                await describe_unreachable(connection, error, settings.kafka_timeout_s)
            ) from error
        return await _send_all(producer, log, options, settings.kafka_timeout_s, on_progress)
    except (KafkaError, TimeoutError) as error:
        raise _describe(error, options.topic, settings.kafka_timeout_s) from error
    finally:
        await stop_producer(producer, settings.revoke_timeout_s)


async def _read_to_end(log: FileLog) -> None:
    """Read a file once, so that an error in its last row leaves no part of it in the topic."""
    for source_range in await log.ranges():
        async with aclosing(log.batches(source_range)) as batches:
            async for _ in batches:
                pass


def _describe(error: BaseException, topic: str, within_s: float) -> StreamRNNError:
    """Return an error for a record that was not acknowledged: Kafka is unreachable, or refuses it."""
    message = reason(error, within_s)
    is_of_broker = isinstance(error, BrokerResponseError)
    is_retriable = isinstance(error, KafkaError) and error.retriable and not is_of_broker
    if isinstance(error, TimeoutError | KafkaTimeoutError) or is_retriable or is_transient(error):
        return UnreachableError(
            f"Kafka does not acknowledge records of topic {topic}: {message}; check that at least "
            "min.insync.replicas of its brokers run.  Acknowledged records stay in the topic: "
            "sending the file again sends them twice"
        )
    return ConfigError(
        f"topic {topic} refuses a record: {message}; check the rights and settings of the topic, and the record"
    )


async def _require_topic(
    connection: dict[str, Any], options: SendOptions, settings: Settings
) -> None:
    timeout_s = settings.kafka_timeout_s
    admin = new_admin(request_timeout_ms=int(timeout_s * 1000), **connection)
    try:
        async with asyncio.timeout(timeout_s):
            await start_admin(admin)
        if options.topic in await retry_while_unavailable(admin.list_topics, timeout_s):
            return
        if not options.create_partitions:
            raise ConfigError(
                f"topic {options.topic} does not exist; create it, or use --create-partitions"
            )
        brokers = len((await retry_while_unavailable(admin.describe_cluster, timeout_s))["brokers"])
        replicas = min(REPLICAS_MAX, brokers)
        # The default of the cluster may require more replicas in sync than there are.
        config = {"min.insync.replicas": str(max(1, replicas - 1))}
        topic = NewTopic(options.topic, options.create_partitions, replicas, topic_configs=config)
        await retry_while_unavailable(partial(admin.create_topics, [topic]), timeout_s)
    except TopicAlreadyExistsError:
        return
    except BrokerResponseError as error:
        if is_transient(error):
            raise
        raise ConfigError(f"cannot create topic {options.topic}: {reason(error)}") from error
    finally:
        await stop_admin(admin, settings.revoke_timeout_s)


async def _send_all(
    producer: AIOKafkaProducer,
    log: Log,
    options: SendOptions,
    timeout_s: float,
    on_progress: Callable[[int], None],
) -> int:
    start_s, sent = time.monotonic(), 0
    waiting: list[asyncio.Future[object]] = []
    async with log:
        for source_range in await log.ranges():
            async with aclosing(log.batches(source_range)) as batches:
                async for records in batches:
                    for record in records:
                        waiting.append(await _send_one(producer, options, record))
                        sent += 1
                        if len(waiting) >= IN_FLIGHT_MAX:
                            await _acknowledged(waiting, timeout_s)
                            on_progress(IN_FLIGHT_MAX)
                        ahead_s = (
                            sent / options.rate + start_s - time.monotonic() if options.rate else 0
                        )
                        if ahead_s > TICK_S:
                            await asyncio.sleep(ahead_s)
    on_progress(len(waiting))
    await _acknowledged(waiting, timeout_s)
    return sent


async def _send_one(
    producer: AIOKafkaProducer, options: SendOptions, record: Record
) -> "asyncio.Future[object]":
    value = record.value
    if options.without and value is not None:
        value = leave_out(value, options.without)
    future: asyncio.Future[object] = await producer.send(options.topic, value, key=record.key)
    return future


def leave_out(value: bytes, names: Collection[str]) -> bytes:
    """Return the JSON of an object without some fields, and any other value unchanged.

    Example:
        >>> leave_out(b'{"x": NaN, "late": true}', ["late"]), leave_out(b"no JSON", ["late"])
        (b'{"x":NaN}', b'no JSON')
    """
    content = parse_json(value)
    if not isinstance(content, dict):
        return value
    kept = {name: field for name, field in content.items() if name not in names}
    return _OBJECT.dump_json(kept)


async def _acknowledged(waiting: "list[asyncio.Future[object]]", timeout_s: float) -> None:
    """Wait until Kafka has acknowledged all records, and raise the first error."""
    async with asyncio.timeout(timeout_s):
        await asyncio.gather(*waiting)
    waiting.clear()
