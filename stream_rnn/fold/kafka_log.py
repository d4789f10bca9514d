"""What recovery asks of Kafka: log start and end, the group offset, one record, the last prediction.

One consumer without a group and one admin client serve all partitions of a process.  Nothing is
consumed from a group and nothing is written.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import FencedError, UnreachableError, reason
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.recovery import GroupOffset, LastPrediction
from stream_rnn.fold.recovery_facts import Topics
from stream_rnn.kafka.acls import refusal
from stream_rnn.kafka.answers import CheckedAdminClient, asking
from stream_rnn.kafka.clients import new_admin, new_consumer
from stream_rnn.kafka.record_batches import Consumer
from stream_rnn.kafka.topics import TopicFacts, read_topics
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.settings import Settings

logger = logging.getLogger(__name__)

TOPICS_AGE_S = 5.0
READERS_MAX = 8
POLL_MS = 100  # a fetch of nothing but markers moves the position and delivers no record
LOG_APPEND_TIME = 1

T = TypeVar("T")


class KafkaCluster:
    """The clients behind every partition's :class:`KafkaLog`; an async context manager.

    Args:
        connection: options of every Kafka client.
        settings: topics and deadlines.
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

    async def __aenter__(self) -> Self:
        timeout_ms = int(self.settings.kafka_timeout_s * 1000)
        self._consumer = self._new_consumer()
        self.admin = new_admin(request_timeout_ms=timeout_ms, **self._connection)
        try:
            async with asyncio.timeout(self.settings.kafka_timeout_s):
                await self._consumer.start()
                await self.admin.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await self.__aexit__()
            within_s = self.settings.kafka_timeout_s
            message = await describe_unreachable(self._connection, error, within_s)
            raise UnreachableError(message) from error
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for client in (self._consumer and self._consumer.stop, self.admin and self.admin.close):
            if client is not None:
                await self._close(client)

    async def _close(self, close: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(self.settings.revoke_timeout_s):
                await close()
        except (KafkaError, TimeoutError, OSError):
            return  # it only reads: nothing is lost with it

    def _new_consumer(self) -> Consumer:
        return new_consumer(
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=int(self.settings.kafka_timeout_s * 1000),
            **self._connection,
        )

    async def topics(self, *names: str) -> dict[str, TopicFacts]:
        """Return what the cluster says of some topics, at most ``TOPICS_AGE_S`` old."""
        async with self._describing:
            if time.monotonic() - self._topics_s > TOPICS_AGE_S or not set(names) <= set(
                self._topics
            ):
                assert self.admin is not None, "used inside of its context"
                ask = partial(read_topics, self.admin, names)
                self._topics = await self.ask_admin(ask, "topics")
                self._topics_s = time.monotonic()
            return self._topics

    async def log_start(self, tp: TopicPartition) -> int:
        """Return the first available offset of a partition."""
        return int((await self.ask(self.consumer.beginning_offsets([tp]), tp))[tp])

    async def log_end(self, tp: TopicPartition) -> int:
        """Return the last stable offset of a partition."""
        return int((await self.ask(self.consumer.end_offsets([tp]), tp))[tp])

    async def group_offset(self, group: str, tp: TopicPartition) -> GroupOffset | None:
        """Return what a group committed for a partition."""
        assert self.admin is not None, "used inside of its context"
        ask = partial(self.admin.list_consumer_group_offsets, group, partitions=[tp])
        offsets = await self.ask_admin(ask, f"group {group}")
        if tp not in offsets:
            raise FencedError(f"Kafka's answer about group {group} lacks {tp}")
        offset = offsets[tp]
        if offset.offset < 0:
            return None
        return GroupOffset.parse(offset.offset, offset.metadata or "")

    async def members(self, group: str) -> int:
        """Return how many members a group has now."""
        assert self.admin is not None, "used inside of its context"
        ask = partial(self.admin.describe_consumer_groups, [group])
        answers = await self.ask_admin(ask, f"group {group}")
        return sum(
            len(described["members"])
            for answer in answers
            for described in answer.to_object()["groups"]
        )

    async def batches(
        self, tp: TopicPartition, first: int, end: int
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """Yield the committed records of a partition in [first, end).

        Raises:
            FencedError: nothing arrives within ``kafka_timeout_s``.
            UnreadableError: a batch cannot be read; what is before it has been yielded.
        """
        if first >= end:
            return
        async with self._reader(tp, first) as consumer:
            position, arrived_s = first, time.monotonic()
            while position < end:
                try:
                    fetched = await self.ask(consumer.getmany(tp, timeout_ms=POLL_MS), tp)
                except FencedError as error:
                    if isinstance(error.__cause__, OffsetOutOfRangeError):
                        return  # retention has removed them meanwhile
                    raise
                wanted = [record for record in fetched.get(tp, []) if record.offset < end]
                if wanted:
                    yield wanted
                reached = await self.ask(consumer.position(tp), tp)
                if reached > position:
                    position, arrived_s = reached, time.monotonic()
                elif time.monotonic() - arrived_s > self.settings.kafka_timeout_s:
                    raise FencedError(f"{tp}: Kafka delivers nothing from offset {position} on")

    @asynccontextmanager
    async def _reader(self, tp: TopicPartition, first: int) -> AsyncIterator[Consumer]:
        """Open a consumer of its own: one that is assigned again and again can stop fetching."""
        async with self._readers:
            consumer = self._new_consumer()
            try:
                await self.ask(consumer.start(), tp)
                consumer.assign([tp])
                consumer.seek(tp, first)
                yield consumer
            finally:
                await self._close(consumer.stop)

    @property
    def consumer(self) -> Consumer:
        """The consumer, inside of the context."""
        assert self._consumer is not None, "used inside of its context"
        return self._consumer

    async def ask(self, call: Awaitable[T], what: TopicPartition | str) -> T:
        """Await an answer of Kafka about a partition, or what else is named, within its deadline.

        Raises:
            ConfigError: the user has no right to ask.
            FencedError: there is none; the restart tries again.
        """
        with self._translated(what):
            async with asyncio.timeout(self.settings.kafka_timeout_s):
                return await call

    async def ask_admin(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        """Ask by the admin client, again while a broker says that it cannot answer now.

        Raises:
            ConfigError: the user has no right to ask.
            FencedError: there is no answer within the deadline; the restart tries again.
        """
        with self._translated(what):
            return await asking(call, self.settings.kafka_timeout_s)

    @contextmanager
    def _translated(self, what: TopicPartition | str) -> Iterator[None]:
        try:
            yield
        except (KafkaError, TimeoutError, OSError) as error:
            name = what.topic if isinstance(what, TopicPartition) else what
            message = (
                f"Kafka did not answer about {what}: {reason(error, self.settings.kafka_timeout_s)}"
            )
            refused = refusal(error, self.settings.app, f"Read on topic {name}")
            raise refused or FencedError(message) from error


class KafkaLog:
    """One source partition; a :class:`stream_rnn.fold.recovery_facts.Log`."""

    def __init__(self, facts: KafkaCluster, settings: Settings, partition: int) -> None:
        self._facts = facts
        self._settings = settings
        self._source = TopicPartition(settings.source, partition)
        self._outputs: tuple[str, str] = (settings.predictions or "", settings.dead_letters_topic)

    async def log_start(self) -> int:
        """Return the log start."""
        return await self._facts.log_start(self._source)

    async def log_end(self) -> int:
        """Return the log end."""
        return await self._facts.log_end(self._source)

    async def group_offset(self) -> GroupOffset | None:
        """Return the group offset."""
        return await self._facts.group_offset(self._settings.app or "", self._source)

    async def last_prediction(self) -> LastPrediction | None:
        """Read the outputs backwards: the last one of this app and source partition.

        A dead letter counts where it names the fold: then it left in one transaction with all
        that comes before it.
        """
        found = await asyncio.gather(*(self._last_in(topic) for topic in self._outputs))
        return max(filter(None, found), key=lambda last: last.offset, default=None)

    async def _last_in(self, topic: str) -> LastPrediction | None:
        output = TopicPartition(topic, self._source.partition)
        topics = await self._facts.topics(*self._topic_names())
        if output.partition >= topics[topic].partitions:
            return None  # where_to_start stops for it, if it is the predictions topic
        end = await self._facts.log_end(output)
        start = await self._facts.log_start(output)
        span, last = 16, None
        while last is None and end > start:
            first = max(start, end - span)
            async for records in self._facts.batches(output, first, end):
                for record in records:
                    last = self._own(record) or last
            if first == start or span >= self._settings.lookback_records_max:
                break
            span = min(8 * span, self._settings.lookback_records_max)
        return last

    def _own(self, record: ConsumerRecord) -> LastPrediction | None:
        headers = dict(record.headers)
        place = (self._settings.app, self._source.topic, str(self._source.partition))
        said = tuple(headers.get(name, b"") for name in ("sr-app", "sr-topic", "sr-partition"))
        if said != tuple((text or "").encode() for text in place):
            return None
        is_stamped_by_broker = record.timestamp_type == LOG_APPEND_TIME
        timestamp = None if is_stamped_by_broker else record.timestamp
        try:
            offset, origin = int(headers["sr-offset"]), int(headers["sr-origin"])
            return LastPrediction(offset, headers["sr-fold"].decode(), origin, timestamp)
        except (AttributeError, KeyError, TypeError, ValueError):
            logger.warning("an output has headers that no worker writes: not regarded topic=%s offset=%d", record.topic, record.offset)  # fmt: skip
            return None

    async def record_at(self, offset: int) -> Record | None:
        """Return the record at an offset."""
        async for records in self._facts.batches(self._source, offset, offset + 1):
            found: Record = records[0]
            return found
        return None

    async def topics(self) -> Topics:
        """Return the partition counts and the cleanup policy."""
        topics = await self._facts.topics(*self._topic_names())
        source, predictions, _ = (topics[name] for name in self._topic_names())
        return Topics(source.partitions, predictions.partitions, source.is_compacted)

    def _topic_names(self) -> tuple[str, str, str]:
        return (self._source.topic, *self._outputs)
