"""Publishing: predictions, dead letters and the group offset leave together, before the commit.

``exactly_once`` is one Kafka transaction per micro-batch; its transactional id names the app, the
topic and the partition, so starting a producer fences the partition's last owner and decides its
transaction.  ``at_least_once`` awaits the acknowledgements of an idempotent producer and then
moves the group offset.  Whatever the client raises in between is never sent again: the outcome
is unknown, the worker is released, and the restart finds out.

Kafka forgets a producer that publishes nothing for ``transactional.id.expiration.ms`` (7 days), or
``producer.id.expiration.ms`` without transactions.  Then it is started anew and finds out itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerIdMapping,
    KafkaError,
    TransactionalIdAuthorizationFailed,
    UnknownProducerId,
)
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import ConfigError, FencedError, ForgottenError, reason
from stream_rnn.fold.crash_points import AtCrashPoint, Point, no_op
from stream_rnn.fold.fold_id import earlier_transactional_id, transactional_id
from stream_rnn.fold.output_batches import Message, in_batches
from stream_rnn.kafka.acls import refusal_of_outputs
from stream_rnn.kafka.clients import new_producer, stop_producer
from stream_rnn.kafka.coordinator import TRANSACTIONS, refuse_unmet
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import FoldSettings

FORGOTTEN = (InvalidProducerIdMapping, UnknownProducerId)
"""What the transaction coordinator, or the leader of an output, says of a producer it has forgotten."""

OwnerCheck = Callable[[], Awaitable[None]]
"""Asks whether the assignment still counts; raises :class:`FencedError` if it does not."""


class Publisher(Protocol):
    """The way out of one partition, for one assignment."""

    async def start(self) -> None:
        """Fence the last owner of the partition and decide its transaction.

        Called once, and again after each :class:`ForgottenError`, which finds out too what came of
        the publish that failed.

        Raises:
            FencedError: the assignment is over, or Kafka does not answer.
            ConfigError: Kafka refuses a right.
        """

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish all of it; returns when it is acknowledged.  Does not retry.

        Raises:
            FencedError: another worker owns the partition, or the outcome is unknown.
            ForgottenError: Kafka has forgotten the producer; the outcome is unknown.
            ConfigError: Kafka refuses a right, or an output does not fit.
        """

    async def close(self) -> None:
        """Free the connections; nothing is published after it."""


class KafkaPublisher:
    """What both deliveries share: a producer for the partition's number in both output topics.

    Args:
        connection: options of every Kafka client.
        settings: topics, bounds and deadlines.
        partition: the source partition's number, and that of its outputs.
        transactional_id: ``None`` for a producer without transactions.
        at_crash_point: called at each :class:`Point`.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        settings: FoldSettings,
        partition: int,
        transactional_id: str | None,
        at_crash_point: AtCrashPoint = no_op,
    ) -> None:
        self._at_crash_point = at_crash_point
        self._settings = settings
        self._partition = partition
        self._predictions = settings.predictions
        self._dead_letters = settings.dead_letters_topic
        self._connection = connection
        self._transactional_id = transactional_id
        self._has_started = False
        self._producer = self._new_producer(transactional_id)

    def _new_producer(self, transactional_id: str | None) -> AIOKafkaProducer:
        settings = self._settings
        options: dict[str, Any] = {}
        if transactional_id is not None:
            options["transactional_id"] = transactional_id
            options["transaction_timeout_ms"] = settings.transaction_timeout_ms
        return new_producer(
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=settings.output_batch_bytes_max,
            max_request_size=settings.output_batch_bytes_max + 65_536,
            compression_type=None if settings.compression == "none" else settings.compression,
            request_timeout_ms=int(settings.kafka_timeout_s * 1000),
            **options,
            **self._connection,
        )

    async def start(self) -> None:
        """Connect, by a new producer each time; with a transactional id, fence the last owner."""
        if self._has_started:
            await self.close()
            self._producer = self._new_producer(self._transactional_id)
        self._has_started = True
        with self._released("starting the producer"):
            await self._start(self._producer)

    async def _start(self, producer: AIOKafkaProducer) -> None:
        try:
            async with asyncio.timeout(self._settings.kafka_timeout_s):
                await producer.start()
        except TimeoutError as error:
            if self._transactional_id is not None:
                await refuse_unmet(self._connection, TRANSACTIONS, error)
            raise

    async def close(self) -> None:
        """Close the producer within its deadline."""
        # Its errors are not acted upon: recovery decides what was published.
        await stop_producer(self._producer, self._settings.revoke_timeout_s)

    @contextmanager
    def _released(self, doing: str, producer: AIOKafkaProducer | None = None) -> Iterator[None]:
        """Turn whatever a client raises into a release, and a refused right into a stop.

        Args:
            doing: for the message.
            producer: that does it; ``None`` for the one that publishes.
        """
        try:
            yield
        except (KafkaError, IllegalOperation, TimeoutError, OSError, AssertionError) as error:
            why = self._ended_by(error, producer or self._producer)
            message = f"{doing} failed, its outcome is unknown: {reason(why, self._settings.kafka_timeout_s)}"
            if isinstance(why, FORGOTTEN):
                raise ForgottenError(f"{message}; the producer is started anew") from error
            raise refusal_of_outputs(error, self._settings) or FencedError(message) from error

    def _ended_by(self, error: BaseException, producer: AIOKafkaProducer) -> BaseException:
        """Return what a broker said, of what the client made of it.

        An answer that ends the client's sender reaches whoever waits as its cause; who comes later
        only sees that there is no transaction any more.
        """
        sender = producer._sender.sender_task  # noqa: SLF001  # no public way
        has_ended = sender is not None and sender.done() and not sender.cancelled()
        ended: BaseException = (sender.exception() if has_ended else None) or error
        said = [error, error.__cause__, ended, ended.__cause__]
        return next((one for one in said if isinstance(one, FORGOTTEN)), error)

    async def _send(self, predictions: Sequence[Message], dead_letters: Sequence[Message]) -> None:
        # Recovery takes the last prediction as a sign that all before it is published; so without
        # a transaction the dead letters must be there first.
        for acknowledged in await self._send_to(self._dead_letters, dead_letters):
            await acknowledged
        self._at_crash_point(Point.DEAD_LETTERS_SENT)
        for acknowledged in await self._send_to(self._predictions, predictions):
            await acknowledged
        self._at_crash_point(Point.PREDICTIONS_SENT)

    async def _send_to(self, topic: str, messages: Sequence[Message]) -> list[Awaitable[Any]]:
        """Send in record batches below the broker's limit; return what to await."""
        sent: list[Awaitable[Any]] = []
        output = TopicPartition(topic, self._partition)
        limit = self._settings.output_batch_bytes_max
        for batch in in_batches(self._producer.create_batch, messages, output, limit):
            sent.append(await self._producer.send_batch(batch, topic, partition=self._partition))
            self._at_crash_point(Point.BATCH_SENT)
        return sent


async def _nobody_asks() -> None:
    """Let a producer start whoever owns the partition."""


class TransactionalPublisher(KafkaPublisher):
    """``exactly_once``: a transaction per micro-batch.

    Args:
        connection: options of every Kafka client.
        settings: topics, bounds and deadlines.
        partition: the source partition's number.
        at_crash_point: called at each :class:`Point`.
        check_owner: awaited right before each request that fences.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        settings: FoldSettings,
        partition: int,
        at_crash_point: AtCrashPoint = no_op,
        check_owner: OwnerCheck = _nobody_asks,
    ) -> None:
        self._check_owner = check_owner
        place = (settings.app, settings.source, partition)
        super().__init__(connection, settings, partition, transactional_id(*place), at_crash_point)
        self._earlier_id = earlier_transactional_id(*place)
        self._source = TopicPartition(settings.source, partition)

    def _new_producer(self, transactional_id: str | None) -> AIOKafkaProducer:
        """Make a producer that asks whether the partition is still ours before it fences anybody."""
        producer = super()._new_producer(transactional_id)
        sender = producer._sender  # noqa: SLF001  # nothing public comes between connecting and fencing
        fence = sender._do_init_pid  # noqa: SLF001  # see above

        async def ask_and_fence(node: Any) -> Any:
            self._at_crash_point(Point.CONNECTED)
            await self._check_owner()
            return await fence(node)

        sender._do_init_pid = ask_and_fence  # noqa: SLF001  # see above
        return producer

    async def start(self) -> None:
        """Fence the last owner, and write an abort marker into both outputs.

        A process that was frozen may have lost the partition without knowing it; so the group is
        asked right before each request that fences.  It can still be frozen between the answer and
        that request, and fence a healthy owner afterwards.  Then that owner's next publish is
        refused, it is released, and its restart fences back.  Meanwhile the frozen one is the only
        one whose transactions count: it has decided those of the owner and read the group offset after that, and
        publishes above it, if anything before it is told that it lost the partition.  So nothing is
        lost and nothing comes twice; a restart is what it costs.

        A coordinator that restarts may call a transaction of the last owner aborted without having
        written its markers (seen with Kafka 4.3, whose time was up while the broker was down). The
        records then stay open, and would be committed by our own first transaction.
        """
        await self._fence_earlier()
        await super().start()
        with self._released("closing what the last owner left open"):
            await self._close_what_is_open(self._producer)

    async def _fence_earlier(self) -> None:
        """Fence an owner of the last version, whose transactional id was another one.

        Who may not write by that id cannot be such an owner either: its user is the same.
        """
        producer = self._new_producer(self._earlier_id)
        try:
            with self._released("fencing an owner of the version before", producer):
                await self._start(producer)
                self._at_crash_point(Point.EARLIER_FENCED)
                await self._close_what_is_open(producer)
        except ConfigError as error:
            if not isinstance(error.__cause__, TransactionalIdAuthorizationFailed):
                raise
        finally:
            await stop_producer(producer, self._settings.revoke_timeout_s)

    async def _close_what_is_open(self, producer: AIOKafkaProducer) -> None:
        async with asyncio.timeout(self._settings.kafka_timeout_s):
            await producer.begin_transaction()
            self._at_crash_point(Point.CLOSING)
            for topic in (self._predictions, self._dead_letters):
                output = TopicPartition(topic, self._partition)
                # There is no public way to take part without sending a record.
                producer._txn_manager.maybe_add_partition_to_txn(output)  # noqa: SLF001
            await producer.abort_transaction()

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish all of it in one transaction."""
        producer = self._producer
        offset = OffsetAndMetadata(group_offset.offset, group_offset.metadata)
        with self._released("publishing"):
            async with asyncio.timeout(self._settings.kafka_timeout_s):
                await producer.begin_transaction()
                self._at_crash_point(Point.BEGUN)
                await self._send(predictions, dead_letters)
                await producer.send_offsets_to_transaction(
                    {self._source: offset}, self._settings.app
                )
                self._at_crash_point(Point.OFFSET_SENT)
                await producer.commit_transaction()


class IdempotentPublisher(KafkaPublisher):
    """``at_least_once``: acknowledged first, then the group offset.

    Args:
        connection: options of every Kafka client.
        settings: topics, bounds and deadlines.
        partition: the source partition's number.
        commit_group_offset: moves the group offset, if the assignment is still this one.
        at_crash_point: called at each :class:`Point`.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        settings: FoldSettings,
        partition: int,
        commit_group_offset: Callable[[int, GroupOffset], Awaitable[None]],
        at_crash_point: AtCrashPoint = no_op,
    ) -> None:
        super().__init__(connection, settings, partition, None, at_crash_point)
        self._commit_group_offset = commit_group_offset

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish, await the acknowledgements, then move the group offset."""
        with self._released("publishing"):
            async with asyncio.timeout(self._settings.kafka_timeout_s):
                self._at_crash_point(Point.BEGUN)
                await self._send(predictions, dead_letters)
                await self._commit_group_offset(self._partition, group_offset)
                self._at_crash_point(Point.OFFSET_SENT)
