"""Faust's consumer, taught three things: batches, positions, and whose offsets are whose.

*Batches.*  For the topic of a fold the fetch of a partition is delivered as one message whose
value is a :class:`Fetched`, so Faust's cost per message is paid per fetch.

*Positions.*  Faust seeks to the group offset in ``perform_seek`` and nowhere else; so that is
where the fold's own position takes over.  Flow is stopped from the assignment until then, or an
idle worker would be handed records before it knows where to start.

*Offsets.*  The group offset of a fold's topic moves with its predictions and not by Faust's
timer, and its records are read ``read_committed``.

Every fetch carries the *epoch* of its partition, the number of seeks before it, whoever sought.
Seek and fetch both happen in the consumer's thread, so a fetch of before a seek can be told from
one after it.  While Faust seeks in one partition after the other there is none (``UNSETTLED``).
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
from stream_rnn.kafka.clients import disable_topic_creation
from stream_rnn.kafka.record_batches import read_every_batch, seek_to_error
from stream_rnn.worker.generation import check_generation

UNREADABLE_AGAIN_S = 0.5
UNSETTLED = -2
"""The epoch of what is fetched while a seek of Faust's is on its way; no partition ever has it."""


@dataclass(slots=True)
class Fetched:
    """The records of one partition and fetch.

    Attributes:
        partition: number of the source partition.
        records: in offset order, at least one; none with ``unreadable``.
        epoch: seeks of the partition before this fetch, or ``UNSETTLED``.
        unreadable: why nothing can be read where the last fetch ended.
    """

    partition: int
    records: Sequence[Record]
    epoch: int
    unreadable: UnreadableError | None = None


@dataclass(frozen=True, slots=True)
class ConsumerPosition:
    """Where the consumer stands in a partition, seen from its own thread.

    Attributes:
        position: the next offset it would fetch; ``None`` while unknown.
        delivered: the offset after the last record it delivered since the last seek.
        epoch: seeks so far, or ``UNSETTLED``.
    """

    position: int | None
    delivered: int | None
    epoch: int


class Assignee(Protocol):
    """The fold that a topic belongs to; called on Faust's loop."""

    def assign(self, partitions: frozenset[int], generation: int) -> None:
        """Begin with these partitions; flow is stopped and nothing is awaited."""

    async def position(self) -> None:
        """Return when every assigned partition has sought its position; flow is stopped."""

    async def release(self, partitions: frozenset[int]) -> None:
        """End with these partitions within a deadline; nothing of theirs runs afterwards."""


class FoldThread(driver.AIOKafkaConsumerThread):
    """The thread that runs aiokafka's consumer."""

    mundane_level = "debug"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epochs: dict[TP, int] = {}
        self._seeks_of_faust = 0  # that are on their way
        self._delivered: dict[TP, int] = {}

    async def on_start(self) -> None:
        """Start aiokafka's consumer; it reads every batch that can be read."""
        await super().on_start()
        read_every_batch(self._ensure_consumer())

    async def on_thread_stop(self) -> None:
        """Stop aiokafka's consumer.

        Where a broker is away its fetcher can end by a ``CancelledError`` of its own; let through,
        that kills the thread, and the process waits a minute for it.
        """
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust offers this only together with its own transactions, which are not used.
        consumer._isolation_level = "read_committed"  # noqa: SLF001  # no public way
        return disable_topic_creation(consumer)

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  # the driver's signature
        max_records: int | None = None,
    ) -> Any:
        folds = cast("FoldConsumer", self.consumer).folds
        _keep_bare(consumer, folds)
        try:
            records = await super()._fetch_records(
                consumer, active_partitions, timeout, max_records
            )
        except UnreadableError as error:
            if error.topic not in folds:
                raise
            seek_to_error(consumer, error)
            # To the fold it comes in its order: what is before it is folded and published.
            tp = TP(error.topic, error.partition)
            unread = Fetched(tp.partition, (), self._epoch(tp), error)
            await asyncio.sleep(UNREADABLE_AGAIN_S)  # it is fetched again until the worker ends
            return {tp: [unread]}
        return {
            tp: self._as_one(tp, some) if tp.topic in folds else some
            for tp, some in records.items()
        }

    def _as_one(self, tp: TP, records: Sequence[Record]) -> list[Fetched]:
        self._delivered[tp] = records[-1].offset + 1
        return [Fetched(tp.partition, records, self._epoch(tp))]

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
        """Seek to the group offsets, as Faust does; a fold's place is not its own any more."""
        found = await self.call_thread(self._seek_all_to_committed)
        return cast("Mapping[TP, int]", found)

    async def _seek_all_to_committed(self) -> Mapping[TP, int]:
        # It seeks in one partition and then awaits the offset of the next one; what is fetched
        # meanwhile may be from before or after.  It goes on here if who asked is cancelled.
        self._seeks_of_faust += 1
        try:
            found = await self._ensure_consumer().seek_to_committed()
        finally:
            # Else an idle fold would take the way to the group offset for a hole of the log.
            self._seeks_of_faust -= 1
            for tp in self._epochs:
                self._epochs[tp] += 1
        return cast("Mapping[TP, int]", found)

    def group_error(self) -> BaseException | None:
        """Return why this process has stopped trying to be a member of its group, if it has.

        aiokafka waits until a fetch raises it; but who owns nothing fetches nothing.
        """
        coordinator = getattr(self._consumer, "_coordinator", None)
        pending: BaseException | None = getattr(coordinator, "_pending_exception", None)
        task = getattr(coordinator, "_coordination_task", None)
        if pending is not None or task is None or not task.done() or task.cancelled():
            return pending
        return cast("BaseException | None", task.exception())

    async def whereabouts(self, tp: TP) -> ConsumerPosition:
        """Look, in the consumer's thread, where it stands in a partition."""
        return cast("ConsumerPosition", await self.call_thread(self._whereabouts, tp))

    async def _whereabouts(self, tp: TP) -> ConsumerPosition:
        consumer = self._ensure_consumer()
        key, position = TopicPartition(tp.topic, tp.partition), None
        # Of an error that is not taken yet the position may be beyond what it is about.
        failed = isinstance(consumer._fetcher._records.get(key), FetchError)  # noqa: SLF001  # no public way
        if key in consumer.assignment() and not failed:
            state = consumer._subscription.subscription.assignment.state_value(key)  # noqa: SLF001  # position() waits, this must not
            position = state.position if state.has_valid_position else None
        return ConsumerPosition(position, self._delivered.get(tp), self._epoch(tp))

    async def check_generation(self, tp: TP, generation: int, timeout_s: float) -> None:
        """Ask the coordinator of the group, in the consumer's thread, if a generation still counts.

        Raises:
            FencedError: it does not.
        """
        await self.call_thread(self._check_generation, tp, generation, timeout_s)

    async def _check_generation(self, tp: TP, generation: int, timeout_s: float) -> None:
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  # no public way
        place = f"{tp.topic}[{tp.partition}]"
        await check_generation(coordinator, place, generation, timeout_s)

    async def commit_fold(self, tp: TP, offset: OffsetAndMetadata, generation: int) -> None:
        """Commit a group offset if the assignment is still the one of that generation.

        Raises:
            FencedError: the group has a newer generation.
        """
        await self.call_thread(self._commit_fold, tp, offset, generation)

    async def _commit_fold(self, tp: TP, offset: OffsetAndMetadata, generation: int) -> None:
        consumer = self._ensure_consumer()
        coordinator, subscription = consumer._coordinator, consumer._subscription.subscription  # noqa: SLF001  # the public commit awaits before it reads the generation
        await coordinator.ensure_coordinator_known()
        # From here to the request nothing is awaited: aiokafka stamps the process's generation.
        if coordinator.generation != generation or subscription is None:
            raise FencedError(
                f"{tp.topic}[{tp.partition}]: generation {generation} of the group is over, "
                f"it has {coordinator.generation} now"
            )
        offsets = {TopicPartition(tp.topic, tp.partition): offset}
        await coordinator._do_commit_offsets(subscription.assignment, offsets)  # noqa: SLF001  # see above


def _keep_bare(consumer: aiokafka.AIOKafkaConsumer, topics: Container[str]) -> None:
    """Let what was fetched of some topics be delivered as it was parsed.

    aiokafka parses in C and then makes a ``ConsumerRecord`` of each record in Python, which costs
    more than the parsing.  A fold needs no more than the parsed record has.
    """
    for tp, fetched in consumer._fetcher._records.items():  # noqa: SLF001  # no public way
        unpacked = getattr(fetched, "_partition_records", None)  # an error has none
        if unpacked is not None and tp.topic in topics:
            unpacked._consumer_record = _bare  # noqa: SLF001  # asked for each record


def _bare(_tp: TP, record: Record) -> Record:
    return record


class _ReadOffsets(dict[TP, int | None]):
    """Faust's read offsets, which drop messages that seem old; a fold decides that itself."""

    def __init__(self, folds: Mapping[str, Assignee]) -> None:
        super().__init__()
        self._folds = folds

    def __getitem__(self, tp: TP) -> int | None:
        return None if tp.topic in self._folds else self.get(tp)


class FoldConsumer(driver.Consumer):
    """Faust's consumer for an app with folds."""

    mundane_level = "debug"
    folds: ClassVar[dict[str, Assignee]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _ReadOffsets(self.folds)

    def _new_consumer_thread(self) -> FoldThread:
        return FoldThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def fold_thread(self) -> FoldThread:
        """The thread, with what a fold asks of it."""
        return cast("FoldThread", self._thread)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Fetched):
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
        """Stop flow until every partition of a fold is positioned, then let Faust go on."""
        self.stop_flow()
        self.app.flow_control.suspend()
        for topic, fold in self.folds.items():
            fold.assign(_partitions(assigned, topic), generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Release the folds' partitions first: nothing of theirs may run after this returns."""
        self.stop_flow()
        await asyncio.gather(
            *(fold.release(_partitions(revoked, topic)) for topic, fold in self.folds.items())
        )
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Seek to the group offsets as Faust does, and the folds to their own positions."""
        if self.flow_active:
            self.stop_flow()
            self.app.flow_control.suspend()
        await super().perform_seek()
        for fold in self.folds.values():
            await fold.position()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        others = {tp: offset for tp, offset in offsets.items() if tp.topic not in self.folds}
        return await super()._commit(others) if others else True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave the folds to their own watchdog: they never commit by Faust's timer."""
        if tp.topic not in self.folds:
            super().verify_event_path(now, tp)


def install(app: App, topic: str, fold: Assignee) -> None:
    """Make an app deliver a topic's records to a fold; before the app's consumer exists.

    Raises:
        ConfigError: the topic has a fold in this app already.
    """
    transport: Any = app.transport
    if not issubclass(transport.Consumer, FoldConsumer):
        transport.Consumer = type(
            "FoldConsumer", (FoldConsumer,), {"folds": {}, "__module__": __name__}
        )
    if topic in transport.Consumer.folds:
        raise ConfigError(f"topic {topic} has a fold in this app; another one needs its own app")
    transport.Consumer.folds[topic] = fold


def _partitions(tps: set[TP], topic: str) -> frozenset[int]:
    return frozenset(tp.partition for tp in tps if tp.topic == topic)
