"""Readers of one group on a real Kafka: nothing is skipped, what was committed is not read again."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaTimeoutError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from stream_rnn.errors import ConfigError, FencedError, UnavailableError
from stream_rnn.predictions.membership import Member
from tests.integration.predicted import (
    evict,
    nothing_more,
    publish,
    share_a_generation,
    sources,
    take,
    wait_until,
    written,
)


async def rebalance(reader):
    """Let the group come to a new generation in which the reader has its partitions."""
    assignment, before = reader._assignment, reader._assignment._member
    reader._consumer._coordinator.request_rejoin()
    await wait_until(
        lambda: assignment._member.directly_follows(before) and assignment._member != before,
        "a new generation",
    )


async def committed(reader, partition=0):
    """Return what the group has committed."""
    tp = TopicPartition(reader.topic, partition)
    return (await reader._admin.list_consumer_group_offsets(reader._group_id, partitions=[tp]))[
        tp
    ].offset


async def test_what_is_published_after_the_first_reader_was_opened_at_the_latest_is_yielded(
    bootstrap_servers, topic, app_id, create_topic, open_member
):
    """Where the group begins is stored before anything is yielded, so the next owner begins there."""
    await create_topic(topic, 1)
    run = written(app_id, range(9))
    await publish(bootstrap_servers, topic, run[:3])
    async with open_member(start="latest"):
        await publish(bootstrap_servers, topic, run[3:6])
    async with open_member(start="latest") as reader:
        assert await take(reader, 3) == sources(range(3, 6))
    async with open_member(start="latest") as first, open_member(start="latest") as second:
        await wait_until(
            lambda: share_a_generation(first, second), "both readers in one generation"
        )
        await publish(bootstrap_servers, topic, run[6:])
        seen = []

        async def read(reader):
            while True:
                seen.extend(await take(reader, 1))

        tasks = [asyncio.create_task(read(reader)) for reader in (first, second)]
        await wait_until(lambda: len(seen) >= 6, "all predictions read")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert seen == sources(range(3, 9))


@pytest.mark.parametrize("start", ["committed", "earliest", "latest"])
async def test_after_a_refused_commit_all_is_yielded_again(
    bootstrap_servers, topic, app_id, create_topic, open_member, start
):
    """The reader does not continue after the records that it has to drop."""
    await create_topic(topic, 2)
    runs = [written(app_id, range(8), partition) for partition in (0, 1)]

    async with open_member(start=start) as reader:
        for partition, run in enumerate(runs):
            await publish(bootstrap_servers, topic, run[:6], partition)
        wanted = [place for p in (0, 1) for place in sources(range(6), p)]
        assert sorted(await take(reader, 12)) == wanted
        await evict(reader)
        with pytest.raises(FencedError, match=r"nothing was stored.*yielded again"):
            await reader.commit()
        assert sorted(await take(reader, 12)) == wanted
        await reader.commit()
        for partition, run in enumerate(runs):
            await publish(bootstrap_servers, topic, run[6:], partition)
        assert sorted(await take(reader, 4)) == [(0, 6), (0, 7), (1, 6), (1, 7)]


async def test_what_a_lost_partition_had_yielded_makes_the_commit_refused_as_a_whole(
    bootstrap_servers, topic, app_id, create_topic, open_member
):
    """Of the partition that stayed nothing is stored either, so both are yielded again."""
    await create_topic(topic, 2)
    for partition in (0, 1):
        await publish(bootstrap_servers, topic, written(app_id, range(5), partition), partition)

    async with open_member() as first:
        await take(first, 10)
        async with open_member() as second:
            mine = await take(second, 5)
            with pytest.raises(FencedError, match="assigned to another reader"):
                await first.commit()
            assert [await committed(first, p) for p in (0, 1)] == [-1, -1]
            again = await take(first, 5)
            assert {p for p, _ in again}.isdisjoint({p for p, _ in mine})
            assert sorted(again + mine) == [*sources(range(5), 0), *sources(range(5), 1)]
            await first.commit()
            await second.commit()
            assert [await committed(first, p) for p in (0, 1)] == [5, 5]


async def test_what_was_yielded_before_a_rebalance_is_committed_where_the_partition_stayed(
    bootstrap_servers, topic, app_id, create_topic, open_member
):
    """Nobody else can have had it: it goes on, and one commit covers both generations."""
    await create_topic(topic, 1)
    run = written(app_id, range(6))
    await publish(bootstrap_servers, topic, run[:4])

    async with open_member() as reader:
        assert await take(reader, 3) == sources(range(3))
        await rebalance(reader)
        assert await take(reader, 1) == [(0, 3)]
        await reader.commit()
    await publish(bootstrap_servers, topic, run[4:])
    async with open_member() as reader:
        assert await take(reader, 2) == sources(range(4, 6))


async def test_a_partition_that_another_reader_had_in_between_goes_on_where_that_one_committed(
    bootstrap_servers, topic, app_id, create_topic, open_member
):
    """Neither does it go on behind what nobody committed, nor before what somebody did."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(8)))

    async with open_member() as first:
        await take(first, 6)
        await evict(first)
        async with open_member() as second:
            await take(second, 2)
            await second.commit()
            await take(second, 1)
        held = first._assignment._member
        first._consumer._coordinator.reset_generation()  # as its next heartbeat would
        await wait_until(lambda: first._assignment._member != held, "a new generation")
        assert await take(first, 6) == sources(range(2, 8))


async def test_a_commit_that_had_to_wait_does_not_set_the_group_back(
    bootstrap_servers, topic, app_id, create_topic, open_member
):
    """It is of the generation in which the places were read, whatever the group has come to."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(8)))

    async with open_member() as first:
        await take(first, 3)
        coordinator, here = first._consumer._coordinator, asyncio.current_task()
        find, held = coordinator.ensure_coordinator_known, first._assignment._member

        async def overtaken():
            if asyncio.current_task() is here:
                coordinator.ensure_coordinator_known = find
                await evict(first)
                async with open_member() as second:
                    await take(second, 7)
                    await second.commit()
                coordinator.reset_generation()
                await wait_until(lambda: first._assignment._member != held, "a new generation")
            await find()

        coordinator.ensure_coordinator_known = overtaken
        with pytest.raises(FencedError):
            await first.commit()
        assert await committed(first) == 7
        assert await take(first, 1) == [(0, 7)]


async def test_records_that_are_fetched_again_after_a_rebalance_are_looked_at_once(
    bootstrap_servers, topic, app_id, create_topic, open_member
):
    """What the reader holds and has not yielded yet stays, and is fetched a second time."""
    await create_topic(topic, 1)
    run = written(app_id, range(4))
    other = (b"key", b"no", []), *written("other", [0])
    await publish(bootstrap_servers, topic, [run[0], *other, *run[1:]])

    async with open_member(worker_app_id=app_id, on_bad="skip") as reader:
        await take(reader, 1)
        assert len(reader._buffer) == 5, "the test is about records that are held"
        await rebalance(reader)
        assert await take(reader, 3) == sources(range(1, 4))
        await nothing_more(reader, 3)
        counts = reader.counts
        assert (counts.bad, counts.foreign, counts.duplicates) == (1, 1, 0)
        await reader.commit()
        assert await committed(reader) == 6


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (TimeoutError(), UnavailableError),
        (KafkaTimeoutError("late"), UnavailableError),
        (ConnectionResetError("cut"), UnavailableError),
        (TopicAuthorizationFailedError("delays"), ConfigError),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else one.__name__,
)
async def test_what_goes_wrong_while_it_is_repositioned_is_an_error_of_ours(
    bootstrap_servers, topic, app_id, create_topic, open_member, raised, said
):
    """No bare error of Kafka's client or of asyncio comes out of a reader."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, [0]))

    async def fails(_partitions):
        raise raised

    async with open_member() as reader:
        await take(reader, 1)
        reader._consumer.beginning_offsets = fails
        with pytest.raises(said, match=f"log start of {topic} failed"):
            await reader._assignment.reposition(
                OffsetOutOfRangeError({TopicPartition(topic, 0): 0})
            )


async def test_a_member_that_aiokafka_gave_up_by_a_cancellation_of_its_own_is_said(
    topic, create_topic, open_member
):
    """A bare CancelledError would look as if somebody had cancelled the user's task."""
    await create_topic(topic, 1)
    async with open_member() as reader:
        coordination = reader._consumer._coordinator._coordination_task
        coordination.cancel()
        await wait_until(coordination.done, "the end of the coordination")
        with pytest.raises(FencedError, match="open a new reader"):
            await take(reader, 1)
        reader._consumer._coordinator._coordination_task = asyncio.create_task(asyncio.sleep(0))


def test_only_the_next_generation_of_the_same_member_keeps_its_places():
    """One generation more, or another member id, and somebody else may have had the partition."""
    held = Member("a", 4)
    assert Member("a", 5).directly_follows(held)
    assert Member("a", 4).directly_follows(held)
    assert not Member("a", 6).directly_follows(held)
    assert not Member("b", 5).directly_follows(held)
