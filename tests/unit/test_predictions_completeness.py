"""How far a worker has published is asked for beside the reading, one question at a time."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import UnavailableError
from stream_rnn.kafka.group_offsets import GroupOffset, committed_offsets
from stream_rnn.predictions import completeness
from stream_rnn.predictions.completeness import Completeness
from stream_rnn.predictions.progress import PartitionProgress, SourcePartition


class Answers:
    """Stands for an admin client: each question waits for the answer that a test gives."""

    def __init__(self):
        self.asked = []

    async def list_consumer_group_offsets(self, _group, partitions=None):
        """Answer an offset of ``events[0]``, or raise."""
        assert partitions is None
        self.asked.append(asyncio.get_running_loop().create_future())
        offset = await self.asked[-1]
        return {TopicPartition("events", 0): OffsetAndMetadata(offset, "v1 0123456789ab 0")}


async def settle():
    """Let other tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch):
    """Set the time."""
    now = [100.0]
    monkeypatch.setattr(completeness.time, "monotonic", lambda: now[0])
    return now


async def test_the_next_question_comes_a_second_after_the_end_of_the_last_one(clock):
    """An answer that took long is not old when it comes."""
    admin, known = Answers(), Completeness("app", 30)
    for _ in range(3):
        known.refresh_when_old(admin, None)
        await settle()
        clock[0] += 9
    assert len(admin.asked) == 1

    admin.asked[0].set_result(12)
    await settle()
    for waited_s, asked in ((0.9, 1), (0.2, 2)):
        clock[0] += waited_s
        known.refresh_when_old(admin, None)
        await settle()
        assert (known.offsets, len(admin.asked)) == ({0: 12}, asked)
    await known.close()
    assert admin.asked[1].cancelled()


async def test_without_an_answer_the_last_one_is_kept_and_it_is_asked_again(clock, caplog):
    """The log says why."""
    admin, known = Answers(), Completeness("app", 30)
    for answer in (12, OSError("cut"), 13):
        assert known.offsets in ({}, {0: 12})
        known.refresh_when_old(admin, None)
        await settle()
        future = admin.asked[-1]
        if isinstance(answer, OSError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        await settle()
        clock[0] += 2
    assert known.offsets == {0: 13}
    assert "is not known: cannot read the offsets of group app: OSError: cut" in caplog.text


async def test_an_answer_that_a_later_question_has_overtaken_is_dropped():
    """Else what is complete would go back."""
    admin, known = Answers(), Completeness("app", 30)
    known.refresh_when_old(admin, None)
    await settle()
    now = asyncio.create_task(known.refresh(admin, None))
    await settle()
    admin.asked[1].set_result(20)
    await now
    admin.asked[0].set_result(10)
    await settle()
    assert known.offsets == {0: 20}


async def test_what_no_error_of_kafka_is_comes_out_where_is_read():
    """A task that nobody awaits could hide it."""
    admin, known = Answers(), Completeness("app", 30)
    known.refresh_when_old(admin, None)
    await settle()
    admin.asked[0].set_exception(KeyError("bug"))
    await settle()
    with pytest.raises(KeyError, match="bug"):
        known.refresh_when_old(admin, None)


async def test_a_question_that_somebody_asked_himself_raises():
    """``refresh_complete`` has a caller who wants to know."""
    admin, known = Answers(), Completeness("app", 0.01)
    with pytest.raises(UnavailableError, match=r"no answer within 0\.01 s"):
        await known.refresh(admin, None)


async def test_a_group_of_readers_is_no_worker():
    """Readers commit metadata of their own, which begins as that of a fold."""

    class Admin:
        async def list_consumer_group_offsets(self, _group, **_partitions):
            progress = PartitionProgress(9, {SourcePartition("app", "events", 0): 4})
            return {
                TopicPartition("delays", 0): OffsetAndMetadata(9, progress.metadata()),
                TopicPartition("events", 0): OffsetAndMetadata(
                    5, GroupOffset(5, "0123456789ab", 0).metadata
                ),
            }

    known = Completeness("app", 30)
    await known.refresh(Admin(), None)
    assert known.offsets == {0: 5}


async def test_an_answer_without_a_partition_is_not_read_as_no_offset():
    """Not known is not none."""

    class Admin:
        async def list_consumer_group_offsets(self, _group, partitions=None):
            return {partitions[0]: OffsetAndMetadata(-1, "")}

    asked = [TopicPartition("events", number) for number in (0, 1)]
    assert await committed_offsets(Admin(), "app", asked[:1], 30) == {}
    with pytest.raises(UnavailableError, match=r"lacks .*partition=1"):
        await committed_offsets(Admin(), "app", asked, 30)
