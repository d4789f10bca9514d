"""``python -m tests.bench.speed latency``: the latency of predictions at several rates."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from tests.bench.contenders import AT_LEAST_ONCE, CONTENDERS, WORKER, Contender, RunOptions
from tests.bench.environment import (
    BenchEnvironment,
    common_options,
    machine,
    on_progress,
    run_with_servers,
    write,
)
from tests.bench.latency import EDGES_MS, Latency, summary
from tests.bench.load import Load, bundle_of, create
from tests.bench.rates import Processes

RATES = (1_000, 10_000, 70_000)
WARM_UP_S = 8.0
READY_WITHIN_S = 90.0
PARTITIONS = 4


async def measure_latency(
    bench: BenchEnvironment, contender: Contender, bundle: Path, rate: int, seconds: float
) -> Latency:
    """Start a contender, send events at a rate for some seconds, and measure its latency."""
    bench.runs += 1
    app = f"delay-{bench.runs}"
    servers = bench.addresses.bootstrap_servers
    run_options = RunOptions(
        servers,
        bench.addresses.redis_url,
        f"{app}-in",
        f"{app}-out",
        app,
        bundle,
        bench.directory / app,
    )
    run_options.directory.mkdir()
    for topic in (run_options.source, run_options.output):
        await create(servers, topic, PARTITIONS)
    running = Processes(bench.directory / f"{app}.log")
    running.start(contender.command(run_options), contender.environment)
    whole_s = WARM_UP_S + seconds
    try:
        await asyncio.sleep(WARM_UP_S)  # exclude the start
        reader = start_process(
            "read",
            bootstrap_servers=servers,
            topic=run_options.output,
            partitions=PARTITIONS,
            seconds=whole_s + 2,
            warm_up_s=WARM_UP_S,
        )
        assert reader.stdout is not None, "the process has a pipe"
        await asyncio.to_thread(reader.stdout.readline)
        load = Load(int(rate * whole_s) + 1, partitions=PARTITIONS)
        sender = start_process(
            "send",
            bootstrap_servers=servers,
            topic=run_options.source,
            load=asdict(load),
            rate=rate,
            seconds=whole_s,
        )
        delays = np.load(io.BytesIO(await asyncio.to_thread(reader.stdout.read)))
        await asyncio.to_thread(sender.wait)
        running.require_alive()
    finally:
        running.stop()
    if not len(delays):
        raise RuntimeError(f"{contender.name} published nothing within {whole_s:g} s")
    return summary(rate, delays)


def start_process(name: str, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a sender or a reader in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.latency", name, json.dumps(options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@click.command("latency")
@common_options
@click.option("--rate", "rates", type=click.IntRange(1, 1_000_000), multiple=True, default=RATES, show_default=True, help="Events sent per second; repeat for several.")  # fmt: skip
@click.option(
    "--seconds",
    type=click.FloatRange(5, 3600),
    default=20.0,
    show_default=True,
    help="Duration of a run in seconds.",
)
@click.option("--only", multiple=True, help="Run only contenders whose name contains this text; default: the worker.")  # fmt: skip
def latency_command(rates: Sequence[int], seconds: float, only: Sequence[str], out: Path | None, **options: Any) -> None:  # fmt: skip
    """Measure the time from an event's timestamp until a consumer has its prediction."""
    chosen = [
        c for c in CONTENDERS if any(word in c.name for word in only) and not c.reason_missing()
    ]
    chosen = chosen or [WORKER, AT_LEAST_ONCE]

    async def work(bench: BenchEnvironment) -> list[tuple[str, Latency]]:
        bundle, found = bundle_of(bench.directory), []
        for rate in rates:
            for contender in chosen:
                found.append(
                    (contender.name, await measure_latency(bench, contender, bundle, rate, seconds))
                )
                on_progress(f"{contender.name:28} {rate:>7,}/s  {found[-1][1].quantiles_ms}")
        return found

    found = run_with_servers(options, work)
    names = list(found[0][1].quantiles_ms)
    table = [f"| contender | events/s | {' | '.join(f'{n}, ms' for n in names)} |", "|---" * (2 + len(names)) + "|"]  # fmt: skip
    for name, delay in found:
        figures = " | ".join(f"{delay.quantiles_ms[n]:.0f}" for n in names)
        table.append(f"| {name} | {delay.rate:,} | {figures} |")
    write({"machine": machine(), "latency": [{"contender": n, **asdict(d)} for n, d in found]}, table, out)  # fmt: skip
    if out is not None:
        out.with_suffix(".svg").write_text(histogram([(f"{n}, {d.rate:,}/s", d) for n, d in found]))


def histogram(found: Sequence[tuple[str, Latency]]) -> str:
    """Draw a histogram of latencies as SVG, with a row for each run."""
    left, row, wide = 300, 56, 34
    steps = [*(f"{edge:g}" for edge in EDGES_MS), "more"]
    width, height = left + wide * len(steps) + 20, row * len(found) + 50
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="#fff"/>']  # fmt: skip
    for number, (name, delay) in enumerate(found):
        base = (number + 1) * row
        parts.append(f'<text x="8" y="{base - 6}">{name}</text>')
        most = max(delay.histogram.values())
        for at, count in enumerate(delay.histogram.values()):
            bar = (row - 14) * count / most
            parts.append(f'<rect x="{left + at * wide}" y="{base - bar:.1f}" width="{wide - 3}" height="{bar:.1f}" fill="#3567a8"/>')  # fmt: skip
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{base}" y2="{base}" stroke="#888"/>')
    below = row * len(found) + 18
    parts += [f'<text x="{left + at * wide + wide / 2 - 2}" y="{below}" text-anchor="middle">{text}</text>' for at, text in enumerate(steps)]  # fmt: skip
    parts.append(f'<text x="{left}" y="{below + 20}">milliseconds, at most</text></svg>')
    return "\n".join(parts) + "\n"
