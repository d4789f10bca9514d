"""``python -m tests.bench.speed formats``: the worker, by the format of events and predictions."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tests.bench.contenders import WORKER
from tests.bench.encodings import SCHEMA_ID, encodings
from tests.bench.environment import (
    BenchEnvironment,
    common_options,
    machine,
    on_progress,
    run_with_servers,
    write,
)
from tests.bench.load import Load, bundle_of
from tests.bench.rates import Rate
from tests.registry_server import RegistryServer


@click.command("formats")
@common_options
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Number of rounds."
)
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=1_000_000, show_default=True, help="Number of events in the backlog.")  # fmt: skip
@click.option("--format", "formats", multiple=True, type=click.Choice(sorted(encodings())), default=["avro"], show_default=True, help="Format to compare with JSON.")  # fmt: skip
@click.option("--limit-s", type=click.FloatRange(5, 3600), default=60.0, show_default=True, help="Maximum duration of a run in seconds.")  # fmt: skip
def formats_command(rounds: int, events: int, formats: Sequence[str], limit_s: float, out: Path | None, **options: Any) -> None:  # fmt: skip
    """Measure the worker with events and predictions in JSON, and in other formats, in turn."""
    names = ["json", *formats]

    async def work(bench: BenchEnvironment) -> dict[str, list[Rate]]:
        rates: dict[str, list[Rate]] = {name: [] for name in names}
        with RegistryServer() as registry:
            for number in range(rounds):
                # Every other round is in reverse, so that no format is always the first one.
                for name in names if number % 2 == 0 else names[::-1]:
                    rates[name].append(await _rate(bench, registry, name, events, limit_s))
                    on_progress(f"round {number + 1}  {name:12} {_text(rates[name][-1])}")
        return rates

    runs = run_with_servers(options, work)
    table = ["| events and predictions | events/s | relative to JSON (median of the ratios) | CPU, µs per event | CPU, relative to JSON |", "|---|---|---|---|---|"]  # fmt: skip
    for name, rates in runs.items():
        pairs = list(zip(rates, runs["json"], strict=True))
        speed = [rate.events_s / plain.events_s for rate, plain in pairs]
        cost = [rate.cpu_us / plain.cpu_us for rate, plain in pairs]
        table.append(
            f"| {encodings()[name].title if name != 'json' else 'JSON'} "
            f"| {statistics.median(rate.events_s for rate in rates):,.0f} "
            f"| {statistics.median(speed):.2f} ({min(speed):.2f} to {max(speed):.2f}) "
            f"| {statistics.median(rate.cpu_us for rate in rates):.2f} "
            f"| {statistics.median(cost):.2f} |"
        )
    found = {name: [asdict(rate) for rate in rates] for name, rates in runs.items()}
    write({"machine": machine(), "events": events, "rates": found}, table, out)


async def _rate(
    bench: BenchEnvironment, registry: RegistryServer, name: str, events: int, limit_s: float
) -> Rate:
    """Measure a worker that reads and writes one format."""
    load, more = Load(events, format=name), []
    if name != "json":
        schema = encodings()[name].schema
        others = {key: known for key, known in registry.ids.items() if known != SCHEMA_ID}
        registry.ids = {(schema.kind, schema.text): SCHEMA_ID, **others}
        registry.next_id = max(SCHEMA_ID, *registry.ids.values()) + 1
        more = [
            f"--schema-registry-url={registry.url}",
            f"--predictions-format={name}",
            "--schema-auto-register",
        ]
    return await bench.rate(WORKER, load, bundle_of(bench.directory), more=more, limit_s=limit_s)


def _text(rate: Rate) -> str:
    return f"{rate.events_s:>10,.0f} events/s  {rate.cpu_us:.2f} µs of CPU per event"
