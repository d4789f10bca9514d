"""Members of a fold's group that are no workers."""

import asyncio
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, MemberIdRequired
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

CLIENT_ID = "report-job"
NOT_YET = {14, 15, 16}  # the coordinator of a new broker loads, or is not there yet
_TEXT = CompactString("utf-8")


class _HeartbeatResponse(Response):
    API_KEY = 68
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", _TEXT),
        ("member_id", _TEXT),
        ("member_epoch", Int32),
        ("heartbeat_interval_ms", Int32),
    )


class _HeartbeatRequest(RequestStruct):
    API_KEY = 68
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _HeartbeatResponse
    SCHEMA = Schema(
        ("group_id", _TEXT),
        ("member_id", _TEXT),
        ("member_epoch", Int32),
        ("instance_id", _TEXT),
        ("rack_id", _TEXT),
        ("rebalance_timeout_ms", Int32),
        ("subscribed_topic_names", CompactArray(_TEXT)),
        ("server_assignor", _TEXT),
        ("topic_partitions", CompactArray(Int32)),
        ("tags", TaggedFields),
    )


class ConsumerGroupHeartbeat(Request[_HeartbeatRequest]):
    """A heartbeat of a member with ``group.protocol=consumer``, which aiokafka lacks."""

    API_KEY = 68

    def __init__(self, *fields) -> None:
        self._fields = fields

    def build(self, request_struct_class):
        """Return the request as a version of the protocol writes it."""
        return request_struct_class(*self._fields, {})


async def is_stable(bootstrap_servers, group) -> bool:
    """Return whether a group does not rebalance."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        (response,) = await admin.describe_consumer_groups([group])
        return response.to_object()["groups"][0]["state"] == "Stable"
    except KafkaError:  # the coordinator cannot answer now
        return False
    finally:
        await admin.close()


async def coordinator(admin, group):
    """Return the node of a group, once a new broker has its coordinators."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await admin.find_coordinator(group)
            except GroupCoordinatorNotAvailableError:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def classic_member(bootstrap_servers, group, topic, assignor):
    """Join a group as a plain consumer of aiokafka does, until it is stable; commit nothing."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        client_id=CLIENT_ID,
        partition_assignment_strategy=(assignor,),
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            while not consumer.assignment() or not await is_stable(bootstrap_servers, group):
                await asyncio.sleep(0.05)
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def connect_member(bootstrap_servers, group):
    """Join a group as a worker of Kafka Connect does, as its leader."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id=CLIENT_ID)
    await admin.start()
    node = await coordinator(admin, group)
    metadata = b"\x00\x01\x00\x0dhttp://a:8083"

    async def join(member_id):
        protocols = [("sessioned", metadata)]
        request = JoinGroupRequest(group, 60_000, 60_000, member_id, None, "connect", protocols)
        return await admin._send_request(request, node)

    joined = await join("")
    async with asyncio.timeout(30):
        while joined.error_code in {*NOT_YET, MemberIdRequired.errno}:
            await asyncio.sleep(0.05)
            joined = await join(joined.member_id)
    assert joined.error_code == 0, joined
    synced = await admin._send_request(
        SyncGroupRequest(
            group, joined.generation_id, joined.member_id, None, [(joined.member_id, b"")]
        ),
        node,
    )
    assert synced.error_code == 0, synced
    try:
        yield
    finally:
        await admin._send_request(LeaveGroupRequest(group, joined.member_id), node)
        await admin.close()


@asynccontextmanager
async def new_member(bootstrap_servers, group, topic):
    """Join a group with ``group.protocol=consumer``, and send heartbeats."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id=CLIENT_ID)
    await admin.start()
    node = await coordinator(admin, group)
    joins = ConsumerGroupHeartbeat(group, "", 0, None, None, 30_000, [topic], None, [])
    async with asyncio.timeout(30):
        while (joined := await admin._send_request(joins, node)).error_code in NOT_YET:
            await asyncio.sleep(0.05)
    assert joined.error_code == 0, joined
    beats = (group, joined.member_id, joined.member_epoch, None, None, -1, None, None, None)

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.5)
            await admin._send_request(ConsumerGroupHeartbeat(*beats), node)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await admin.close()
