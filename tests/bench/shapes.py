"""The worker alone, over other loads: which shape of a stream costs what."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from redis.asyncio import Redis

from tests.bench.contenders import WORKER
from tests.bench.ground import Ground, machine, median, on_ground, on_progress, shared, write
from tests.bench.load import Load, bundle_of
from tests.bench.rates import Rate

EVEN = "10,000 keys, even"


@dataclass(frozen=True, slots=True)
class Shape:
    """One run: a load, a model, and how many workers."""

    load: Load
    cell: tuple[str, int, int] = ("gru", 64, 1)
    workers: int = 1
    options: Sequence[str] = ()


def shapes(events: int) -> dict[str, Shape]:
    """Return all shapes by name, the common one first."""
    return {
        EVEN: Shape(Load(events)),
        "heavy-tailed (Zipf)": Shape(Load(events, spread="zipf")),
        "one key has half of all": Shape(Load(events, spread="hot")),
        "1,000-byte events": Shape(Load(events, value_bytes=1000)),
        "LSTM-128, two layers": Shape(Load(events), ("lstm", 128, 2)),
        "Elman-32": Shape(Load(events), ("elman", 32, 1)),
        "64 partitions": Shape(Load(events, partitions=64)),
        "2 workers": Shape(Load(events), workers=2),
        "4 workers": Shape(Load(events), workers=4),
    }


def growth(events: int) -> dict[str, dict[int, Shape]]:
    """Return what grows, and the runs along it."""
    return {
        "keys": {n: Shape(Load(events, keys=n)) for n in (10_000, 100_000, 1_000_000)},
        "events": {n: Shape(Load(n)) for n in (events // 4, events // 2, events, 2 * events)},
        "workers": {n: Shape(Load(events), workers=n) for n in (1, 2, 4)},
    }


async def measure(ground: Ground, shape: Shape, limit_s: float) -> Rate:
    """Run one shape."""
    bundle = bundle_of(ground.directory, *shape.cell)
    return await ground.rate(
        WORKER, shape.load, bundle, processes=shape.workers, more=shape.options, limit_s=limit_s
    )


@click.command("shapes")
@shared
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=2_000_000, show_default=True)  # fmt: skip
def shapes_command(rounds: int, events: int, out: Path | None, **options: Any) -> None:
    """The worker over skewed keys, large events, other cells, more partitions and workers."""
    wanted = shapes(events)

    async def work(ground: Ground) -> dict[str, list[Rate]]:
        found: dict[str, list[Rate]] = {name: [] for name in wanted}
        for number in range(rounds):
            for name, shape in wanted.items():
                found[name].append(await measure(ground, shape, 90.0))
                on_progress(
                    f"round {number + 1}  {name:26} {found[name][-1].events_s:>10,.0f} events/s"
                )
        return found

    found = on_ground(options, work)
    middle = {name: median(some) for name, some in found.items()}
    table = ["| shape | events/s | to the even case | CPU, µs an event | RSS, MB |", "|---|---|---|---|---|"]  # fmt: skip
    table += [
        f"| {name} | {rate.events_s:,.0f} | {rate.events_s / middle[EVEN].events_s:.2f} "
        f"| {rate.cpu_us:.1f} | {rate.rss_mb:,.0f} |"
        for name, rate in middle.items()
    ]
    rates = {name: [asdict(r) for r in some] for name, some in found.items()}
    write({"machine": machine(), "events": events, "rates": rates}, table, out)


@click.command("growth")
@shared
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=2_000_000, show_default=True)  # fmt: skip
@click.option("--only", type=click.Choice(["keys", "events", "workers"]), help="default: all")
def growth_command(rounds: int, events: int, only: str | None, out: Path | None, **options: Any) -> None:  # fmt: skip
    """How the CPU of an event grows with keys, events and workers; Redis bytes of a key."""
    wanted = {what: along for what, along in growth(events).items() if only in (None, what)}

    async def work(ground: Ground) -> tuple[dict[str, dict[int, list[Rate]]], dict[int, float]]:
        found: dict[str, dict[int, list[Rate]]] = {}
        bytes_of_key: dict[int, float] = {}
        redis = Redis.from_url(ground.addresses.redis_url)
        for what, along in wanted.items():
            for number, shape in along.items():
                for _ in range(rounds):
                    before = (await redis.info("memory"))["used_memory"]
                    rate = await measure(ground, shape, 120.0)
                    found.setdefault(what, {}).setdefault(number, []).append(rate)
                    after = (await redis.info("memory"))["used_memory"]
                    if what == "keys":
                        distinct = len(np.unique(shape.load.key_numbers()))
                        bytes_of_key[number] = (after - before) / distinct
                    # Without SYNC memory is freed later, and the next difference is too small.
                    await redis.execute_command("FLUSHALL", "SYNC")
                    on_progress(f"{what} {number:>10,}  {rate.cpu_us:.2f} µs an event")
        await redis.aclose()
        return found, bytes_of_key

    found, bytes_of_key = on_ground(options, work)
    table = ["| what grows | to | events/s | CPU, µs an event | Redis, bytes a key |", "|---|---|---|---|---|"]  # fmt: skip
    slopes = {}
    for what, along in found.items():
        costs = {n: statistics.median(r.cpu_us for r in some) for n, some in along.items()}
        doublings = np.log2(list(costs))
        slopes[what] = float(np.polyfit(doublings, np.log2(list(costs.values())), 1)[0])
        for number, some in along.items():
            held = f"{bytes_of_key[number]:.0f}" if what == "keys" else ""
            rate = median(some).events_s
            table.append(f"| {what} | {number:,} | {rate:,.0f} | {costs[number]:.2f} | {held} |")
        table.append(f"| {what} | | | exponent {slopes[what]:+.3f} | |")
    rates = {w: {n: [asdict(r) for r in some] for n, some in along.items()} for w, along in found.items()}  # fmt: skip
    write({"machine": machine(), "slopes": slopes, "bytes_a_key": bytes_of_key, "rates": rates}, table, out)  # fmt: skip
