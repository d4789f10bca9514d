"""A partition's source: stale fetches, back-pressure, and holes."""

import asyncio

import pytest

from stream_rnn.errors import UnreadableError
from stream_rnn.testing import record
from stream_rnn.worker.partition_source import PartitionSource
from stream_rnn.worker.transport import UNSETTLED, ConsumerPosition, PartitionFetch

WAIT_S = 0.02


class Seeker:
    """A consumer that counts its seeks, and has the position that the test sets."""

    def __init__(self):
        self.seeks = []
        self.position = None
        self.delivered = None

    async def seek(self, position):
        self.seeks.append(position)
        return len(self.seeks)

    async def consumer_position(self):
        return ConsumerPosition(self.position, self.delivered, len(self.seeks))


def fetched(*offsets, epoch=1):
    """Make a fetch of these offsets."""
    return PartitionFetch(0, [record(offset, b"k", {}) for offset in offsets], epoch)


async def source_at(position=0, pending_max=100):
    """Make a source that stands at a position."""
    source = PartitionSource(Seeker(), pending_max)
    await source.seek(position)
    return source


def offsets(fetch):
    """Return the offsets of a fetch, and its next position."""
    return [r.offset for r in fetch.records], fetch.next_position


async def test_what_arrived_is_taken_together():
    """Fetches that follow each other are one; nothing is pending afterwards."""
    source = await source_at()
    await source.offer(fetched(0, 1))
    await source.offer(fetched(2))
    assert source.pending_records == 3
    assert offsets(await source.take(WAIT_S)) == ([0, 1, 2], 3)
    assert (source.pending_records, source.is_busy) == (0, True)


async def test_a_hole_between_two_fetches_parts_them():
    """The processor looks at the first offset of each, so a hole is never inside."""
    source = await source_at()
    await source.offer(fetched(0, 1))
    await source.offer(fetched(5))
    assert offsets(await source.take(WAIT_S)) == ([0, 1], 2)
    assert offsets(await source.take(WAIT_S)) == ([5], 6)


async def test_records_of_another_epoch_are_dropped():
    """What was fetched before the last seek, or belongs to a later one, is not delivered."""
    source = await source_at()
    await source.seek(10)
    for epoch in (0, 1, 3):
        await source.offer(fetched(0, 1, epoch=epoch))
    assert source.pending_records == 0
    await source.offer(fetched(10, epoch=2))
    assert offsets(await source.take(WAIT_S)) == ([10], 11)


async def test_a_seek_drops_what_is_pending():
    """Nothing fetched before a seek is delivered after it."""
    source = await source_at()
    await source.offer(fetched(0, 1))
    await source.seek(1)
    assert source.pending_records == 0
    await source.offer(fetched(1, 2, epoch=2))
    assert offsets(await source.take(WAIT_S)) == ([1, 2], 3)


async def test_seeking_again_restores_the_place():
    """After records were taken, the place is the one after them."""
    source = await source_at(3)
    await source.seek_again()
    await source.offer(fetched(3, 4, epoch=2))
    await source.take(WAIT_S)
    await source.seek_again()
    assert source._seeker.seeks == [3, 3, 5]
    assert source.positioned.is_set()


async def test_what_arrives_while_a_seek_is_on_its_way_is_dropped():
    """A fetch from before the seek, delivered after it was asked for, is stale already."""
    source = await source_at()
    here = asyncio.Event()

    class Slow(Seeker):
        async def seek(self, position):  # noqa: ARG002  # the place does not matter
            here.set()
            await asyncio.sleep(WAIT_S)
            return 2

    source._seeker = Slow()
    seeking = asyncio.create_task(source.seek(7))
    await here.wait()
    await source.offer(fetched(7, epoch=1))
    await seeking
    assert source.pending_records == 0


async def test_an_offer_waits_while_too_much_is_pending():
    """It goes on when the processor has taken."""
    source = await source_at(pending_max=2)
    await source.offer(fetched(0, 1))
    offer = asyncio.create_task(source.offer(fetched(2)))
    done, _ = await asyncio.wait({offer}, timeout=WAIT_S)
    assert not done
    assert offsets(await source.take(WAIT_S)) == ([0, 1], 2)
    async with asyncio.timeout(1):
        await offer
    assert offsets(await source.take(WAIT_S)) == ([2], 3)


@pytest.mark.parametrize("release", ["end", "seek"])
async def test_an_offer_that_waits_is_released(release):
    """An end or a seek frees the queue; what was offered is dropped."""
    source = await source_at(pending_max=1)
    await source.offer(fetched(0))
    offer = asyncio.create_task(source.offer(fetched(1)))
    await asyncio.sleep(0)
    if release == "end":
        source.end()
    else:
        await source.seek(0)
    async with asyncio.timeout(1):
        await offer
    assert source.pending_records == 0


async def test_the_end_is_the_end():
    """Nothing is delivered after it, whatever is offered, and a waiting take returns."""
    source = await source_at()
    taking = asyncio.create_task(source.take(60))
    await asyncio.sleep(0)
    source.end()
    async with asyncio.timeout(1):
        assert await taking is None
    await source.offer(fetched(0))
    assert await source.take(WAIT_S) is None
    assert not source.is_busy


async def test_an_end_drops_what_is_pending():
    """The batch in hand is the last one."""
    source = await source_at()
    await source.offer(fetched(0))
    source.end()
    assert await source.take(WAIT_S) is None


@pytest.mark.parametrize(
    ("position", "delivered", "expected"),
    [
        (9, 2, 9),  # the consumer stepped over markers behind what was taken
        (9, None, 9),  # nothing was ever delivered: a hole from the start
        (9, 3, 2),  # a record is on its way through Faust's queue
        (None, 2, 2),  # the consumer does not know
        (1, 2, 2),  # never back
    ],
)
async def test_an_idle_source_reports_a_hole_only_if_all_was_taken(position, delivered, expected):
    """Otherwise it says where it stands, without records."""
    source = await source_at()
    await source.offer(fetched(0, 1))
    await source.take(WAIT_S)
    source._seeker.position, source._seeker.delivered = position, delivered
    assert offsets(await source.take(WAIT_S)) == ([], expected)


async def test_an_idle_source_that_finds_the_consumer_moved_seeks_again():
    """A seek of Faust's that failed or was cancelled is followed by none of ours: this is it."""
    source = await source_at()
    await source.offer(fetched(0, 1))
    await source.take(WAIT_S)
    source._seeker.seeks.append("by Faust")
    source._seeker.position = 9
    await source.offer(fetched(9, epoch=2))  # from where Faust has gone
    assert offsets(await source.take(WAIT_S)) == ([], 2)
    assert source._seeker.seeks == [0, "by Faust", 2]
    await source.offer(fetched(2, 3, epoch=3))
    assert offsets(await source.take(WAIT_S)) == ([2, 3], 4)


async def test_an_idle_source_waits_for_a_seek_that_is_on_its_way():
    """The epoch of nobody is that of a seek of Faust's, after which the source is sought again."""
    source = await source_at()

    async def consumer_position():
        return ConsumerPosition(9, None, UNSETTLED)

    source._seeker.consumer_position = consumer_position
    assert offsets(await source.take(WAIT_S)) == ([], 0)
    assert source._seeker.seeks == [0]
    await source.offer(fetched(9, epoch=UNSETTLED))
    assert source.pending_records == 0


async def test_records_that_arrive_while_it_asks_are_not_jumped_over():
    """A fetch that came during the question is delivered next."""
    source = await source_at()

    async def consumer_position():
        await source.offer(fetched(0, 1))
        return ConsumerPosition(2, None, 1)

    source._seeker.consumer_position = consumer_position
    assert offsets(await source.take(WAIT_S)) == ([], 0)
    assert offsets(await source.take(WAIT_S)) == ([0, 1], 2)


async def test_a_fetch_that_overtakes_the_answer_of_its_seek_is_kept():
    """A fetch of the new epoch may arrive before the seek's answer: dropping it would lose it."""
    source = await source_at()
    answer = asyncio.Event()
    seeker = source._seeker

    async def slow_seek(position):
        seeker.seeks.append(position)
        await answer.wait()
        return len(seeker.seeks)

    seeker.seek = slow_seek
    seeking = asyncio.create_task(source.seek(10))
    await asyncio.sleep(0)
    offering = asyncio.create_task(source.offer(fetched(10, epoch=2)))
    await asyncio.sleep(0)
    answer.set()
    await asyncio.gather(seeking, offering)
    assert offsets(await source.take(WAIT_S)) == ([10], 11)


async def test_what_cannot_be_read_is_raised_after_all_before_it_was_taken():
    """Once, however often it was fetched; a seek makes it stale, like any fetch."""
    source = await source_at()
    error = UnreadableError("events", 0, 2, "its checksum is wrong")
    await source.offer(fetched(0, 1))
    for _ in range(3):
        await source.offer(PartitionFetch(0, (), 1, error))
    assert offsets(await source.take(WAIT_S)) == ([0, 1], 2)
    with pytest.raises(UnreadableError, match=r"events\[0\]: offset 2 cannot be read"):
        await source.take(WAIT_S)
    await source.seek(1)
    await source.offer(PartitionFetch(0, (), 1, error))
    await source.offer(fetched(1, epoch=2))
    assert offsets(await source.take(WAIT_S)) == ([1], 2)
