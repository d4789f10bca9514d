"""How long a fold is away, and how much memory a worker takes over time."""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from tests.bench.contenders import WORKER, Place
from tests.bench.delays import role
from tests.bench.ground import Ground, machine, on_ground, on_progress, shared, write
from tests.bench.load import Load, bundle_of, create, fill
from tests.bench.rates import Processes, Progress, Rate, rate_of

PARTITIONS = 4
POLL_S = 0.02
WITHIN_S = 120.0
SENT_RATE = 2_000
SAMPLED_S = 5.0
KEPT_BYTES = 400_000_000
BACKLOG = 500_000


@dataclass(slots=True)
class Watched:
    """The end of each output partition, as a read_committed reader sees it."""

    consumer: AIOKafkaConsumer
    places: list[TopicPartition]

    async def ends(self) -> dict[int, int]:
        """Return the last stable offset of each partition."""
        found = await self.consumer.end_offsets(self.places)
        return {tp.partition: end for tp, end in found.items()}

    async def until_grown(self, since: dict[int, int], partitions: Sequence[int]) -> None:
        """Wait until each of some partitions has more than it had."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                now = await self.ends()
                if all(now[p] > since[p] for p in partitions):
                    return
                await asyncio.sleep(POLL_S)


def _place(ground: Ground, source: str, name: str) -> Place:
    directory = ground.directory / name
    directory.mkdir()
    servers = ground.addresses.bootstrap_servers
    bundle = bundle_of(ground.directory)
    output = f"{name}-out"
    return Place(servers, ground.addresses.redis_url, source, output, name, bundle, directory)


async def _watched(place: Place) -> Watched:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.bootstrap_servers, isolation_level="read_committed"
    )
    await consumer.start()
    return Watched(consumer, [TopicPartition(place.output, p) for p in range(PARTITIONS)])


def _steady(place: Place, seconds: float) -> Any:
    """Send a few events a second, so that who is alive publishes."""
    load = Load(10_000, partitions=PARTITIONS)
    return role(
        "send",
        bootstrap_servers=place.bootstrap_servers,
        topic=place.source,
        load=asdict(load),
        rate=SENT_RATE,
        seconds=seconds,
    )


async def rebuilds(ground: Ground, events: int, rounds: int) -> tuple[list[Rate], list[float]]:
    """Let a worker take a backlog, empty its Redis, and time the silent fold of the same records.

    Returns:
        The live rates, and of each rebuild the seconds until Redis is beyond the backlog.
    """
    live, found = [], []
    for number in range(rounds):
        # A topic of its own: what is sent at the end makes the worker look at its position.
        load = Load(events, partitions=PARTITIONS, seed=number + 1)
        source = await fill(ground.addresses.bootstrap_servers, load, f"rebuild-{number}")
        place = _place(ground, source, f"rebuild-app-{number}")
        await create(place.bootstrap_servers, place.output, PARTITIONS)
        running = Processes(ground.directory / f"{place.app}.log")
        sender = None
        began = time.monotonic()
        running.start(WORKER.command(place), WORKER.environment)
        try:
            async with Progress(
                place.bootstrap_servers, place.output, PARTITIONS, None
            ) as progress:
                live.append(await rate_of(running, progress, events, began, WITHIN_S))
                while await progress.events() < events:
                    await asyncio.sleep(POLL_S)
                # The worker looks at its position when events come; their sender needs a while.
                sender = _steady(place, 600)
                while await progress.events() < events + SENT_RATE:
                    await asyncio.sleep(POLL_S)
            redis = Redis.from_url(place.redis_url, decode_responses=True)
            await redis.execute_command("FLUSHALL", "SYNC")
            began = time.monotonic()
            # What is in the cache is still answered; the commit then finds no position.
            await _until_rebuilt(redis, place, load)
            found.append(time.monotonic() - began)
            await redis.aclose()
        finally:
            running.stop()
            if sender is not None:
                sender.terminate()
                sender.wait()
        on_progress(
            f"rebuild {number + 1}: {events / found[-1]:,.0f} records/s, live {live[-1].events_s:,.0f}"
        )
    return live, found


async def _until_rebuilt(redis: Any, place: Place, load: Load) -> None:
    """Wait until the position of each partition in Redis is beyond the backlog."""
    wanted = np.bincount(load.key_numbers() % PARTITIONS, minlength=PARTITIONS).tolist()
    async with asyncio.timeout(WITHIN_S):
        while True:
            names = [name async for name in redis.scan_iter(f"{{{place.app}:*}}:position")]
            positions = {
                int(name.split(":")[2]): int(await redis.hget(name, "position") or 0)
                for name in names
            }
            if all(positions.get(p, 0) > count for p, count in enumerate(wanted)):
                return
            await asyncio.sleep(POLL_S)


async def kills(ground: Ground, rounds: int) -> list[float]:
    """Kill one of two workers; the seconds until its partitions publish again."""
    found = []
    place = _place(ground, "killed-in", "killed")
    for topic in (place.source, place.output):
        await create(place.bootstrap_servers, topic, PARTITIONS)
    watched, rng = await _watched(place), np.random.default_rng(1)
    running = Processes(ground.directory / "killed.log")
    for _ in range(2):
        running.start(WORKER.command(place), WORKER.environment)
    sender = _steady(place, 3600)
    try:
        for number in range(rounds):
            await watched.until_grown(await watched.ends(), range(PARTITIONS))
            # Both are members, and have had time to share; then anywhere between two heartbeats.
            await asyncio.sleep(12 + rng.uniform(0, 3))
            victim = running.started.pop(0)
            os.killpg(victim.pid, signal.SIGKILL)
            victim.wait()
            killed = time.monotonic()
            await asyncio.sleep(0.3)  # what it had published is on its way
            await watched.until_grown(await watched.ends(), range(PARTITIONS))
            found.append(time.monotonic() - killed)
            on_progress(f"SIGKILL {number + 1}: {found[-1]:.1f} s")
            running.start(WORKER.command(place), WORKER.environment)
    finally:
        sender.terminate()
        sender.wait()
        await watched.consumer.stop()
        running.stop()
    return found


@click.command("recovery")
@shared
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=2_000_000, show_default=True)  # fmt: skip
def recovery_command(rounds: int, events: int, out: Path | None, **options: Any) -> None:
    """Start-up, rebuild of an emptied Redis, SIGKILL until publishing again."""

    async def work(ground: Ground) -> tuple[list[Rate], list[float], list[float]]:
        return *(await rebuilds(ground, events, rounds)), await kills(ground, rounds)

    live, rebuilt, killed = on_ground(options, work)
    rates = [events / seconds for seconds in rebuilt]
    ratios = [rate / run.events_s for rate, run in zip(rates, live, strict=True)]
    table = ["| what | median (least to most) |", "|---|---|"]
    for name, values, form in (
        ("from exec to the first prediction, s", [run.first_s for run in live], ".1f"),
        ("SIGKILL of one of two workers until its partitions publish again, s", killed, ".1f"),
        (
            f"empty Redis, {events:,} records folded before, until Redis holds them again, s",
            rebuilt,
            ".1f",
        ),
        ("records/s rebuilt", rates, ",.0f"),
        ("to the live rate of the same run", ratios, ".2f"),
    ):
        table.append(f"| {name} | {statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}}) |")  # fmt: skip
    found = {"live": [asdict(run) for run in live], "rebuilt_s": rebuilt, "killed_s": killed}
    write({"machine": machine(), "events": events, **found}, table, out)


@click.command("memory")
@shared
@click.option("--minutes", type=click.FloatRange(0.5, 1440), default=10.0, show_default=True)
@click.option("--rate", type=click.IntRange(1, 1_000_000), help="events a second that are sent; default: as many as the worker takes")  # fmt: skip
def memory_command(minutes: float, rate: int | None, out: Path | None, **options: Any) -> None:
    """The worker's resident set over time, under load."""

    async def work(ground: Ground) -> list[tuple[float, float, int]]:
        place = _place(ground, "long-in", "long")
        kept = {"retention_bytes": str(KEPT_BYTES), "segment_bytes": str(KEPT_BYTES // 8)}
        for topic in (place.source, place.output):
            await create(place.bootstrap_servers, topic, PARTITIONS, **kept)
        running = Processes(ground.directory / "long.log")
        running.start(WORKER.command(place), WORKER.environment)
        sender = role(
            "flood" if rate is None else "send",
            bootstrap_servers=place.bootstrap_servers,
            topic=place.source,
            load=asdict(Load(10_000_000, partitions=PARTITIONS)),
            seconds=60 * minutes,
            **({"output": place.output, "backlog": BACKLOG} if rate is None else {"rate": rate}),
        )
        try:
            async with Progress(
                place.bootstrap_servers, place.output, PARTITIONS, None
            ) as progress:
                found = await _sampled(running, progress.events, 60 * minutes)
                if sender.poll():
                    raise RuntimeError(f"the sender ended with {sender.returncode}")
                return found
        finally:
            sender.terminate()
            sender.wait()
            running.stop()

    samples = on_ground(options, work)
    table = ["| minute | RSS, MB | published |", "|---|---|---|"]
    for minute in _told(minutes):
        at, rss, done = min(samples, key=lambda s: abs(s[0] - 60 * minute))
        table.append(f"| {at / 60:.1f} | {rss:,.0f} | {done:,} |")
    later = [rss for at, rss, _ in samples if at >= 60 * min(5.0, minutes / 2)]
    table.append(
        f"\nFrom minute {min(5.0, minutes / 2):g} on: {min(later):,.0f} to {max(later):,.0f} MB."
    )
    write({"machine": machine(), "rate": rate, "samples": samples}, table, out)


async def _sampled(
    running: Processes, events: Callable[[], Awaitable[int]], seconds: float
) -> list[tuple[float, float, int]]:
    """Return seconds, MB and the events published, every few seconds."""
    began, found = time.monotonic(), []
    while (at := time.monotonic() - began) < seconds:
        running.require_alive()
        found.append((at, running.rss_mb(), await events()))
        await asyncio.sleep(SAMPLED_S)
    return found


def _told(minutes: float) -> list[float]:
    """Return which minutes the table shows."""
    return [m for m in (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120) if m < minutes] + [
        minutes
    ]
