"""Measures latency: the time from an event's timestamp until a consumer has its prediction.

One process sends events at a rate.  Another one reads predictions with ``read_committed``, and
subtracts the record timestamp from its own clock; every contender copies the event's timestamp.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.bench.load import BATCH_BYTES, Load, batches, key_of, value_of

TICK_S = 0.005
FLOOD_EVENTS, FLOOD_PAUSE_S = 20_000, 0.02
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies of one run.

    Attributes:
        rate: Events sent per second.
        events: Number of counted predictions.
        quantiles_ms: Quantiles in milliseconds, by name.
        histogram: Number of events in each bin: up to 1, 2, 5, 10, ... milliseconds, and more.
    """

    rate: int
    events: int
    quantiles_ms: dict[str, float]
    histogram: dict[str, int]


def _now_s() -> float:
    """Return the wall clock, which also stamps the records."""
    return time.time()  # noqa: TID251  # the event time is the time of sending


EDGES_MS = (1, 2, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000)


def summary(rate: int, delays_ms: np.ndarray) -> Latency:
    """Return the quantiles and the histogram of latencies (N,)."""
    edges = [0, *EDGES_MS, np.inf]
    counts, _ = np.histogram(delays_ms, edges)
    names = [f"<= {edge}" for edge in EDGES_MS] + [f"> {EDGES_MS[-1]}"]
    quantiles = {n: float(np.quantile(delays_ms, q)) for n, q in QUANTILES.items()}
    return Latency(rate, len(delays_ms), quantiles, dict(zip(names, counts.tolist(), strict=True)))


async def send(bootstrap_servers: str, topic: str, load: Load, rate: int, seconds: float) -> None:
    """Send events at a rate, some of them every 5 ms, with the time of sending as timestamp.

    The keys of the load repeat from the first one after the last.
    """
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks=1, linger_ms=0)
    await producer.start()
    keys = load.key_numbers()
    sent, began = 0, time.monotonic()
    waiting: list[asyncio.Future] = []
    try:
        while (elapsed_s := time.monotonic() - began) < seconds:
            due = int(elapsed_s * rate)
            builders: dict[int, object] = {}
            now_ms = int(_now_s() * 1000)
            for number in range(sent, due):
                key = int(keys[number % len(keys)])
                partition = key % load.partitions
                if partition not in builders:
                    builders[partition] = producer.create_batch()
                builders[partition].append(  # type: ignore[attr-defined]
                    timestamp=now_ms, key=key_of(key), value=value_of(number, load)
                )
            sent = due
            waiting = [f for f in waiting if not f.done()]
            for partition, batch in builders.items():
                waiting.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.sleep(max(0.0, TICK_S - (time.monotonic() - began - elapsed_s)))
        for future in waiting:
            await future
    finally:
        await producer.stop()


async def flood(
    bootstrap_servers: str, topic: str, load: Load, output: str, backlog: int, seconds: float
) -> None:
    """Send as fast as the output grows, so that a backlog of constant size waits."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, acks=1, linger_ms=0, max_batch_size=BATCH_BYTES
    )
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    await consumer.start()
    outputs = [TopicPartition(output, number) for number in range(load.partitions)]
    keys = load.key_numbers()
    until = time.monotonic() + seconds
    try:
        sent = sum((await consumer.end_offsets(outputs)).values())  # all that was sent before
        while time.monotonic() < until:
            taken = sum((await consumer.end_offsets(outputs)).values())
            if sent - taken > backlog - FLOOD_EVENTS:
                await asyncio.sleep(FLOOD_PAUSE_S)
                continue
            places = np.arange(sent, sent + FLOOD_EVENTS) % len(keys)
            for number in range(load.partitions):
                in_partition = places[keys[places] % load.partitions == number].tolist()
                for batch in batches(producer, in_partition, keys, load):
                    await (await producer.send_batch(batch, topic, partition=number))
            sent += FLOOD_EVENTS
    finally:
        await consumer.stop()
        await producer.stop()


async def read(
    bootstrap_servers: str, topic: str, partitions: int, seconds: float, warm_up_s: float
) -> np.ndarray:
    """Read predictions for some seconds; return the latencies after a warm-up in milliseconds."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        fetch_max_wait_ms=5,
        enable_auto_commit=False,
    )
    await consumer.start()
    delays: list[float] = []
    try:
        places = [TopicPartition(topic, p) for p in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        print("ready", flush=True)
        began = _now_s()
        while _now_s() - began < seconds:
            fetched = await consumer.getmany(timeout_ms=5)
            now_ms = _now_s() * 1000
            if _now_s() - began > warm_up_s:
                delays += [now_ms - r.timestamp for records in fetched.values() for r in records]
    finally:
        await consumer.stop()
    return np.array(delays)


def main(arguments: list[str]) -> None:
    """Run as the sender or the reader of a benchmark; see ``tests/bench/latency_command.py``."""
    role, options = arguments[0], json.loads(arguments[1])
    if role in {"send", "flood"}:
        load = Load(**options.pop("load"))
        asyncio.run((send if role == "send" else flood)(load=load, **options))
    else:
        delays = asyncio.run(read(**options))
        np.save(sys.stdout.buffer, delays)


if __name__ == "__main__":
    main(sys.argv[1:])
