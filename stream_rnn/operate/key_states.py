"""Hidden states of single keys: look-up, erasure, and their size in Redis."""

import asyncio
import time
from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from aiokafka.errors import KafkaError
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError, FencedError, reason
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.kafka.clients import new_producer, stop_producer
from stream_rnn.kafka.connection import connection_options
from stream_rnn.model.network import Model
from stream_rnn.operate.open_fold import Fold
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.state import HEADER_BYTES, StateCodec

POLL_S = 0.2
FIELD_OVERHEAD_BYTES = 52
"""Bytes that Redis adds to each field of a hash, measured in tests/bench/README.md."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """The hidden state of a key.

    Attributes:
        partition: Partition of the source.
        steps: Number of events in the memory.
        last_ms: Event time of the last event, in milliseconds.
        hidden: (D,) hidden state, flattened.
        tail: columns of lags at the last event, by their names in x.
    """

    partition: int
    steps: int
    last_ms: int
    hidden: NDArray[np.float32]
    tail: dict[str, float]


async def find_states(fold: Fold, key: bytes) -> list[KeyState]:
    """Look up a key in every partition, because producers may partition in any way.

    Raises:
        CorruptStateError: The bytes of a hidden state cannot be decoded.
    """
    codec = StateCodec(fold.model.hidden_size_floats, fold.model.tail_size_floats)
    values = await gather_or_cancel(_value(place.store, key) for place in fold.places)
    states = []
    for place, value in zip(fold.places, values, strict=True):
        if value is not None:
            decoded = codec.decode([value])
            steps, last_ms = int(decoded.steps[0]), int(decoded.last_ms[0])
            hidden, tail = np.split(decoded.hidden[0], [fold.model.hidden_size_floats])
            named = dict(zip(fold.model.tail_names, tail.tolist(), strict=True))
            states.append(KeyState(place.partition, steps, last_ms, hidden, named))
    return states


async def find_partitions(fold: Fold, key: bytes) -> list[int]:
    """Return the partitions that store a hidden state of a key, even a corrupt one."""
    values = await gather_or_cancel(_value(place.store, key) for place in fold.places)
    pairs = zip(fold.places, values, strict=True)
    return [place.partition for place, value in pairs if value is not None]


async def count_unfolded(fold: Fold, partitions: Collection[int]) -> int:
    """Return the number of records of some partitions that are not folded yet."""
    places = [place for place in fold.places if place.partition in partitions]
    stored = await gather_or_cancel(place.store.read() for place in places)
    ends = await gather_or_cancel(place.log.log_end() for place in places)
    starts = await gather_or_cancel(place.log.log_start() for place in places)
    return sum(
        max(0, end - (start if position.position is None else position.position))
        for position, start, end in zip(stored, starts, ends, strict=True)
    )


async def _value(store: RedisStore, key: bytes) -> bytes | None:
    call = store.redis.hget(store.hidden_key, cast("str", key))  # redis-py types keys as text
    return await store.await_reply(cast("Awaitable[bytes | None]", call))


async def publish_forgets(fold: Fold, key: bytes, partitions: list[int]) -> dict[int, int]:
    """Publish a record with a null value for a key, and return its offset in each partition.

    Raises:
        FencedError: Kafka did not acknowledge the records; sending them again does no harm.
    """
    settings = fold.settings
    producer = new_producer(
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=int(settings.kafka_timeout_s * 1000),
        **connection_options(settings),
    )
    try:
        async with asyncio.timeout(settings.kafka_timeout_s):
            await producer.start()
            sent = {
                partition: await producer.send_and_wait(
                    settings.source, key=key, value=None, partition=partition
                )
                for partition in partitions
            }
    except (KafkaError, TimeoutError, OSError) as error:
        message = (
            f"Kafka did not acknowledge: {reason(error, settings.kafka_timeout_s)}; send it again"
        )
        raise FencedError(message) from error
    finally:
        await stop_producer(producer, settings.revoke_timeout_s)
    return {partition: record.offset for partition, record in sent.items()}


async def wait_until_folded(fold: Fold, offsets: dict[int, int], within_s: float) -> bool:
    """Wait until the positions are beyond the given offsets.

    Args:
        fold: The fold.
        offsets: Offset of each partition to wait for.
        within_s: Longest time to wait.

    Returns:
        Whether all positions are beyond their offsets.
    """
    deadline = time.monotonic() + within_s
    places = [place for place in fold.places if place.partition in offsets]
    while True:
        stored = await gather_or_cancel(place.store.read() for place in places)
        if all(
            (position.position or 0) > offsets[place.partition]
            for position, place in zip(stored, places, strict=True)
        ):
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)


def state_bytes(model: Model, key_bytes: float) -> float:
    """Return the approximate size of one key with its hidden state in Redis."""
    return HEADER_BYTES + 4 * model.state_size_floats + key_bytes + FIELD_OVERHEAD_BYTES


async def measure_memory(fold: Fold) -> dict[str, Any]:
    """Return the number of hidden states in Redis, and the memory that they use.

    The bytes are ``None`` if Redis refuses to measure them.
    """
    keys = used = 0
    can_measure = True
    for place in fold.places:
        store = place.store
        stored = await store.read()
        keys += stored.fields
        if stored.fields and can_measure:
            usage: Any = store.redis.memory_usage(store.hidden_key, samples=100)
            try:
                used += await store.await_reply(usage) or 0
            except ConfigError:  # managed services and proxies may refuse MEMORY USAGE
                can_measure = False
    if not can_measure:
        return {"keys": keys, "bytes": None, "bytes_a_key": None}
    return {"keys": keys, "bytes": used, "bytes_a_key": used / keys if keys else None}
