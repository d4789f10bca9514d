"""Whether an assignment still counts: the coordinator is asked, for the member may not know."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.group import HeartbeatRequest, LeaveGroupRequest

from stream_rnn.errors import FencedError
from stream_rnn.worker.generation import check_generation
from stream_rnn.worker.transport import FoldThread

WITHIN_S = 20
HEARTBEAT_MS = 600_000  # none is sent: the member is as ignorant as one that was frozen


async def member(bootstrap_servers, app_id, topic) -> AIOKafkaConsumer:
    """Return a consumer that has joined the group."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=app_id,
        heartbeat_interval_ms=HEARTBEAT_MS,
        session_timeout_ms=30_000,
    )
    await consumer.start()
    async with asyncio.timeout(WITHIN_S):
        while not consumer.assignment():
            await asyncio.sleep(0.02)
    return consumer


@pytest.fixture
async def joined(app_id, bootstrap_servers, create_topic):
    """Return a member of a group, and a function by which it is removed without its knowledge."""
    consumer = await member(bootstrap_servers, app_id, await create_topic(f"{app_id}-in", 1))

    async def throw_out():
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        await admin.start()
        node = await admin.find_coordinator(app_id)
        await admin._send_request(LeaveGroupRequest(app_id, consumer._coordinator.member_id), node)
        await admin.close()

    yield consumer, throw_out
    await consumer.stop()


async def ask(consumer, generation, timeout_s=WITHIN_S):
    """Ask as the thread of a worker's consumer does."""
    thread = FoldThread.__new__(FoldThread)  # without Faust around it
    thread._consumer = consumer
    await thread._check_generation(TopicPartition("events", 0), generation, timeout_s)


async def test_the_generation_of_an_assignment_that_counts_is_confirmed(joined):
    """Nothing is raised, and the member is as it was."""
    consumer, _ = joined
    coordinator = consumer._coordinator
    before = (coordinator.generation, coordinator.member_id)
    await ask(consumer, coordinator.generation)
    assert (coordinator.generation, coordinator.member_id) == before


async def test_an_older_generation_does_not_count(joined):
    """The message names partition and group."""
    consumer, _ = joined
    generation = consumer._coordinator.generation
    with pytest.raises(FencedError, match=r"events\[0\]: generation \d+ of group t-\w+ is over"):
        await ask(consumer, generation - 1)


async def test_a_member_that_was_thrown_out_and_does_not_know_it_is_told(joined):
    """What the process itself believes says that it is a member."""
    consumer, throw_out = joined
    generation = consumer._coordinator.generation
    await throw_out()
    assert consumer._coordinator.generation == generation
    with pytest.raises(FencedError, match="is over"):
        await ask(consumer, generation)


async def test_a_group_that_rebalances_has_not_taken_the_partition_away(
    joined, app_id, bootstrap_servers
):
    """Somebody else joins: until the partition is given back it is nobody else's."""
    consumer, _ = joined
    coordinator = consumer._coordinator
    generation, topic = coordinator.generation, next(iter(consumer.assignment())).topic
    joining = asyncio.create_task(member(bootstrap_servers, app_id, topic))
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    async with asyncio.timeout(WITHIN_S):
        while "PreparingRebalance" not in str(await admin.describe_consumer_groups([app_id])):
            await asyncio.sleep(0.05)
    await ask(consumer, generation)
    joining.cancel()
    await asyncio.wait({joining})
    await admin.close()


async def test_a_coordinator_that_moves_is_looked_for_again(joined):
    """Its old place answers that it is not there; the question is asked again."""
    consumer, _ = joined
    coordinator = consumer._coordinator
    tried = []
    send = coordinator._send_req

    async def send_to_the_old_place_first(request):
        if isinstance(request, HeartbeatRequest):
            tried.append(request)
        if len(tried) == 1:
            raise GroupCoordinatorNotAvailableError
        return await send(request)

    coordinator._send_req = send_to_the_old_place_first
    await check_generation(coordinator, "events[0]", coordinator.generation, WITHIN_S)
    assert len(tried) == 2


async def test_a_coordinator_that_does_not_answer_has_a_deadline():
    """Whoever asked may be gone: the consumer's thread must not wait for ever."""

    class Silent:
        group_id, member_id = "g", "m"

        async def ensure_coordinator_known(self):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await check_generation(Silent(), "events[0]", 1, 0.05)
