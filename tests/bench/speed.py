"""The speed bench: ``python -m tests.bench.speed --help``.

Contenders take turns on one backlog, round after round, on the same Kafka and Redis; what counts is
the median of a contender's rounds, and its ratio to others.  Nothing here passes or fails.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tests.bench.contenders import CONTENDERS, COPY, COUNT, WORKER
from tests.bench.delays import latency_command
from tests.bench.ground import Ground, machine, median, on_ground, on_progress, shared, write
from tests.bench.load import Load, bundle_of
from tests.bench.observed import metrics_command
from tests.bench.rates import Rate
from tests.bench.recovery import memory_command, recovery_command
from tests.bench.shapes import growth_command, shapes_command
from tests.bench.steps import profile_command

QUICK_LIMIT_S = 14.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Measure speed: figures, never a verdict."""


@group.command("rates")
@shared
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=2_000_000, show_default=True)  # fmt: skip
@click.option("--only", multiple=True, help="contenders whose name has this in it")
@click.option("--limit-s", type=click.FloatRange(5, 3600), default=25.0, show_default=True, help="of one run: slow contenders end early")  # fmt: skip
def rates(rounds: int, events: int, only: Sequence[str], limit_s: float, out: Path | None, **options: Any) -> None:  # fmt: skip
    """All contenders on one backlog of 10,000 keys, in turn."""
    chosen = [c for c in CONTENDERS if not only or any(word in c.name for word in only)]
    missing = {c.name: c.missing() for c in chosen}
    for name, why in missing.items():
        if why:
            on_progress(f"{name} is left out: {why}")
    chosen = [c for c in chosen if not missing[c.name]]

    async def work(ground: Ground) -> dict[str, list[Rate]]:
        bundle, load = bundle_of(ground.directory), Load(events)
        found: dict[str, list[Rate]] = {c.name: [] for c in chosen}
        for number in range(rounds):
            for contender in chosen:
                rate = await ground.rate(contender, load, bundle, limit_s=limit_s)
                found[contender.name].append(rate)
                on_progress(
                    f"round {number + 1}  {contender.name:30} {rate.events_s:>10,.0f} events/s"
                )
        return found

    found = on_ground(options, work)
    middle = {name: median(some) for name, some in found.items()}
    ours = middle.get(WORKER.name)
    table = ["| contender | events/s | the worker is | CPU, µs an event | RSS, MB | first output, s |", "|---|---|---|---|---|---|"]  # fmt: skip
    for contender in chosen:
        rate = middle[contender.name]
        spread = [r.events_s for r in found[contender.name]]
        ratio = f"{ours.events_s / rate.events_s:,.2f} x" if ours else ""
        table.append(f"| {contender.name} | {rate.events_s:,.0f} ({min(spread):,.0f} to {max(spread):,.0f}) | {ratio} | {rate.cpu_us:.1f} | {rate.rss_mb:,.0f} | {rate.first_s:.1f} |")  # fmt: skip
    about = {
        "machine": machine(),
        "events": events,
        "rounds": rounds,
        "versions": {c.name: c.version() for c in chosen},
        "left_out": {name: why for name, why in missing.items() if why},
        "rates": {name: [asdict(r) for r in some] for name, some in found.items()},
    }
    write(about, table, out)


@group.command("quick")
@shared
def quick(out: Path | None, **options: Any) -> None:
    """Under a minute: the worker against bare aiokafka and a Faust agent that counts."""

    async def work(ground: Ground) -> dict[str, Rate]:
        bundle = bundle_of(ground.directory)
        found = {}
        for contender, events in ((WORKER, 600_000), (COPY, 600_000), (COUNT, 600_000)):
            load = Load(events)
            found[contender.name] = await ground.rate(
                contender, load, bundle, limit_s=QUICK_LIMIT_S
            )
        return found

    found = on_ground(options, work)
    ours = found[WORKER.name].events_s
    table = [f"{name}: {rate.events_s:,.0f} events/s, {rate.cpu_us:.1f} µs of CPU an event; the worker is {ours / rate.events_s:.2f} x" for name, rate in found.items()]  # fmt: skip
    write({"machine": machine(), "rates": {n: asdict(r) for n, r in found.items()}}, table, out)


for command in (latency_command, shapes_command, growth_command, profile_command, recovery_command, memory_command, metrics_command):  # fmt: skip
    group.add_command(command)

if __name__ == "__main__":
    group()
