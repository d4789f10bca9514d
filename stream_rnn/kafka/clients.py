"""Creation and stop of every Kafka client, so that none creates a topic or waits forever.

A broker with ``auto.create.topics.enable``, which is Kafka's default, creates a topic as soon as a
client requests metadata by its name, unless the request forbids it.  aiokafka has no option to
forbid it; the clients of this package forbid it in each request.  A topic created in this way would
have the broker's default number of partitions, which a worker refuses.

Every client is stopped within a deadline, because a client can wait forever for a broker that is
away.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from stream_rnn.kafka.admin_client import CheckedAdminClient
from stream_rnn.kafka.record_batches import Consumer
from stream_rnn.kafka.unreachable import mute_client_log

CLOSE_WITHIN_S = 1.0

T = TypeVar("T")


class _Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka is not typed
    """A connection on which a request for metadata creates no topic."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request."""
        if isinstance(request, MetadataRequest):
            topics = request._topics  # noqa: SLF001  # no public way
            request = MetadataRequest(topics, allow_auto_topic_creation=False)
        return super().send(request, expect_response)


class _Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka is not typed
    """The connections of aiokafka's consumers, producers and admin clients."""

    async def bootstrap(self) -> None:
        """Connect to the first broker that answers."""
        with mute_client_log():
            await super().bootstrap()

    async def _get_conn(self, *args: Any, **options: Any) -> AIOKafkaConnection | None:
        connection = await super()._get_conn(*args, **options)
        if connection is not None:
            connection.__class__ = _Connection  # aiokafka has no parameter for the class
        return connection


def new_consumer(**options: Any) -> Consumer:
    """Return a consumer that is not started, and that reads every intact record batch."""
    return disable_topic_creation(Consumer(**options))


def new_producer(**options: Any) -> AIOKafkaProducer:
    """Return a producer that is not started."""
    return disable_topic_creation(AIOKafkaProducer(**options))


async def stop_producer(producer: AIOKafkaProducer, timeout_s: float) -> None:
    """Stop a producer; messages that are not sent by the deadline are lost.

    A producer that does not stop in time is cancelled: it sends nothing more, and its connections
    are closed.
    """
    if await _ends_within(producer.stop, timeout_s):
        return
    task = producer._sender.sender_task  # noqa: SLF001  # no public way
    if task is not None:
        task.cancel()
    await _ends_within(producer.client.close, CLOSE_WITHIN_S)


async def stop_consumer(consumer: AIOKafkaConsumer, timeout_s: float) -> None:
    """Stop a consumer; if it does not stop in time, end its fetches and connections."""
    if await _ends_within(consumer.stop, timeout_s):
        return
    if consumer._fetcher is not None:  # noqa: SLF001  # no public way
        await _ends_within(consumer._fetcher.close, CLOSE_WITHIN_S)  # noqa: SLF001
    await _ends_within(consumer._client.close, CLOSE_WITHIN_S)  # noqa: SLF001


def new_admin(**options: Any) -> CheckedAdminClient:
    """Return an admin client that is not started, and that raises the errors of its answers."""
    return disable_topic_creation(CheckedAdminClient(**options))


async def stop_admin(admin: CheckedAdminClient, timeout_s: float) -> None:
    """Stop an admin client and close its connections, even if its start was interrupted."""
    await _ends_within(admin.close, timeout_s)
    await _ends_within(admin._client.close, CLOSE_WITHIN_S)  # noqa: SLF001  # no public way


async def _ends_within(call: Callable[[], Awaitable[None]], timeout_s: float) -> bool:
    """Await a call that ends a client; return whether it succeeds within the deadline."""
    try:
        async with asyncio.timeout(timeout_s):
            await call()
    except (TimeoutError, KafkaError, OSError):
        return False
    return True


def disable_topic_creation(client: T) -> T:
    """Make a client that is not started yet unable to create topics, and return it."""
    inner: Any = getattr(client, "client", None) or getattr(client, "_client")  # noqa: B009  # no public way
    inner.__class__ = _Client
    return client
