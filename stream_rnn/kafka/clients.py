"""Every client of Kafka comes from here: it never creates a topic by asking for it, and it ends.

A broker with ``auto.create.topics.enable``, which is Kafka's default, creates a topic with its default
number of partitions as soon as a client asks for metadata by the topic's name, unless the client
says that it must not.  aiokafka never says so, and has no option for it; so every client of this
package comes from here.  A topic that a worker finds with another number of partitions is refused.

Every client is stopped here too, within a deadline: left to itself, one whose broker is away may
wait for it without end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from stream_rnn.kafka.answers import CheckedAdminClient
from stream_rnn.kafka.record_batches import Consumer

CLOSE_WITHIN_S = 1.0

T = TypeVar("T")


class _Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka is not typed
    """A connection on which to ask for a topic does not create it."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request."""
        if isinstance(request, MetadataRequest):
            request = MetadataRequest(request._topics, allow_auto_topic_creation=False)  # noqa: SLF001  # it has no public attribute
        return super().send(request, expect_response)


class _Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka is not typed
    """What aiokafka's consumers, producers and admin clients connect by."""

    async def _get_conn(self, *args: Any, **options: Any) -> AIOKafkaConnection | None:
        connection = await super()._get_conn(*args, **options)
        if connection is not None:
            connection.__class__ = _Connection  # aiokafka makes it by a function of a module
        return connection


def new_consumer(**options: Any) -> Consumer:
    """Return a consumer that is not started; it reads every batch that can be read."""
    return never_creating(Consumer(**options))


def new_producer(**options: Any) -> AIOKafkaProducer:
    """Return a producer that is not started."""
    return never_creating(AIOKafkaProducer(**options))


async def stop_producer(producer: AIOKafkaProducer, timeout_s: float) -> None:
    """Stop a producer, whatever becomes of what it has not sent yet.

    One that does not come to its end sends nothing more afterwards, and keeps no connection.
    """
    if await _is_done(producer.stop, timeout_s):
        return
    task = producer._sender.sender_task  # noqa: SLF001  # no public way
    if task is not None:
        task.cancel()
    await _is_done(producer.client.close, CLOSE_WITHIN_S)


async def stop_consumer(consumer: AIOKafkaConsumer, timeout_s: float) -> None:
    """Stop a consumer; one that does not come to its end fetches nothing more afterwards."""
    if await _is_done(consumer.stop, timeout_s):
        return
    if consumer._fetcher is not None:  # noqa: SLF001  # no public way
        await _is_done(consumer._fetcher.close, CLOSE_WITHIN_S)  # noqa: SLF001
    await _is_done(consumer._client.close, CLOSE_WITHIN_S)  # noqa: SLF001


def new_admin(**options: Any) -> CheckedAdminClient:
    """Return an admin client that is not started; it raises what the broker's answers say."""
    return never_creating(CheckedAdminClient(**options))


async def stop_admin(admin: CheckedAdminClient, timeout_s: float) -> None:
    """Stop an admin client, also one whose start was cut off: it keeps no connection."""
    await _is_done(admin.close, timeout_s)
    await _is_done(admin._client.close, CLOSE_WITHIN_S)  # noqa: SLF001  # no public way


async def _is_done(call: Callable[[], Awaitable[None]], timeout_s: float) -> bool:
    """Await the end of a client; return whether it came within the deadline."""
    try:
        async with asyncio.timeout(timeout_s):
            await call()
    except (TimeoutError, KafkaError, OSError):
        return False
    return True


def never_creating(client: T) -> T:
    """Let a client that is not started yet create no topic by asking for it; return the client."""
    inner: Any = getattr(client, "client", None) or getattr(client, "_client")  # noqa: B009  # no public way
    inner.__class__ = _Client
    return client
