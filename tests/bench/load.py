"""The load of the speed benchmarks: events of a number of keys, and a bundle for them."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from numpy.typing import NDArray

from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from tests.bench.encodings import encodings

SPEC = {
    "name": "clicks",
    "event": {"key": ["user"], "time": {"path": "at"}},
    "features": [
        {"kind": "numeric", "name": "amount", "path": "amount", "scaling": "log", "missing": "mean"},
        {"kind": "categorical", "name": "kind", "path": "kind", "vocabulary": ["view", "click", "buy"]},
        {"kind": "boolean", "name": "known", "path": "known"},
        {"kind": "since_previous", "name": "since"},
    ],
    "heads": [{"kind": "binary", "name": "buys", "path": "known"}],
}  # fmt: skip
BATCH_BYTES = 500_000
SENDS_AT_ONCE = 8
FIRST_MS = 1_700_000_000_000

Spread = Literal["even", "zipf", "hot"]
Format = Literal["json", "avro", "protobuf", "json_schema"]


@dataclass(frozen=True, slots=True)
class Load:
    """The events of a topic.

    Attributes:
        events: Number of events.
        keys: Maximum number of distinct keys.
        partitions: Number of partitions of the topic.
        spread: Distribution of events over keys: ``even``; ``zipf``, in which the n-th key has 1/n
            of the first key's events; or ``hot``, in which one key has half of the events.
        value_bytes: Approximate size of an event in bytes.
        seed: Random seed of the keys' order.
        format: Format of the values; all but ``json`` are framed for a schema registry.
    """

    events: int = 2_000_000
    keys: int = 10_000
    partitions: int = 4
    spread: Spread = "even"
    value_bytes: int = 100
    seed: int = 1
    format: Format = "json"

    @property
    def name(self) -> str:
        """Name of a topic with this load."""
        return (
            f"load-{self.events}-{self.keys}-{self.partitions}-{self.spread}-{self.value_bytes}"
            f"-{self.seed}-{self.format}"
        )

    def key_numbers(self) -> NDArray[np.int64]:
        """Return the number of each event's key (N,)."""
        rng = np.random.default_rng(self.seed)
        if self.spread == "zipf":
            share = 1 / np.arange(1, self.keys + 1)
            return rng.choice(self.keys, self.events, p=share / share.sum()).astype(np.int64)
        numbers = rng.integers(0, self.keys, self.events)
        if self.spread == "hot":
            numbers[rng.random(self.events) < 0.5] = 0
        return numbers


def value_of(number: int, load: Load) -> bytes:
    """Return the value of an event, with the four fields of the spec and some others."""
    value = _json_of(number, load)
    if load.format == "json":
        return value
    return encodings()[load.format].encode(json.loads(value))


def _json_of(number: int, load: Load) -> bytes:
    head = b'{"amount":%d.%02d,"kind":"%b","known":%b,"at":%d,"page":%d,"session":"%06x"' % (
        number * 7919 % 500,
        number % 100,
        (b"view", b"click", b"buy", b"view")[number * 31 % 4],
        (b"true", b"false")[number * 17 % 3 > 0],
        FIRST_MS + number,
        number % 90,
        number * 2654435761 % 0xFFFFFF,
    )
    return head + b',"text":"%b"}' % (b"x" * max(0, load.value_bytes - len(head) - 11))


def key_of(number: int) -> bytes:
    """Return the record key with a number."""
    return b"user-%d" % number


async def fill(bootstrap_servers: str, load: Load, topic: str | None = None) -> str:
    """Create a topic and send the load to it, unless it exists; return its name."""
    topic = topic or load.name
    await create(bootstrap_servers, topic, load.partitions)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, max_batch_size=BATCH_BYTES, acks="all", linger_ms=0
    )
    await producer.start()
    try:
        if sum((await ends(bootstrap_servers, topic, load.partitions)).values()) == load.events:
            return topic
        keys = load.key_numbers()
        partition = keys % load.partitions
        waiting = []
        for number in range(load.partitions):
            places = np.flatnonzero(partition == number).tolist()
            for batch in batches(producer, places, keys, load):
                waiting.append(await producer.send_batch(batch, topic, partition=number))
                if len(waiting) >= SENDS_AT_ONCE:
                    await waiting.pop(0)
        for sent in waiting:
            await sent
    finally:
        await producer.stop()
    return topic


def batches(
    producer: AIOKafkaProducer, places: Sequence[int], keys: NDArray[np.int64], load: Load
) -> Iterator[object]:
    """Yield record batches with some events of a load, each as large as the producer allows."""
    batch = producer.create_batch()
    for place in places:
        fields = {
            "key": key_of(int(keys[place])),
            "value": value_of(place, load),
            "timestamp": FIRST_MS + place,
        }
        if batch.append(**fields) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(**fields)
    if batch.record_count():
        yield batch


async def create(bootstrap_servers: str, topic: str, partitions: int, **configs: str) -> None:
    """Create a topic unless it exists; names of configs have underscores instead of dots."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        if topic not in await admin.list_topics():
            dotted = {name.replace("_", "."): value for name, value in configs.items()}
            await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dotted)])
            await asyncio.sleep(1)
    finally:
        await admin.close()


async def ends(bootstrap_servers: str, topic: str, partitions: int) -> dict[int, int]:
    """Return the end offset of each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers)
    await consumer.start()
    try:
        offsets = await consumer.end_offsets([TopicPartition(topic, p) for p in range(partitions)])
    finally:
        await consumer.stop()
    return {tp.partition: end for tp, end in offsets.items()}


def bundle_of(directory: Path, kind: str = "gru", hidden: int = 64, layers: int = 1) -> Path:
    """Create an untrained bundle; training would not change the duration of a step."""
    path = directory / f"{kind}-{hidden}-{layers}"
    if not path.exists():
        torch.manual_seed(1)
        spec = FeatureSpec.parse(SPEC, "bench")
        cell = CellSpec(kind=kind, hidden=hidden, layers=layers)
        save_bundle(Model.initialize(spec, cell), path)
    return path
