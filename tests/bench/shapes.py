"""Measures the worker with other loads: keys, events, cells, partitions and numbers of workers."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from redis.asyncio import Redis

from tests.bench.contenders import WORKER
from tests.bench.environment import (
    BenchEnvironment,
    common_options,
    machine,
    median,
    on_progress,
    run_with_servers,
    write,
)
from tests.bench.load import Load, bundle_of
from tests.bench.rates import Rate

EVEN = "10,000 keys, even"


@dataclass(frozen=True, slots=True)
class Shape:
    """One run: a load, a cell and a number of workers."""

    load: Load
    cell: tuple[str, int, int] = ("gru", 64, 1)
    workers: int = 1
    options: Sequence[str] = ()


def shapes(events: int) -> dict[str, Shape]:
    """Return all shapes by name, the reference with even keys first."""
    return {
        EVEN: Shape(Load(events)),
        "heavy-tailed (Zipf)": Shape(Load(events, spread="zipf")),
        "one key has half of the events": Shape(Load(events, spread="hot")),
        "1,000-byte events": Shape(Load(events, value_bytes=1000)),
        "LSTM-128, two layers": Shape(Load(events), ("lstm", 128, 2)),
        "Elman-32": Shape(Load(events), ("elman", 32, 1)),
        "64 partitions": Shape(Load(events, partitions=64)),
        "2 workers": Shape(Load(events), workers=2),
        "4 workers": Shape(Load(events), workers=4),
    }


def growth(events: int) -> dict[str, dict[int, Shape]]:
    """Return the runs for each growing variable, by its value."""
    return {
        "keys": {n: Shape(Load(events, keys=n)) for n in (10_000, 100_000, 1_000_000)},
        "events": {n: Shape(Load(n)) for n in (events // 4, events // 2, events, 2 * events)},
        "workers": {n: Shape(Load(events), workers=n) for n in (1, 2, 4)},
    }


async def measure(bench: BenchEnvironment, shape: Shape, limit_s: float) -> Rate:
    """Measure one shape."""
    bundle = bundle_of(bench.directory, *shape.cell)
    return await bench.rate(
        WORKER, shape.load, bundle, processes=shape.workers, more=shape.options, limit_s=limit_s
    )


@click.command("shapes")
@common_options
@click.option(
    "--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Number of rounds."
)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=2_000_000, show_default=True, help="Number of events in a run.")  # fmt: skip
def shapes_command(rounds: int, events: int, out: Path | None, **options: Any) -> None:
    """Measure the worker with skewed keys, large events, other cells, partitions and workers."""
    chosen = shapes(events)

    async def work(bench: BenchEnvironment) -> dict[str, list[Rate]]:
        rates: dict[str, list[Rate]] = {name: [] for name in chosen}
        for number in range(rounds):
            for name, shape in chosen.items():
                rates[name].append(await measure(bench, shape, 90.0))
                on_progress(
                    f"round {number + 1}  {name:26} {rates[name][-1].events_s:>10,.0f} events/s"
                )
        return rates

    runs = run_with_servers(options, work)
    middle = {name: median(rates) for name, rates in runs.items()}
    table = ["| load | events/s | relative to even keys | CPU, µs per event | RSS, MB |", "|---|---|---|---|---|"]  # fmt: skip
    table += [
        f"| {name} | {rate.events_s:,.0f} | {rate.events_s / middle[EVEN].events_s:.2f} "
        f"| {rate.cpu_us:.1f} | {rate.rss_mb:,.0f} |"
        for name, rate in middle.items()
    ]
    rates = {name: [asdict(r) for r in rates] for name, rates in runs.items()}
    write({"machine": machine(), "events": events, "rates": rates}, table, out)


@click.command("growth")
@common_options
@click.option(
    "--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Number of rounds."
)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=2_000_000, show_default=True, help="Number of events in a run.")  # fmt: skip
@click.option(
    "--only",
    type=click.Choice(["keys", "events", "workers"]),
    help="Variable that grows. Default: all, one after another.",
)
def growth_command(rounds: int, events: int, only: str | None, out: Path | None, **options: Any) -> None:  # fmt: skip
    """Measure how the CPU per event grows with keys, events and workers."""
    variables = {name: shapes for name, shapes in growth(events).items() if only in (None, name)}

    async def work(
        bench: BenchEnvironment,
    ) -> tuple[dict[str, dict[int, list[Rate]]], dict[int, float]]:
        found: dict[str, dict[int, list[Rate]]] = {}
        bytes_of_key: dict[int, float] = {}
        redis = Redis.from_url(bench.addresses.redis_url)
        for what, along in variables.items():
            for number, shape in along.items():
                for _ in range(rounds):
                    before = (await redis.info("memory"))["used_memory"]
                    rate = await measure(bench, shape, 120.0)
                    found.setdefault(what, {}).setdefault(number, []).append(rate)
                    after = (await redis.info("memory"))["used_memory"]
                    if what == "keys":
                        distinct = len(np.unique(shape.load.key_numbers()))
                        bytes_of_key[number] = (after - before) / distinct
                    # Without SYNC, Redis frees memory later, and the next difference is too small.
                    await redis.execute_command("FLUSHALL", "SYNC")
                    on_progress(f"{what} {number:>10,}  {rate.cpu_us:.2f} µs per event")
        await redis.aclose()
        return found, bytes_of_key

    found, bytes_of_key = run_with_servers(options, work)
    table = ["| variable | value | events/s | CPU, µs per event | Redis, bytes per key |", "|---|---|---|---|---|"]  # fmt: skip
    slopes = {}
    for what, along in found.items():
        costs = {n: statistics.median(r.cpu_us for r in some) for n, some in along.items()}
        doublings = np.log2(list(costs))
        slopes[what] = float(np.polyfit(doublings, np.log2(list(costs.values())), 1)[0])
        for number, some in along.items():
            key_bytes = f"{bytes_of_key[number]:.0f}" if what == "keys" else ""
            rate = median(some).events_s
            table.append(
                f"| {what} | {number:,} | {rate:,.0f} | {costs[number]:.2f} | {key_bytes} |"
            )
        table.append(f"| {what} | | | exponent {slopes[what]:+.3f} | |")
    rates = {w: {n: [asdict(r) for r in some] for n, some in along.items()} for w, along in found.items()}  # fmt: skip
    write({"machine": machine(), "slopes": slopes, "bytes_a_key": bytes_of_key, "rates": rates}, table, out)  # fmt: skip
