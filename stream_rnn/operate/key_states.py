"""Single hidden states: looking one up, erasing it, and what many of them cost."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from aiokafka.errors import KafkaError
from numpy.typing import NDArray

from stream_rnn.errors import FencedError, reason
from stream_rnn.kafka.clients import new_producer, stop_producer
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.model.network import Model
from stream_rnn.operate.open_fold import Fold
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.state import HEADER_BYTES, StateCodec

REREAD_EVERY_S = 0.2
FIELD_BYTES = 52
"""What Redis adds to a key and a state in a hash: measured in tests/bench/README.md."""


@dataclass(frozen=True, slots=True)
class Found:
    """The hidden state of a key.

    Attributes:
        partition: of the source.
        steps: events in the memory.
        last_ms: time of its last event.
        hidden: (D,) flattened.
    """

    partition: int
    steps: int
    last_ms: int
    hidden: NDArray[np.float32]


async def find(fold: Fold, key: bytes) -> list[Found]:
    """Ask every partition for a key: who produced its records chose the partition.

    Raises:
        CorruptStateError: its bytes do not decode.
    """
    codec = StateCodec(fold.model.hidden_size_floats)
    values = await asyncio.gather(*(_value(place.store, key) for place in fold.places))
    found = []
    for place, value in zip(fold.places, values, strict=True):
        if value is not None:
            states = codec.decode([value])
            one = int(states.steps[0]), int(states.last_ms[0]), states.hidden[0]
            found.append(Found(place.partition, *one))
    return found


async def holders(fold: Fold, key: bytes) -> list[int]:
    """Return the partitions that hold a state of a key, whatever its bytes are."""
    values = await asyncio.gather(*(_value(place.store, key) for place in fold.places))
    pairs = zip(fold.places, values, strict=True)
    return [place.partition for place, value in pairs if value is not None]


async def waiting(fold: Fold) -> int:
    """Return how many records of the source are not folded yet."""
    held = await asyncio.gather(*(place.store.read() for place in fold.places))
    ends = await asyncio.gather(*(place.log.log_end() for place in fold.places))
    starts = await asyncio.gather(*(place.log.log_start() for place in fold.places))
    return sum(
        max(0, end - (start if one.position is None else one.position))
        for one, start, end in zip(held, starts, ends, strict=True)
    )


async def _value(store: RedisStore, key: bytes) -> bytes | None:
    call = store.redis.hget(store.hidden_key, cast("str", key))  # redis-py types keys as text
    return await store.await_reply(cast("Awaitable[bytes | None]", call))


async def erase(fold: Fold, key: bytes, partitions: list[int]) -> dict[int, int]:
    """Publish a record with a null value for a key; return its offset in each partition.

    Raises:
        FencedError: Kafka did not acknowledge; it may be sent again without harm.
    """
    settings = fold.settings
    producer = new_producer(
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=int(settings.kafka_timeout_s * 1000),
        **kafka_options(settings.bootstrap_servers, settings.kafka_config),
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


async def folded(fold: Fold, offsets: dict[int, int], within_s: float) -> bool:
    """Wait until the positions are beyond some offsets; return whether they are."""
    deadline = time.monotonic() + within_s
    places = [place for place in fold.places if place.partition in offsets]
    while True:
        held = await asyncio.gather(*(place.store.read() for place in places))
        if all(
            (one.position or 0) > offsets[place.partition]
            for one, place in zip(held, places, strict=True)
        ):
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(REREAD_EVERY_S)


def state_bytes(model: Model, key_bytes: float) -> float:
    """Return about how many bytes of Redis one key takes."""
    return HEADER_BYTES + 4 * model.hidden_size_floats + key_bytes + FIELD_BYTES


async def measured(fold: Fold) -> dict[str, Any]:
    """Ask Redis what the fold's states take now."""
    keys = used = 0
    for place in fold.places:
        store = place.store
        held = await store.read()
        keys += held.fields
        if held.fields:
            usage: Any = store.redis.memory_usage(store.hidden_key, samples=100)
            used += await store.await_reply(usage) or 0
    return {"keys": keys, "bytes": used, "bytes_a_key": used / keys if keys else None}
