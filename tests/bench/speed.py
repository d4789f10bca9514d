"""The speed benchmarks: ``python -m tests.bench.speed --help``.

Contenders process the same backlog in turn, for several rounds, on the same Kafka and Redis.  The
results are the medians of the rounds and their ratios.  No benchmark passes or fails.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tests.bench.contenders import CONTENDERS, COPY, COUNT, WORKER
from tests.bench.decode_cost import decode_command
from tests.bench.environment import (
    BenchEnvironment,
    common_options,
    machine,
    median,
    on_progress,
    run_with_servers,
    write,
)
from tests.bench.formats import formats_command
from tests.bench.latency_command import latency_command
from tests.bench.load import Load, bundle_of
from tests.bench.metrics_cost import metrics_command
from tests.bench.profiling import profile_command
from tests.bench.rates import Rate
from tests.bench.recovery import memory_command, recovery_command
from tests.bench.rollout import rollout_command
from tests.bench.shapes import growth_command, shapes_command

QUICK_LIMIT_S = 14.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Measure speed; print figures, and do not judge them."""


@group.command("rates")
@common_options
@click.option(
    "--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Number of rounds."
)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=2_000_000, show_default=True, help="Number of events in the backlog.")  # fmt: skip
@click.option("--only", multiple=True, help="Run only contenders whose name contains this text.")
@click.option("--limit-s", type=click.FloatRange(5, 3600), default=25.0, show_default=True, help="Maximum duration of a run in seconds.")  # fmt: skip
def rates(rounds: int, events: int, only: Sequence[str], limit_s: float, out: Path | None, **options: Any) -> None:  # fmt: skip
    """Measure the rate of each contender on one backlog of 10,000 keys."""
    chosen = [c for c in CONTENDERS if not only or any(word in c.name for word in only)]
    reason_missing = {c.name: c.reason_missing() for c in chosen}
    for name, why in reason_missing.items():
        if why:
            on_progress(f"{name} is omitted: {why}")
    chosen = [c for c in chosen if not reason_missing[c.name]]

    async def work(bench: BenchEnvironment) -> dict[str, list[Rate]]:
        bundle, load = bundle_of(bench.directory), Load(events)
        rates: dict[str, list[Rate]] = {c.name: [] for c in chosen}
        for number in range(rounds):
            for contender in chosen:
                rate = await bench.rate(contender, load, bundle, limit_s=limit_s)
                rates[contender.name].append(rate)
                on_progress(
                    f"round {number + 1}  {contender.name:30} {rate.events_s:>10,.0f} events/s"
                )
        return rates

    runs = run_with_servers(options, work)
    middle = {name: median(rates) for name, rates in runs.items()}
    ours = middle.get(WORKER.name)
    table = ["| contender | events/s | worker's rate divided by this | CPU, µs per event | RSS, MB | first output, s |", "|---|---|---|---|---|---|"]  # fmt: skip
    for contender in chosen:
        rate = middle[contender.name]
        spread = [r.events_s for r in runs[contender.name]]
        ratio = f"{ours.events_s / rate.events_s:,.2f} x" if ours else ""
        table.append(f"| {contender.name} | {rate.events_s:,.0f} ({min(spread):,.0f} to {max(spread):,.0f}) | {ratio} | {rate.cpu_us:.1f} | {rate.rss_mb:,.0f} | {rate.first_s:.1f} |")  # fmt: skip
    about = {
        "machine": machine(),
        "events": events,
        "rounds": rounds,
        "versions": {c.name: c.version() for c in chosen},
        "left_out": {name: why for name, why in reason_missing.items() if why},
        "rates": {name: [asdict(r) for r in rates] for name, rates in runs.items()},
    }
    write(about, table, out)


@group.command("quick")
@common_options
def quick(out: Path | None, **options: Any) -> None:
    """Compare the worker with bare aiokafka and a counting Faust agent, in less than a minute."""

    async def work(bench: BenchEnvironment) -> dict[str, Rate]:
        bundle = bundle_of(bench.directory)
        rates = {}
        for contender, events in ((WORKER, 600_000), (COPY, 600_000), (COUNT, 600_000)):
            load = Load(events)
            rates[contender.name] = await bench.rate(contender, load, bundle, limit_s=QUICK_LIMIT_S)
        return rates

    rates = run_with_servers(options, work)
    ours = rates[WORKER.name].events_s
    table = [f"{name}: {rate.events_s:,.0f} events/s, {rate.cpu_us:.1f} µs of CPU per event; the worker's rate is {ours / rate.events_s:.2f} times this" for name, rate in rates.items()]  # fmt: skip
    write({"machine": machine(), "rates": {n: asdict(r) for n, r in rates.items()}}, table, out)


for command in (latency_command, shapes_command, growth_command, profile_command, recovery_command, rollout_command, memory_command, metrics_command, decode_command, formats_command):  # fmt: skip
    group.add_command(command)

if __name__ == "__main__":
    group()
