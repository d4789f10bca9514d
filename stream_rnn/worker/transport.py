"""Faust's consumer, with changes to batches, positions and offsets.

*Batches.*  For the source of a fold, the consumer delivers each fetch of a partition as one message
whose value is a :class:`PartitionFetch`, so that Faust's cost per message occurs once per fetch.

*Positions.*  Faust seeks to the group offset in ``perform_seek`` and nowhere else, so the fold seeks
to its own position there.  Flow is stopped from the assignment until then.

*Offsets.*  The group offset of a fold's source is committed with its predictions and not by Faust's
timer.  The consumer reads with ``read_committed``.

Every fetch carries the *epoch* of its partition: the number of seeks before it, by the fold or by
Faust.  Seek and fetch both run in the consumer's thread, so the epoch shows whether a fetch is
older than a seek.  While Faust seeks in one partition after another, the epoch is ``UNSETTLED``.
"""

import asyncio
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import aiokafka
from aiokafka.consumer.fetcher import FetchError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.app.base import App
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from stream_rnn.errors import ConfigError, FencedError, UnreadableError
from stream_rnn.fold.decoder import Record
from stream_rnn.kafka.record_batches import read_every_batch, seek_to_error
from stream_rnn.worker.app_connection import connect_consumer
from stream_rnn.worker.generation import check_generation

UNREADABLE_RETRY_S = 0.5
UNSETTLED = -2
"""Epoch of a fetch while Faust seeks; it differs from the epoch of every partition."""


@dataclass(slots=True)
class PartitionFetch:
    """The records of one partition in one fetch.

    Attributes:
        partition: Number of the source partition.
        records: Records in offset order; empty if ``unreadable`` is set.
        epoch: Number of seeks in the partition before this fetch, or ``UNSETTLED``.
        unreadable: Error because of which the consumer cannot read beyond the previous fetch.
    """

    partition: int
    records: Sequence[Record]
    epoch: int
    unreadable: UnreadableError | None = None


@dataclass(frozen=True, slots=True)
class ConsumerPosition:
    """The position of the consumer in a partition, read in its own thread.

    Attributes:
        position: Next offset to fetch; ``None`` while unknown.
        delivered: Offset after the last record delivered since the last seek, if any.
        epoch: Number of seeks so far, or ``UNSETTLED``.
    """

    position: int | None
    delivered: int | None
    epoch: int


class RebalanceListener(Protocol):
    """The fold of a topic, which follows the rebalances of its group on Faust's event loop."""

    def assign(self, partitions: frozenset[int], generation: int) -> None:
        """Start these partitions; called while flow is stopped, and must not block."""

    async def position(self) -> None:
        """Wait until every assigned partition has sought its position; flow is stopped."""

    async def release(self, partitions: frozenset[int]) -> None:
        """Release these partitions within a deadline; no task of theirs runs afterwards."""


class FoldThread(driver.AIOKafkaConsumerThread):
    """The thread that runs aiokafka's consumer."""

    mundane_level = "debug"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epochs: dict[TP, int] = {}
        self._seeks_of_faust = 0  # in progress
        self._delivered: dict[TP, int] = {}

    async def on_start(self) -> None:
        """Start aiokafka's consumer, which also reads batches that its C parser refuses."""
        await super().on_start()
        read_every_batch(self._ensure_consumer())

    async def on_thread_stop(self) -> None:
        """Stop aiokafka's consumer.

        While a broker is away, its fetcher can raise a ``CancelledError`` of its own, which would
        kill the thread, and the process would wait a minute for it.
        """
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    def _stopped_set(self) -> None:
        with suppress(RuntimeError):  # a thread that has crashed has closed its loop already
            super()._stopped_set()

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        return connect_consumer(consumer, self.app)

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  # the driver's signature
        max_records: int | None = None,
    ) -> Any:
        folds = cast("FoldConsumer", self.consumer).folds
        _deliver_parsed_records(consumer, folds)
        try:
            records = await super()._fetch_records(
                consumer, active_partitions, timeout, max_records
            )
        except UnreadableError as error:
            if error.topic not in folds:
                raise
            seek_to_error(consumer, error)
            # The fold receives the error in order, after it has published all earlier records.
            tp = TP(error.topic, error.partition)
            failed_fetch = PartitionFetch(tp.partition, (), self._epoch(tp), error)
            await asyncio.sleep(UNREADABLE_RETRY_S)  # the fetch is repeated until the worker ends
            return {tp: [failed_fetch]}
        return {
            tp: self._as_one_message(tp, fetched) if tp.topic in folds else fetched
            for tp, fetched in records.items()
        }

    def _as_one_message(self, tp: TP, records: Sequence[Record]) -> list[PartitionFetch]:
        self._delivered[tp] = records[-1].offset + 1
        return [PartitionFetch(tp.partition, records, self._epoch(tp))]

    def _epoch(self, tp: TP) -> int:
        return UNSETTLED if self._seeks_of_faust else self._epochs.get(tp, 0)

    async def seek_fold(self, tp: TP, position: int) -> int:
        """Seek in the consumer's thread; return the partition's new epoch."""
        return cast("int", await self.call_thread(self._seek_fold, tp, position))

    async def _seek_fold(self, tp: TP, position: int) -> int:
        self._ensure_consumer().seek(TopicPartition(tp.topic, tp.partition), position)
        self._epochs[tp] = self._epochs.get(tp, 0) + 1
        self._delivered.pop(tp, None)
        return self._epochs[tp]

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the group offsets as Faust does; every fold must then seek again."""
        offsets = await self.call_thread(self._seek_all_to_committed)
        return cast("Mapping[TP, int]", offsets)

    async def _seek_all_to_committed(self) -> Mapping[TP, int]:
        # This seeks in one partition, then awaits the offset of the next one, so that a fetch in
        # between may be older or newer than the seek.  It continues if its caller is cancelled.
        self._seeks_of_faust += 1
        try:
            offsets = await self._ensure_consumer().seek_to_committed()
        finally:
            # Without new epochs, an idle fold would skip to the group offset as over a gap.
            self._seeks_of_faust -= 1
            for tp in self._epochs:
                self._epochs[tp] += 1
        return cast("Mapping[TP, int]", offsets)

    def group_error(self) -> BaseException | None:
        """Return the error for which this process no longer tries to join its group, if any.

        aiokafka raises it at the next fetch, but a worker without partitions never fetches.
        """
        coordinator = getattr(self._consumer, "_coordinator", None)
        pending: BaseException | None = getattr(coordinator, "_pending_exception", None)
        task = getattr(coordinator, "_coordination_task", None)
        if pending is not None or task is None or not task.done() or task.cancelled():
            return pending
        return cast("BaseException | None", task.exception())

    async def consumer_position(self, tp: TP) -> ConsumerPosition:
        """Read the position in a partition, in the consumer's thread."""
        return cast("ConsumerPosition", await self.call_thread(self._consumer_position, tp))

    async def _consumer_position(self, tp: TP) -> ConsumerPosition:
        consumer = self._ensure_consumer()
        key, position = TopicPartition(tp.topic, tp.partition), None
        # With an error that was not raised yet, the position may be beyond the unreadable offset.
        failed = isinstance(consumer._fetcher._records.get(key), FetchError)  # noqa: SLF001  # no public way
        if key in consumer.assignment() and not failed:
            state = consumer._subscription.subscription.assignment.state_value(key)  # noqa: SLF001  # the public position() waits
            position = state.position if state.has_valid_position else None
        return ConsumerPosition(position, self._delivered.get(tp), self._epoch(tp))

    async def check_generation(self, tp: TP, generation: int, timeout_s: float) -> None:
        """Check with the group coordinator, in the consumer's thread, that a generation is valid.

        Raises:
            FencedError: The group has a newer generation, or this process is not a member of it.
        """
        await self.call_thread(self._check_generation, tp, generation, timeout_s)

    async def _check_generation(self, tp: TP, generation: int, timeout_s: float) -> None:
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  # no public way
        place = f"{tp.topic}[{tp.partition}]"
        await check_generation(coordinator, place, generation, timeout_s)

    async def commit_fold(self, tp: TP, offset: OffsetAndMetadata, generation: int) -> None:
        """Commit a group offset if the group still has the generation of the assignment.

        Raises:
            FencedError: The group has a newer generation.
        """
        await self.call_thread(self._commit_fold, tp, offset, generation)

    async def _commit_fold(self, tp: TP, offset: OffsetAndMetadata, generation: int) -> None:
        consumer = self._ensure_consumer()
        coordinator, subscription = consumer._coordinator, consumer._subscription.subscription  # noqa: SLF001  # the public commit awaits before it reads the generation
        await coordinator.ensure_coordinator_known()
        # No await from here to the request, in which aiokafka sends its current generation.
        if coordinator.generation != generation or subscription is None:
            raise FencedError(
                f"{tp.topic}[{tp.partition}]: generation {generation} of the group is over, "
                f"it has {coordinator.generation} now"
            )
        offsets = {TopicPartition(tp.topic, tp.partition): offset}
        await coordinator._do_commit_offsets(subscription.assignment, offsets)  # noqa: SLF001  # see above


def _deliver_parsed_records(consumer: aiokafka.AIOKafkaConsumer, topics: Container[str]) -> None:
    """Deliver the records of some topics as the C parser of aiokafka returns them.

    aiokafka's ``ConsumerRecord`` of each parsed record, made in Python, costs more than the parsing.
    """
    for tp, fetched in consumer._fetcher._records.items():  # noqa: SLF001  # no public way
        unpacked = getattr(fetched, "_partition_records", None)  # an error has none
        if unpacked is not None and tp.topic in topics:
            unpacked._consumer_record = _parsed_record  # noqa: SLF001  # called for each record


def _parsed_record(_tp: TP, record: Record) -> Record:
    return record


class _ReadOffsets(dict[TP, int | None]):
    """Faust's read offsets, below which it drops messages; a topic of a fold has none."""

    def __init__(self, folds: Mapping[str, RebalanceListener]) -> None:
        super().__init__()
        self._folds = folds

    def __getitem__(self, tp: TP) -> int | None:
        return None if tp.topic in self._folds else self.get(tp)


class FoldConsumer(driver.Consumer):
    """Faust's consumer for an app with folds."""

    mundane_level = "debug"
    folds: ClassVar[dict[str, RebalanceListener]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _ReadOffsets(self.folds)

    def _new_consumer_thread(self) -> FoldThread:
        return FoldThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def fold_thread(self) -> FoldThread:
        """The thread of the consumer."""
        return cast("FoldThread", self._thread)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, PartitionFetch):
            return super()._to_message(tp, record)
        if record.unreadable is not None:
            offset, timestamp = record.unreadable.offset, 0
        else:
            offset, timestamp = record.records[-1].offset, record.records[-1].timestamp
        return ConsumerMessage(
            tp.topic, tp.partition, offset, timestamp / 1000, 0, [], None,
            cast("Any", record), None, tp=tp, generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Stop flow and start the partitions of the folds, before Faust handles the assignment."""
        self.stop_flow()
        self.app.flow_control.suspend()
        for topic, fold in self.folds.items():
            fold.assign(_partitions(assigned, topic), generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Release the partitions of the folds, before Faust handles the revocation."""
        self.stop_flow()
        await asyncio.gather(
            *(fold.release(_partitions(revoked, topic)) for topic, fold in self.folds.items())
        )
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Seek to the group offsets as Faust does, then to the positions of the folds."""
        if self.flow_active:
            self.stop_flow()
            self.app.flow_control.suspend()
        await super().perform_seek()
        for fold in self.folds.values():
            await fold.position()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        offsets = {tp: offset for tp, offset in offsets.items() if tp.topic not in self.folds}
        return await super()._commit(offsets) if offsets else True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Check topics without a fold; a fold has a watchdog, and commits without Faust's timer."""
        if tp.topic not in self.folds:
            super().verify_event_path(now, tp)


def install(app: App, topic: str, fold: RebalanceListener) -> None:
    """Make the consumer of an app deliver a topic to a fold; call this before Faust creates it.

    Raises:
        ConfigError: The topic already has a fold in this app.
    """
    transport: Any = app.transport
    if not issubclass(transport.Consumer, FoldConsumer):
        transport.Consumer = type(
            "FoldConsumer", (FoldConsumer,), {"folds": {}, "__module__": __name__}
        )
    if topic in transport.Consumer.folds:
        raise ConfigError(f"topic {topic} has a fold already; give this one a faust.App of its own")
    transport.Consumer.folds[topic] = fold


def _partitions(tps: set[TP], topic: str) -> frozenset[int]:
    return frozenset(tp.partition for tp in tps if tp.topic == topic)
