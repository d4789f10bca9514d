"""Readers that ask where to go on: an answer that is late, refused or of before a rebalance."""

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from stream_rnn.errors import UnavailableError
from stream_rnn.predictions.membership import Membership
from tests.integration.predicted import (
    evict,
    publish,
    share_a_generation,
    sources,
    take,
    wait_until,
    written,
)


async def test_a_rebalance_between_look_up_and_commit_of_the_beginning_skips_nothing(
    bootstrap_servers, topic, app_id, create_topic, open_member, monkeypatch
):
    """The refused beginning is looked for again, and it is the one of when the reader was opened."""
    await create_topic(topic, 1)
    run = written(app_id, range(4))
    await publish(bootstrap_servers, topic, run[:2])
    whole, held = Membership.commit, []

    async def interrupted(self, offsets, member):
        held.append(member)
        if len(held) == 1:
            self._coordinator.request_rejoin()
            await wait_until(lambda: self.current_member() != member, "a new generation")
            await publish(bootstrap_servers, topic, run[2:])
        await whole(self, offsets, member)

    monkeypatch.setattr(Membership, "commit", interrupted)
    async with open_member(start="latest") as reader:
        assert held[1].generation > held[0].generation
        assert await take(reader, 2) == sources(range(2, 4))


async def test_a_look_up_that_a_rebalance_has_overtaken_is_asked_again(
    bootstrap_servers, topic, app_id, create_topic, open_member, monkeypatch
):
    """What was committed in between, by who had the partition then, is not yielded again."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(8)))
    ask, asked = AIOKafkaAdminClient.list_consumer_group_offsets, []

    async def overtaken(self, *names, **options):
        answer = await ask(self, *names, **options)
        asked.append(answer)
        if len(asked) == 1:
            held = first._assignment._member
            await evict(first)
            async with open_member() as second:
                await take(second, 5)
                await second.commit()
            first._consumer._coordinator.reset_generation()  # as its next heartbeat would
            await wait_until(lambda: first._assignment._member != held, "a new generation")
        return answer

    async with open_member() as first:
        await wait_until(lambda: first._assignment._is_assigned, "a first assignment")
        monkeypatch.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", overtaken)
        assert await take(first, 3) == sources(range(5, 8))
    offsets = [answer[TopicPartition(topic, 0)].offset for answer in asked]
    assert (offsets[0], offsets[-1]) == (-1, 5)


async def test_a_look_up_for_a_partition_that_was_given_away_meanwhile_is_dropped(
    bootstrap_servers, topic, app_id, create_topic, open_member, monkeypatch
):
    """The reader goes on in what it still has, and touches no partition of another one."""
    await create_topic(topic, 2)
    for partition in (0, 1):
        await publish(bootstrap_servers, topic, written(app_id, range(3), partition), partition)
    ask, others = AIOKafkaAdminClient.list_consumer_group_offsets, []

    async def overtaken(self, *names, **options):
        answer = await ask(self, *names, **options)
        if not others:
            others.append(open_member())
            await others[0].__aenter__()
            await wait_until(lambda: share_a_generation(first, *others), "a partition for each")
        return answer

    async with open_member() as first:
        await wait_until(lambda: first._assignment._is_assigned, "a first assignment")
        monkeypatch.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", overtaken)
        try:
            mine = await take(first, 3)
            theirs = await take(others[0], 3)
        finally:
            await others[0].__aexit__()
        assert sorted([mine, theirs]) == [sources(range(3), 0), sources(range(3), 1)]


async def test_one_failed_look_up_does_not_stall_a_partition(
    bootstrap_servers, topic, app_id, create_topic, open_member, monkeypatch
):
    """It is tried again, and what was fetched meanwhile is not dropped."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(3)))
    ask, failed = AIOKafkaAdminClient.list_consumer_group_offsets, []

    async def fails_at_first(self, *names, **options):
        if len(failed) < 2:
            failed.append(names)
            raise KafkaConnectionError("cut")
        return await ask(self, *names, **options)

    monkeypatch.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", fails_at_first)
    async with open_member() as reader:
        assert await take(reader, 3) == sources(range(3))
    assert len(failed) == 2


async def test_look_ups_that_always_fail_are_said_within_the_deadline(
    bootstrap_servers, topic, app_id, create_topic, open_member, monkeypatch
):
    """The reader names the partition; once Kafka answers again, it goes on."""
    await create_topic(topic, 1)
    await publish(bootstrap_servers, topic, written(app_id, range(3)))

    async def fails(*_names, **_options):
        raise KafkaConnectionError("cut")

    async with open_member(timeout_s=2) as reader:
        with monkeypatch.context() as patched:
            patched.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", fails)
            with pytest.raises(UnavailableError, match=rf"where to start in {topic}\[0\].*cut"):
                await take(reader, 1)
        assert await take(reader, 3) == sources(range(3))
