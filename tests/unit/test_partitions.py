"""The partitions of an assignment: release, abandonment, and errors."""

import asyncio

import pytest

from stream_rnn.errors import FencedError, UnavailableError
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryPublisher, MemoryStore, memory_processor, record
from stream_rnn.worker.partition_source import PartitionSource
from stream_rnn.worker.partitions import Partitions
from stream_rnn.worker.transport import ConsumerPosition, PartitionFetch
from tests import models

MODEL = models.small()
SETTINGS = Settings.build(app="app", source="events", predictions="out", idle_check_s=30)
REVOKE_S = 0.1


class Seeker:
    """A consumer that counts its seeks."""

    def __init__(self):
        self.seeks = []

    async def seek(self, position):
        self.seeks.append(position)
        return len(self.seeks)

    async def consumer_position(self):
        return ConsumerPosition(None, None, len(self.seeks))


class StoredPosition(MemoryPublisher):
    """A publisher that waits for a sign before it publishes what has a prediction."""

    __slots__ = ("asked", "closed", "error", "go")

    def ready(self, error=None):
        """Make the signs."""
        self.asked, self.go, self.closed, self.error = (
            asyncio.Event(),
            asyncio.Event(),
            False,
            error,
        )
        return self

    async def publish(self, predictions, dead_letters, group_offset):
        if predictions:
            self.asked.set()
            await self.go.wait()
            if self.error is not None:
                raise self.error
        await super().publish(predictions, dead_letters, group_offset)

    async def close(self):
        self.closed = True


class Worker:
    """Real partitions over logs, stores and publishers in memory."""

    def __init__(self, error=None, stores=None):
        self.failures = []
        self.logs = [MemoryLog([record(i, b"k", {"x": i}, i) for i in range(3)]) for _ in range(2)]
        self.stores = stores or [MemoryStore(), MemoryStore()]
        self.publishers = [StoredPosition(log).ready(error) for log in self.logs]
        self.generations = []
        self.partitions = Partitions(self.make, self.failures.append, REVOKE_S)

    def make(self, partition, generation):
        """Make a processor and its source."""
        self.generations.append((partition, generation))
        source = PartitionSource(Seeker(), 100)
        log, store = self.logs[partition], self.stores[partition]
        processor = memory_processor(
            MODEL, log, store, SETTINGS, partition=partition, publisher=self.publishers[partition]
        )
        processor.source = source
        return processor, source

    async def assign(self, *partitions):
        """Assign and position."""
        self.partitions.assign(frozenset(partitions), 7)
        await self.partitions.positioned(1)

    async def publishing(self, partition=0):
        """Return when a partition has all its records in hand and waits in its publish."""
        owned = self.partitions.get(partition)
        epoch = len(owned.source._seeker.seeks)
        await owned.source.offer(PartitionFetch(partition, self.logs[partition].records, epoch))
        async with asyncio.timeout(1):
            await self.publishers[partition].asked.wait()
        return owned


async def test_an_assignment_positions_every_partition():
    """The group offset is written, and the consumer is put back after Faust has moved it."""
    worker = Worker()
    await worker.assign(0, 1)
    assert worker.generations == [(0, 7), (1, 7)]
    for owned in worker.partitions:
        assert owned.source.positioned.is_set()
        assert owned.source._seeker.seeks == [0, 0]
    assert worker.logs[1].group.offset == 0
    await worker.partitions.release_all()


async def test_a_partition_without_a_position_in_time_is_named():
    """A store that hangs ends the wait at its deadline; the other partition is not blamed."""

    class Hanging(MemoryStore):
        async def read(self):
            await asyncio.Event().wait()

    worker = Worker(stores=[MemoryStore(), Hanging()])
    worker.partitions.assign(frozenset({0, 1}), 7)
    with pytest.raises(FencedError, match=r"no position for events\[1\] within 0.1 s"):
        await worker.partitions.positioned(0.1)
    await worker.partitions.release_all()


async def test_a_release_finishes_the_batch_in_hand():
    """What was being published is published and committed before the release returns."""
    worker = Worker()
    await worker.assign(0)
    owned = await worker.publishing()
    releasing = asyncio.create_task(worker.partitions.release(frozenset({0})))
    await asyncio.sleep(0)
    assert not releasing.done()
    worker.publishers[0].go.set()
    await releasing
    assert (len(worker.logs[0].predictions), worker.stores[0].stored.position) == (3, 3)
    assert (owned.task.done(), owned.task.cancelled()) == (True, False)
    assert worker.publishers[0].closed
    assert worker.partitions.get(0) is None
    assert worker.failures == []


async def test_a_batch_in_hand_is_abandoned_after_the_deadline():
    """A publish that hangs is cut off; nothing of it is published, and nobody fails."""
    worker = Worker()
    await worker.assign(0)
    owned = await worker.publishing()
    async with asyncio.timeout(5 * REVOKE_S):
        await worker.partitions.release(frozenset({0}))
    assert owned.task.cancelled()
    assert (worker.logs[0].predictions, worker.stores[0].stored.position) == ([], 0)
    assert worker.logs[0].group == GroupOffset(0, owned.processor.fold_id, 0)
    assert worker.publishers[0].closed
    assert worker.failures == []


async def test_only_what_is_revoked_is_released():
    """The other partition goes on folding."""
    worker = Worker()
    await worker.assign(0, 1)
    await worker.partitions.release(frozenset({1, 5}))
    assert [owned.processor.partition for owned in worker.partitions] == [0]
    worker.publishers[0].go.set()
    await worker.publishing(0)
    await worker.partitions.release_all()
    assert worker.stores[0].stored.position == 3
    assert worker.stores[1].stored.position == 0


async def test_an_error_of_an_owned_partition_brings_the_worker_down():
    """The error itself is handed on."""
    error = FencedError("somebody else")
    worker = Worker(error)
    await worker.assign(0)
    owned = await worker.publishing()
    worker.publishers[0].go.set()
    await asyncio.wait({owned.task}, timeout=1)
    await asyncio.sleep(0)
    assert worker.failures == [error]
    await worker.partitions.release_all()


async def test_an_error_while_positioning_does_not_wait_for_the_deadline():
    """The worker gets the error at once, and the wait for positions ends."""

    class Gone(MemoryStore):
        async def read(self):
            raise ValueError("a defect")

    worker = Worker(stores=[Gone(), MemoryStore()])
    worker.partitions.assign(frozenset({0, 1}), 7)
    async with asyncio.timeout(1):
        await worker.partitions.positioned(30)
    assert [str(error) for error in worker.failures] == ["a defect"]
    await worker.partitions.release_all()


@pytest.mark.parametrize("error", [FencedError("fenced"), UnavailableError("down"), ValueError()])
async def test_errors_of_a_released_partition_are_ignored(error):
    """Whoever owns it now decides; what a closed producer raises means nothing."""
    worker = Worker(error)
    await worker.assign(0)
    owned = await worker.publishing()
    releasing = asyncio.create_task(worker.partitions.release(frozenset({0})))
    await asyncio.sleep(0)
    worker.publishers[0].go.set()
    await releasing
    assert owned.task.exception() is error
    assert worker.failures == []


async def test_a_partition_that_comes_back_starts_again():
    """Each assignment has a processor and a source of its own."""
    worker = Worker()
    await worker.assign(0)
    first = worker.partitions.get(0)
    await worker.partitions.release_all()
    await worker.assign(0)
    second = worker.partitions.get(0)
    assert second.processor is not first.processor
    worker.publishers[0].go.set()
    await worker.publishing()
    await worker.partitions.release_all()
    assert worker.stores[0].stored.position == 3


async def test_a_cancellation_that_leaks_into_a_partition_brings_the_worker_down():
    """A client may let one through that nobody meant for the partition: nobody would fold it."""
    worker = Worker(asyncio.CancelledError())
    await worker.assign(0)
    owned = await worker.publishing()
    worker.publishers[0].go.set()
    await asyncio.wait({owned.task}, timeout=1)
    await asyncio.sleep(0)
    (failure,) = worker.failures
    assert isinstance(failure, FencedError)
    assert str(failure).startswith("fold events[0] was cancelled unexpectedly")
    await worker.partitions.release_all()


async def test_a_partition_that_ends_by_itself_brings_the_worker_down():
    """Its source has no end but the release."""
    worker = Worker()
    await worker.assign(0)
    owned = worker.partitions.get(0)
    owned.source.end()
    await asyncio.wait({owned.task}, timeout=1)
    await asyncio.sleep(0)
    (failure,) = worker.failures
    assert str(failure).startswith("fold events[0] ended unexpectedly")
    await worker.partitions.release_all()
