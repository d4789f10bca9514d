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
from aiokafka.errors import IllegalOperation, KafkaConnectionError, KafkaError

from stream_rnn.kafka.admin_client import CheckedAdminClient
from stream_rnn.kafka.client import Client, NoTopicClient, upgrade_client
from stream_rnn.kafka.credentials import Credentials
from stream_rnn.kafka.record_batches import Consumer

CLOSE_WITHIN_S = 1.0
PRODUCER_FAILURES = (KafkaError, IllegalOperation, TimeoutError, OSError, AssertionError)
"""What a call of a producer raises.

After a transaction has failed, aiokafka refuses the next call by ``IllegalOperation``, or asserts
the state of its transaction; `transaction_error` returns the error of the transaction.
"""

T = TypeVar("T")


def new_consumer(credentials: Credentials | None = None, **options: Any) -> Consumer:
    """Return a consumer that is not started, and that reads every intact record batch."""
    return set_connections(Consumer(**options), credentials)


def new_producer(credentials: Credentials | None = None, **options: Any) -> AIOKafkaProducer:
    """Return a producer that is not started."""
    return set_connections(AIOKafkaProducer(**options), credentials)


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


def transaction_error(error: BaseException, producer: AIOKafkaProducer) -> BaseException:
    """Return the error that ended a producer's transaction, if `error` only follows from it.

    The producer's background task receives the broker's refusal.  A call that comes later fails
    because there is no transaction, and its error has no cause.

    Args:
        error: What a call of the producer raised.
        producer: The producer.
    """
    transactions = producer._txn_manager  # noqa: SLF001  # no public way
    ended = transactions.wait_for_transaction_end() if transactions is not None else None
    sender = producer._sender.sender_task  # noqa: SLF001  # no public way
    batches = producer._message_accumulator._batches.values()  # noqa: SLF001  # no public way
    unsent = [batch._drain_waiter for waiting in batches for batch in waiting]  # noqa: SLF001
    # All are asked, whatever the error is, so that asyncio reports none.
    futures = [one for one in (ended, sender, *unsent) if one is not None]
    originals = [retrieve_error(one) for one in futures]
    if not isinstance(error, (IllegalOperation, AssertionError)):
        return error
    return next((one for one in originals if one is not None), error)


def retrieve_error(future: "asyncio.Future[Any]") -> BaseException | None:
    """Return the error of a future, ``None`` if it has none yet.

    asyncio logs an error that nobody has asked for.  As a callback of an acknowledgement that may
    not be awaited, this function prevents that.
    """
    return future.exception() if future.done() and not future.cancelled() else None


async def stop_consumer(consumer: AIOKafkaConsumer, timeout_s: float) -> None:
    """Stop a consumer; if it does not stop in time, end its fetches and connections."""
    if await _ends_within(consumer.stop, timeout_s):
        return
    if consumer._fetcher is not None:  # noqa: SLF001  # no public way
        await _ends_within(consumer._fetcher.close, CLOSE_WITHIN_S)  # noqa: SLF001
    await _ends_within(consumer._client.close, CLOSE_WITHIN_S)  # noqa: SLF001


def new_admin(credentials: Credentials | None = None, **options: Any) -> CheckedAdminClient:
    """Return an admin client that is not started, and that raises the errors of its answers."""
    return set_connections(CheckedAdminClient(**options), credentials)


async def start_admin(admin: CheckedAdminClient) -> None:
    """Start an admin client, and connect to a broker by its advertised address.

    Raises:
        KafkaConnectionError: No broker of the cluster answers.
    """
    await admin.start()
    client = admin._client  # noqa: SLF001  # no public way
    for broker in client.cluster.brokers():
        if await client.ready(broker.nodeId):
            return
    if client.cluster.brokers():
        raise KafkaConnectionError("no advertised broker answers")


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
    except asyncio.CancelledError:  # of a task of the client, unless the caller is cancelled
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return False
    return True


def set_connections(
    client: T, credentials: Credentials | None, kind: type[Client] = NoTopicClient
) -> T:
    """Give a client of aiokafka, which is not started yet, our connections; return the client.

    Args:
        client: Consumer, producer or admin client.
        credentials: Credentials of new connections; ``None`` for those that it was made with.
        kind: Class of its connections; the default creates no topic.
    """
    inner: Any = getattr(client, "client", None) or getattr(client, "_client")  # noqa: B009  # no public way
    upgrade_client(inner, credentials, kind)
    return client
