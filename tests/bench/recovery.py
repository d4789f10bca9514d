"""Measures how long predictions pause after faults, and a worker's memory over time."""

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

from tests.bench.contenders import WORKER, RunOptions
from tests.bench.environment import (
    BenchEnvironment,
    common_options,
    machine,
    on_progress,
    run_with_servers,
    write,
)
from tests.bench.latency_command import start_process
from tests.bench.load import Load, bundle_of, create, fill
from tests.bench.rates import Processes, Progress, Rate, measure_rate

PARTITIONS = 4
POLL_EVERY_S = 0.02
WITHIN_S = 120.0
SENT_RATE = 2_000
SAMPLE_EVERY_S = 5.0
RETENTION_BYTES = 400_000_000
BACKLOG = 500_000


@dataclass(slots=True)
class OutputEnds:
    """The last stable offset of each output partition."""

    consumer: AIOKafkaConsumer
    places: list[TopicPartition]

    async def ends(self) -> dict[int, int]:
        """Return the last stable offset of each partition."""
        offsets = await self.consumer.end_offsets(self.places)
        return {tp.partition: end for tp, end in offsets.items()}

    async def until_grown(self, since: dict[int, int], partitions: Sequence[int]) -> None:
        """Wait until each of these partitions has grown."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                now = await self.ends()
                if all(now[p] > since[p] for p in partitions):
                    return
                await asyncio.sleep(POLL_EVERY_S)


def _make_run_options(bench: BenchEnvironment, source: str, name: str) -> RunOptions:
    directory = bench.directory / name
    directory.mkdir()
    servers = bench.addresses.bootstrap_servers
    bundle = bundle_of(bench.directory)
    output = f"{name}-out"
    return RunOptions(servers, bench.addresses.redis_url, source, output, name, bundle, directory)


async def _open_output_ends(run_options: RunOptions) -> OutputEnds:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=run_options.bootstrap_servers, isolation_level="read_committed"
    )
    await consumer.start()
    return OutputEnds(consumer, [TopicPartition(run_options.output, p) for p in range(PARTITIONS)])


def _steady(run_options: RunOptions, seconds: float) -> Any:
    """Send events at a low rate, so that all running workers publish."""
    load = Load(10_000, partitions=PARTITIONS)
    return start_process(
        "send",
        bootstrap_servers=run_options.bootstrap_servers,
        topic=run_options.source,
        load=asdict(load),
        rate=SENT_RATE,
        seconds=seconds,
    )


async def rebuilds(
    bench: BenchEnvironment, events: int, rounds: int
) -> tuple[list[Rate], list[float]]:
    """Measure a worker on a backlog, empty its Redis, and measure the rebuild.

    Returns:
        The live rates, and the seconds of each rebuild until Redis is beyond the backlog.
    """
    live, found = [], []
    for number in range(rounds):
        # Each round has its own topic, because further events are sent at its end.
        load = Load(events, partitions=PARTITIONS, seed=number + 1)
        source = await fill(bench.addresses.bootstrap_servers, load, f"rebuild-{number}")
        run_options = _make_run_options(bench, source, f"rebuild-app-{number}")
        await create(run_options.bootstrap_servers, run_options.output, PARTITIONS)
        running = Processes(bench.directory / f"{run_options.app}.log")
        sender = None
        began = time.monotonic()
        running.start(WORKER.command(run_options), WORKER.environment)
        try:
            async with Progress(
                run_options.bootstrap_servers, run_options.output, PARTITIONS, None
            ) as progress:
                live.append(await measure_rate(running, progress, events, began, WITHIN_S))
                while await progress.events() < events:
                    await asyncio.sleep(POLL_EVERY_S)
                # The worker checks its position when events arrive; their sender needs some time.
                sender = _steady(run_options, 600)
                while await progress.events() < events + SENT_RATE:
                    await asyncio.sleep(POLL_EVERY_S)
            redis = Redis.from_url(run_options.redis_url, decode_responses=True)
            await redis.execute_command("FLUSHALL", "SYNC")
            began = time.monotonic()
            # The cache still serves the next micro-batch; its commit then fails without a position.
            await _until_rebuilt(redis, run_options, load)
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


async def _until_rebuilt(redis: Any, run_options: RunOptions, load: Load) -> None:
    """Wait until the position of each partition in Redis is beyond the backlog."""
    record_counts = np.bincount(load.key_numbers() % PARTITIONS, minlength=PARTITIONS).tolist()
    async with asyncio.timeout(WITHIN_S):
        while True:
            names = [name async for name in redis.scan_iter(f"{{{run_options.app}:*}}:position")]
            positions = {
                int(name.split(":")[2]): int(await redis.hget(name, "position") or 0)
                for name in names
            }
            if all(positions.get(p, 0) > count for p, count in enumerate(record_counts)):
                return
            await asyncio.sleep(POLL_EVERY_S)


async def kills(bench: BenchEnvironment, rounds: int) -> list[float]:
    """Kill one of two workers repeatedly; return the seconds until its partitions publish again."""
    found = []
    run_options = _make_run_options(bench, "killed-in", "killed")
    for topic in (run_options.source, run_options.output):
        await create(run_options.bootstrap_servers, topic, PARTITIONS)
    output_ends, rng = await _open_output_ends(run_options), np.random.default_rng(1)
    running = Processes(bench.directory / "killed.log")
    for _ in range(2):
        running.start(WORKER.command(run_options), WORKER.environment)
    sender = _steady(run_options, 3600)
    try:
        for number in range(rounds):
            await output_ends.until_grown(await output_ends.ends(), range(PARTITIONS))
            # Both workers own partitions by now; kill at a random time between two heartbeats.
            await asyncio.sleep(12 + rng.uniform(0, 3))
            victim = running.started.pop(0)
            os.killpg(victim.pid, signal.SIGKILL)
            victim.wait()
            killed = time.monotonic()
            await asyncio.sleep(0.3)  # earlier predictions are still in flight
            await output_ends.until_grown(await output_ends.ends(), range(PARTITIONS))
            found.append(time.monotonic() - killed)
            on_progress(f"SIGKILL {number + 1}: {found[-1]:.1f} s")
            running.start(WORKER.command(run_options), WORKER.environment)
    finally:
        sender.terminate()
        sender.wait()
        await output_ends.consumer.stop()
        running.stop()
    return found


@click.command("recovery")
@common_options
@click.option(
    "--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Number of rounds."
)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=2_000_000, show_default=True, help="Number of events in the backlog.")  # fmt: skip
def recovery_command(rounds: int, events: int, out: Path | None, **options: Any) -> None:
    """Measure the start, the rebuild of an empty Redis, and the pause after a SIGKILL."""

    async def work(bench: BenchEnvironment) -> tuple[list[Rate], list[float], list[float]]:
        return *(await rebuilds(bench, events, rounds)), await kills(bench, rounds)

    live, rebuilt, killed = run_with_servers(options, work)
    rates = [events / seconds for seconds in rebuilt]
    ratios = [rate / run.events_s for rate, run in zip(rates, live, strict=True)]
    table = ["| figure | median (minimum to maximum) |", "|---|---|"]
    for name, values, form in (
        ("from exec to the first prediction, s", [run.first_s for run in live], ".1f"),
        ("from SIGKILL of one of two workers until its partitions publish again, s", killed, ".1f"),
        (
            f"from emptying Redis until it has the states of all {events:,} folded records again, s",
            rebuilt,
            ".1f",
        ),
        ("records/s during the rebuild", rates, ",.0f"),
        ("rebuild rate divided by the live rate of the same run", ratios, ".2f"),
    ):
        table.append(f"| {name} | {statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}}) |")  # fmt: skip
    found = {"live": [asdict(run) for run in live], "rebuilt_s": rebuilt, "killed_s": killed}
    write({"machine": machine(), "events": events, **found}, table, out)


@click.command("memory")
@common_options
@click.option(
    "--minutes",
    type=click.FloatRange(0.5, 1440),
    default=10.0,
    show_default=True,
    help="Duration in minutes.",
)
@click.option("--rate", type=click.IntRange(1, 1_000_000), help="Events sent per second. Default: as many as the worker folds.")  # fmt: skip
def memory_command(minutes: float, rate: int | None, out: Path | None, **options: Any) -> None:
    """Measure the worker's resident set over time, under load."""

    async def work(bench: BenchEnvironment) -> list[tuple[float, float, int]]:
        run_options = _make_run_options(bench, "long-in", "long")
        retention = {
            "retention_bytes": str(RETENTION_BYTES),
            "segment_bytes": str(RETENTION_BYTES // 8),
        }
        for topic in (run_options.source, run_options.output):
            await create(run_options.bootstrap_servers, topic, PARTITIONS, **retention)
        running = Processes(bench.directory / "long.log")
        running.start(WORKER.command(run_options), WORKER.environment)
        sender = start_process(
            "flood" if rate is None else "send",
            bootstrap_servers=run_options.bootstrap_servers,
            topic=run_options.source,
            load=asdict(Load(10_000_000, partitions=PARTITIONS)),
            seconds=60 * minutes,
            **(
                {"output": run_options.output, "backlog": BACKLOG}
                if rate is None
                else {"rate": rate}
            ),
        )
        try:
            async with Progress(
                run_options.bootstrap_servers, run_options.output, PARTITIONS, None
            ) as progress:
                found = await _sample_memory(running, progress.events, 60 * minutes)
                if sender.poll():
                    raise RuntimeError(f"the sender ended with {sender.returncode}")
                return found
        finally:
            sender.terminate()
            sender.wait()
            running.stop()

    samples = run_with_servers(options, work)
    table = ["| minute | RSS, MB | published |", "|---|---|---|"]
    for minute in _minutes_to_show(minutes):
        at, rss, done = min(samples, key=lambda s: abs(s[0] - 60 * minute))
        table.append(f"| {at / 60:.1f} | {rss:,.0f} | {done:,} |")
    later = [rss for at, rss, _ in samples if at >= 60 * min(5.0, minutes / 2)]
    table.append(
        f"\nFrom minute {min(5.0, minutes / 2):g} on: {min(later):,.0f} to {max(later):,.0f} MB."
    )
    write({"machine": machine(), "rate": rate, "samples": samples}, table, out)


async def _sample_memory(
    running: Processes, events: Callable[[], Awaitable[int]], seconds: float
) -> list[tuple[float, float, int]]:
    """Return samples of the seconds, the resident set in MB and the published events."""
    began, found = time.monotonic(), []
    while (at := time.monotonic() - began) < seconds:
        running.require_alive()
        found.append((at, running.rss_mb(), await events()))
        await asyncio.sleep(SAMPLE_EVERY_S)
    return found


def _minutes_to_show(minutes: float) -> list[float]:
    """Return the minutes that the table shows."""
    return [m for m in (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120) if m < minutes] + [
        minutes
    ]
