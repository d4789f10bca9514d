"""Read access to the topics, partitions and groups of a Kafka cluster.

One admin client and one consumer without a group serve all partitions of a process.  Neither
writes anything.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import FencedError, UnavailableError, UnreachableError, reason
from stream_rnn.kafka.acls import authorization_error
from stream_rnn.kafka.admin_client import CheckedAdminClient, retry_while_unavailable
from stream_rnn.kafka.clients import (
    new_admin,
    new_consumer,
    start_admin,
    stop_admin,
    stop_consumer,
)
from stream_rnn.kafka.connection import connection_options
from stream_rnn.kafka.group_offsets import GroupOffset, committed_offsets
from stream_rnn.kafka.record_batches import Consumer
from stream_rnn.kafka.topics import TopicFacts, read_topics
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.settings import Settings

logger = logging.getLogger(__name__)

TOPICS_AGE_S = 5.0
READERS_MAX = 8
POLL_MS = 100  # a fetch with only markers advances the position and returns no record

T = TypeVar("T")
ReadRange = Callable[[int, int, int | None], AsyncGenerator[list[ConsumerRecord]]]


class KafkaCluster:
    """A client that reads facts and records of a Kafka cluster; an async context manager.

    Args:
        connection: Options of every Kafka client.
        settings: Settings with the deadlines, and with the app id for messages about rights.
    """

    def __init__(self, connection: dict[str, Any], settings: Settings) -> None:
        self.settings = settings
        self._connection = connection
        self._readers = asyncio.Semaphore(READERS_MAX)
        self._describing = asyncio.Lock()
        self._topics: dict[str, TopicFacts] = {}
        self._topics_s = -TOPICS_AGE_S
        self._consumer: Consumer | None = None
        self.admin: CheckedAdminClient | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the cluster that the settings name.

        Raises:
            ConfigError: The file that ``kafka_config`` names is invalid.
        """
        return cls(connection_options(settings), settings)

    async def __aenter__(self) -> Self:
        timeout_ms = int(self.settings.kafka_timeout_s * 1000)
        self._consumer = self._new_consumer()
        self.admin = new_admin(request_timeout_ms=timeout_ms, **self._connection)
        try:
            async with asyncio.timeout(self.settings.kafka_timeout_s):
                await self._consumer.start()
                await start_admin(self.admin)
        except (KafkaError, TimeoutError, OSError) as error:
            await self.__aexit__()
            within_s = self.settings.kafka_timeout_s
            message = await describe_unreachable(self._connection, error, within_s)
            raise UnreachableError(message) from error
        return self

    async def __aexit__(self, *_exception: object) -> None:
        timeout_s = self.settings.revoke_timeout_s
        if self._consumer is not None:
            await stop_consumer(self._consumer, timeout_s)
        if self.admin is not None:
            await stop_admin(self.admin, timeout_s)

    def _new_consumer(self, wait_ms: int = POLL_MS) -> Consumer:
        return new_consumer(
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=int(self.settings.kafka_timeout_s * 1000),
            fetch_max_wait_ms=wait_ms,  # a seek waits for the fetch before it
            **self._connection,
        )

    async def topics(self, *names: str) -> dict[str, TopicFacts]:
        """Return facts about topics that are at most ``TOPICS_AGE_S`` seconds old."""
        async with self._describing:
            if time.monotonic() - self._topics_s > TOPICS_AGE_S or not set(names) <= set(
                self._topics
            ):
                assert self.admin is not None, "used inside of its context"
                describe = partial(read_topics, self.admin, names)
                self._topics = await self.await_admin_answer(describe, "topics")
                self._topics_s = time.monotonic()
            return self._topics

    async def log_start(self, tp: TopicPartition) -> int:
        """Return the first available offset of a partition."""
        return int((await self.await_answer(self.consumer.beginning_offsets([tp]), tp))[tp])

    async def log_end(self, tp: TopicPartition) -> int:
        """Return the last stable offset of a partition."""
        return int((await self.await_answer(self.consumer.end_offsets([tp]), tp))[tp])

    async def group_offset(self, group: str, tp: TopicPartition) -> GroupOffset | None:
        """Return the committed offset of a group in a partition; ``None`` if there is none."""
        assert self.admin is not None, "used inside of its context"
        timeout_s = self.settings.kafka_timeout_s
        try:
            offsets = await committed_offsets(self.admin, group, [tp], timeout_s)
        except UnavailableError as error:
            raise FencedError(str(error)) from error
        if tp not in offsets:
            return None
        return GroupOffset.parse(offsets[tp].offset, offsets[tp].metadata)

    async def member_count(self, group: str) -> int:
        """Return the number of members that a group has now."""
        assert self.admin is not None, "used inside of its context"
        describe = partial(self.admin.describe_consumer_groups, [group])
        answers = await self.await_admin_answer(describe, f"group {group}")
        return sum(
            len(described["members"])
            for answer in answers
            for described in answer.to_object()["groups"]
        )

    async def batches(
        self, tp: TopicPartition, first: int, end: int
    ) -> AsyncGenerator[list[ConsumerRecord]]:
        """Yield the committed records of a partition in [first, end).

        Raises:
            FencedError: Kafka delivers nothing within ``kafka_timeout_s``.
            UnreadableError: A record batch cannot be read; all records before it were yielded.
        """
        if first >= end:
            return
        async with self.reader(tp) as read, aclosing(read(first, end, None)) as batches:
            async for records in batches:
                yield records

    @asynccontextmanager
    async def reader(self, tp: TopicPartition) -> AsyncIterator[ReadRange]:
        """Open a reader of several ranges of a partition, by one consumer.

        The consumer is a new one, because one that is reassigned repeatedly can stop fetching.

        Yields:
            A function like :meth:`batches`, whose last argument is the maximum number of records
            in one list, or ``None``.  Use it for one range at a time.
        """
        async with self._readers:
            consumer = await self.open_consumer(tp)
            try:
                yield partial(self._read, consumer, tp)
            finally:
                await stop_consumer(consumer, self.settings.revoke_timeout_s)

    async def open_consumer(self, tp: TopicPartition, wait_ms: int = POLL_MS) -> Consumer:
        """Start a consumer of one partition, without a group; the caller stops it.

        Args:
            tp: Partition.
            wait_ms: Milliseconds for which a broker that has no new record keeps a fetch, at most
                half of ``kafka_timeout_s``.  A consumer that stays open asks so often.
        """
        limit_ms = int(self.settings.kafka_timeout_s * 500)
        consumer = self._new_consumer(min(wait_ms, limit_ms))
        try:
            await self.await_answer(consumer.start(), tp)
        except BaseException:
            await stop_consumer(consumer, self.settings.revoke_timeout_s)
            raise
        consumer.assign([tp])
        return consumer

    async def _read(
        self, consumer: Consumer, tp: TopicPartition, first: int, end: int, records_max: int | None
    ) -> AsyncGenerator[list[ConsumerRecord]]:
        consumer.seek(tp, first)
        position, arrived_s = first, time.monotonic()
        while position < end:
            fetch = consumer.getmany(tp, timeout_ms=POLL_MS, max_records=records_max)
            try:
                fetched = await self.await_answer(fetch, tp)
            except FencedError as error:
                start = await self.log_start(tp)
                if start <= position or not isinstance(error.__cause__, OffsetOutOfRangeError):
                    raise
                logger.warning("%s: retention removed offsets %d to %d", tp, position, start - 1)
                consumer.seek(tp, start)
                position, arrived_s = start, time.monotonic()
                continue
            records = [record for record in fetched.get(tp, []) if record.offset < end]
            if records:
                yield records
            reached = await self.await_answer(consumer.position(tp), tp)
            if reached > position:
                position, arrived_s = reached, time.monotonic()
            elif time.monotonic() - arrived_s > self.settings.kafka_timeout_s:
                raise FencedError(f"{tp}: Kafka delivers nothing from offset {position} on")

    @property
    def consumer(self) -> Consumer:
        """The consumer, while the context is open."""
        assert self._consumer is not None, "used inside of its context"
        return self._consumer

    async def await_answer(self, call: Awaitable[T], subject: TopicPartition | str) -> T:
        """Await an answer of Kafka within ``kafka_timeout_s``.

        Args:
            call: Awaitable of the answer.
            subject: Partition or other subject of the request, for messages.

        Raises:
            ConfigError: The user lacks a right.
            FencedError: Kafka does not answer; the next start tries again.
        """
        with self._translate_errors(subject):
            async with asyncio.timeout(self.settings.kafka_timeout_s):
                return await call

    async def await_admin_answer(self, call: Callable[[], Awaitable[T]], subject: str) -> T:
        """Repeat a request of the admin client while a broker cannot answer it.

        Raises:
            ConfigError: The user lacks a right.
            FencedError: Kafka does not answer within ``kafka_timeout_s``; the next start tries
                again.
        """
        with self._translate_errors(subject):
            return await retry_while_unavailable(call, self.settings.kafka_timeout_s)

    @contextmanager
    def _translate_errors(self, subject: TopicPartition | str) -> Iterator[None]:
        try:
            yield
        except (KafkaError, TimeoutError, OSError) as error:
            name = subject.topic if isinstance(subject, TopicPartition) else subject
            cause = reason(error, self.settings.kafka_timeout_s)
            message = f"Kafka did not answer about {subject}: {cause}"
            refused = authorization_error(error, self.settings.app, f"Read on topic {name}")
            raise refused or FencedError(message) from error
