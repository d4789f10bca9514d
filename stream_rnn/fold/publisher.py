"""Publishers of predictions, dead letters and the group offset, before the commit to Redis.

``exactly_once`` uses one Kafka transaction per micro-batch.  The transactional id names the app,
the topic and the partition, so starting a producer fences the partition's previous owner and
decides its transaction.  ``at_least_once`` awaits the acknowledgements of an idempotent producer,
and then commits the group offset.  A publish that fails is not sent again before a start of the
producer has determined its outcome.  The processor starts it after a publish that took too long, or
if Kafka has forgotten the producer, which published nothing for ``transactional.id.expiration.ms``
(7 days) or ``producer.id.expiration.ms``.  After other failures it releases the partition.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import TransactionalIdAuthorizationFailed
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import ConfigError, FencedError, ForgottenError, TooSlowError, reason
from stream_rnn.fold.crash_points import AtCrashPoint, Point, no_op
from stream_rnn.fold.fold_id import earlier_transactional_id, transactional_id
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.output_producer import new_output_producer, send_messages
from stream_rnn.fold.publish_errors import FORGOTTEN, original_error
from stream_rnn.kafka.acls import producer_authorization_error
from stream_rnn.kafka.clients import PRODUCER_FAILURES, stop_producer
from stream_rnn.kafka.coordinator import TRANSACTIONS, raise_if_unmet
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import FoldSettings

OwnerCheck = Callable[[], Awaitable[None]]
"""Checks that the assignment is still the current one; raises :class:`FencedError` otherwise."""


class Publisher(Protocol):
    """Publishes the outputs of one partition during one assignment."""

    async def start(self) -> None:
        """Fence the previous owner of the partition and decide its transaction.

        Called once, and again after each :class:`ForgottenError` and :class:`TooSlowError`; it
        also decides the outcome of the publish that failed.

        Raises:
            FencedError: The assignment is over, or Kafka does not answer.
            ConfigError: The user lacks a right.
        """

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish outputs and group offset, until Kafka has acknowledged all.  Does not retry.

        Raises:
            FencedError: Another worker owns the partition, or the outcome is unknown.
            ForgottenError: Kafka has forgotten the producer; the outcome is unknown.
            TooSlowError: It failed at its deadline or later; the outcome is unknown.
            ConfigError: The user lacks a right, or an output is too large.
        """

    async def close(self) -> None:
        """Close the connections.  Nothing is published afterwards."""


class KafkaPublisher:
    """The common part of both deliveries: a producer for one partition of both output topics.

    Args:
        connection: Options of every Kafka client.
        settings: Topics, bounds and deadlines.
        partition: Number of the source partition, which is also the number of its outputs.
        transactional_id: Transactional id; ``None`` for a producer without transactions.
        at_crash_point: Function to call at each :class:`Point`.
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
        return new_output_producer(self._connection, self._settings, transactional_id)

    async def start(self) -> None:
        """Connect with a new producer; one with a transactional id fences the previous owner."""
        if self._has_started:
            await self.close()
            self._producer = self._new_producer(self._transactional_id)
        self._has_started = True
        with self._translate_errors("starting the producer"):
            await self._start(self._producer)

    async def _start(self, producer: AIOKafkaProducer) -> None:
        try:
            async with asyncio.timeout(self._settings.kafka_timeout_s):
                await producer.start()
        except TimeoutError as error:
            if self._transactional_id is not None:
                await raise_if_unmet(self._connection, TRANSACTIONS, error)
            raise

    async def close(self) -> None:
        """Close the producer within its deadline."""
        # Errors are ignored here, because recovery determines what is published.
        await stop_producer(self._producer, self._settings.revoke_timeout_s)

    @contextmanager
    def _translate_errors(
        self, doing: str, producer: AIOKafkaProducer | None = None, slow_s: float | None = None
    ) -> Iterator[None]:
        """Translate a producer's errors: a missing right stops the worker, most release it.

        Args:
            doing: Name of the operation that may fail, for the message.
            producer: Producer in use; ``None`` for the one that publishes.
            slow_s: Seconds after which an error means that the operation took too long; ``None``
                if its size is fixed.
        """
        began_s = time.monotonic()
        try:
            yield
        except PRODUCER_FAILURES as error:
            lasted_s = time.monotonic() - began_s
            original = original_error(error, producer or self._producer)
            cause = reason(original, self._settings.kafka_timeout_s)
            message = f"{doing} failed, and its outcome is unknown: {cause}"
            if isinstance(original, FORGOTTEN):
                raise ForgottenError(f"{message}; the producer is started again") from error
            config_error = producer_authorization_error(original, self._settings)
            is_late = isinstance(error, TimeoutError) or lasted_s >= (slow_s or 0)
            if slow_s is not None and is_late and config_error is None:
                late = f"it lasted {lasted_s:.1f} s, and the deadline is {slow_s:g} s"
                raise TooSlowError(f"{message}; {late}") from error
            raise config_error or FencedError(message) from original

    async def _send(self, predictions: Sequence[Message], dead_letters: Sequence[Message]) -> None:
        # Recovery takes the last prediction as proof that everything before it is published.  So
        # without a transaction the dead letters must be acknowledged first.
        await self._send_to(self._dead_letters, dead_letters)
        self._at_crash_point(Point.DEAD_LETTERS_SENT)
        await self._send_to(self._predictions, predictions)
        self._at_crash_point(Point.PREDICTIONS_SENT)

    async def _send_to(self, topic: str, messages: Sequence[Message]) -> None:
        output = TopicPartition(topic, self._partition)
        await send_messages(
            *(self._producer, output, messages, self._settings),
            on_batch=lambda: self._at_crash_point(Point.BATCH_SENT),
        )


async def _no_owner_check() -> None:
    """Allow every start of a producer."""


class TransactionalPublisher(KafkaPublisher):
    """The publisher of ``exactly_once``, with one transaction per micro-batch.

    Args:
        connection: Options of every Kafka client.
        settings: Topics, bounds and deadlines.
        partition: Number of the source partition.
        at_crash_point: Function to call at each :class:`Point`.
        check_owner: Check to await directly before each request that fences.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        settings: FoldSettings,
        partition: int,
        at_crash_point: AtCrashPoint = no_op,
        check_owner: OwnerCheck = _no_owner_check,
    ) -> None:
        self._check_owner = check_owner
        place = (settings.app, settings.source, partition)
        super().__init__(connection, settings, partition, transactional_id(*place), at_crash_point)
        self._earlier_id = earlier_transactional_id(*place)
        self._source = TopicPartition(settings.source, partition)

    def _new_producer(self, transactional_id: str | None) -> AIOKafkaProducer:
        """Return a producer that checks its ownership of the partition before it fences."""
        producer = super()._new_producer(transactional_id)
        sender = producer._sender  # noqa: SLF001  # no public hook between connecting and fencing
        fence = sender._do_init_pid  # noqa: SLF001  # see above

        async def check_and_fence(node: Any) -> Any:
            self._at_crash_point(Point.CONNECTED)
            await self._check_owner()
            return await fence(node)

        sender._do_init_pid = check_and_fence  # noqa: SLF001  # see above
        return producer

    async def start(self) -> None:
        """Fence the previous owner, and write an abort marker into both outputs.

        A process that was frozen may have lost the partition without knowing it, so the owner
        check asks the group directly before each request that fences.  A process can also freeze
        between the group's answer and that request, and then fence a healthy owner.  Kafka refuses
        the next publish of that owner, which exits and fences the first process when it restarts.
        Until then Kafka commits only transactions of the first process, which decides the owner's
        transactions before it reads the group offset, and publishes from that offset on.  So no
        output is lost or repeated, and the cost is one restart.

        A coordinator that restarts can report a transaction of the previous owner as aborted
        without having written its markers (seen with Kafka 4.3, if the transaction timed out while
        the broker was down).  The first transaction of this producer would then commit the records
        of that transaction, too.
        """
        await self._fence_earlier_version()
        await super().start()
        with self._translate_errors("aborting an open transaction of the previous owner"):
            await self._abort_open_transaction(self._producer)

    async def _fence_earlier_version(self) -> None:
        """Fence an owner that runs the previous version, which used another transactional id.

        All workers have the same user.  If that user has no right to the earlier id, no owner with
        that id exists.
        """
        producer = self._new_producer(self._earlier_id)
        try:
            with self._translate_errors("fencing an owner of the previous version", producer):
                await self._start(producer)
                self._at_crash_point(Point.EARLIER_FENCED)
                await self._abort_open_transaction(producer)
        except ConfigError as error:
            if not isinstance(error.__cause__, TransactionalIdAuthorizationFailed):
                raise
        finally:
            await stop_producer(producer, self._settings.revoke_timeout_s)

    async def _abort_open_transaction(self, producer: AIOKafkaProducer) -> None:
        async with asyncio.timeout(self._settings.kafka_timeout_s):
            await producer.begin_transaction()
            self._at_crash_point(Point.CLOSING)
            for topic in (self._predictions, self._dead_letters):
                output = TopicPartition(topic, self._partition)
                # No public method adds a partition to a transaction without sending a record.
                producer._txn_manager.maybe_add_partition_to_txn(output)  # noqa: SLF001
            await producer.abort_transaction()

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish outputs and group offset in one transaction."""
        producer = self._producer
        offset = OffsetAndMetadata(group_offset.offset, group_offset.metadata)
        deadline_s = self._settings.transaction_timeout_ms / 1000, self._settings.kafka_timeout_s
        with self._translate_errors("publishing", slow_s=min(deadline_s)):
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
    """The publisher of ``at_least_once``, which commits the group offset after the outputs.

    Args:
        connection: Options of every Kafka client.
        settings: Topics, bounds and deadlines.
        partition: Number of the source partition.
        commit_group_offset: Function that commits the group offset of a partition if the
            assignment is still the current one.
        at_crash_point: Function to call at each :class:`Point`.
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
        """Publish the outputs, await their acknowledgements, then commit the group offset."""
        timeout_s = self._settings.kafka_timeout_s
        with self._translate_errors("publishing", slow_s=timeout_s):
            async with asyncio.timeout(timeout_s):
                self._at_crash_point(Point.BEGUN)
                await self._send(predictions, dead_letters)
        # A commit that takes too long may still be written later, so only a restart ends it.
        with self._translate_errors("committing the group offset"):
            async with asyncio.timeout(timeout_s):
                await self._commit_group_offset(self._partition, group_offset)
                self._at_crash_point(Point.OFFSET_SENT)
