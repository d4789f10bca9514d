"""Predictions without a worker: what publishes them, and what reads them with a deadline."""

import asyncio

import numpy as np
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.group import LeaveGroupRequest

from stream_rnn.model.heads import Binary
from stream_rnn.predictions.writer import PredictionWriter

HEADS = [Binary(name="late", kind="binary", path="delay")]


def written(app, offsets, partition=0, probability=0.5):
    """Return the key, value and headers of predictions of some source offsets."""
    writer = PredictionWriter(
        heads=HEADS,
        name="delay",
        fingerprint="ab" * 32,
        numerics="01234567",
        topic="events",
        partition=partition,
        app=app,
        fold_id="0123456789ab",
        top_k=5,
    )
    count = len(offsets)
    values = writer.write(
        [b"key"] * count,
        np.array(offsets),
        np.full(count, 1_000),
        np.full(count, 2),
        {"late": np.full(count, probability, np.float32)},
    )
    return [
        (b"key", value, writer.headers(offset, 0))
        for offset, value in zip(offsets, values, strict=True)
    ]


async def publish(bootstrap_servers, topic, messages, partition=0, *, transactions=()):
    """Publish messages, in transactions of the given sizes; negative ones are aborted."""
    options = {"transactional_id": f"{topic}-{partition}"} if transactions else {}
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, **options)
    left = list(messages)

    async def send(some):
        for key, value, headers in some:
            await producer.send_and_wait(
                topic, value, key=key, headers=headers, partition=partition
            )

    async with asyncio.timeout(20):
        await producer.start()
        try:
            for size in transactions:
                some, left = left[: abs(size)], left[abs(size) :]
                await producer.begin_transaction()
                await send(some)
                await (producer.commit_transaction() if size > 0 else producer.abort_transaction())
            await send(left)
        finally:
            await producer.stop()


async def take(reader, count, timeout_s=20.0):
    """Return the (partition, offset) of the sources of some predictions."""
    found = []
    async with asyncio.timeout(timeout_s):
        while len(found) < count:
            source = (await anext(reader)).source
            found.append((source.partition, source.offset))
    return found


async def wait_until(predicate, description, timeout_s=30.0):
    """Wait for something that happens in other tasks."""
    for _ in range(int(timeout_s / 0.05)):
        if predicate():
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"within {timeout_s:g} s: not {description}")


async def nothing_more(reader, for_s=1.5):
    """Check that there is nothing to read."""
    with pytest.raises(TimeoutError):
        await take(reader, 1, for_s)


def sources(offsets, partition=0):
    """Return what ``take`` returns of some source offsets."""
    return [(partition, offset) for offset in offsets]


async def evict(reader):
    """Let the group forget a reader, as it does with one that was silent for too long."""
    member = reader._assignment._member
    node = await reader._admin.find_coordinator(reader._group_id)
    request = LeaveGroupRequest(reader._group_id, member.member_id)
    await reader._admin._send_request(request, node)


def share_a_generation(*readers):
    """Tell whether readers are members of their group at the same time: it is not rebalancing."""
    assignments = [reader._assignment for reader in readers]
    is_over = all(one._is_assigned for one in assignments)
    return is_over and len({one._member.generation for one in assignments}) == 1
