"""``python -m tests.bench.speed profile``: the worker's time by step and by package."""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from stream_rnn.fold.step_times import STEPS
from tests.bench.contenders import WORKER, RunOptions
from tests.bench.environment import (
    BenchEnvironment,
    common_options,
    machine,
    on_progress,
    run_with_servers,
    write,
)
from tests.bench.load import Load, Spread, bundle_of, create, fill
from tests.bench.rates import Processes, Progress, Rate, measure_rate

STEADY_AFTER_S, RECORDED_S = 7.0, 5
FRAME = re.compile(r"\(([\w/.-]+\.(?:py|pyx)):\d+\)$")
PACKAGES = {"aiokafka", "asyncio", "faust", "mode", "numpy", "pydantic", "redis", "torch"}
RELEASED = re.compile(r"partition released .* events=(\d+) (.*)")


@click.command("profile")
@common_options
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=3_000_000, show_default=True, help="Number of events in the backlog.")  # fmt: skip
@click.option("--spread", type=click.Choice(["even", "zipf", "hot"]), default="even", show_default=True, help="Distribution of events over keys.")  # fmt: skip
def profile_command(events: int, spread: Spread, out: Path | None, **options: Any) -> None:
    """Measure microseconds per event by step; draw a flame graph OUT.svg if py-spy is installed."""

    async def work(bench: BenchEnvironment) -> tuple[Rate, dict[str, float], dict[str, float]]:
        servers, load = bench.addresses.bootstrap_servers, Load(events, spread=spread)
        topic = await fill(servers, load)
        await create(servers, "profile-out", load.partitions)
        run_options = RunOptions(
            servers,
            bench.addresses.redis_url,
            topic,
            "profile-out",
            "profile",
            bundle_of(bench.directory),
            bench.directory,
        )
        running = Processes(bench.directory / "profile.log")
        began = time.monotonic()
        process = running.start(WORKER.command(run_options), WORKER.environment)
        recording = asyncio.create_task(_record(process.pid, out))
        try:
            async with Progress(servers, "profile-out", load.partitions, None) as progress:
                rate = await measure_rate(running, progress, events, began)
            shares = await recording
        finally:
            running.stop()
        return rate, _steps(running.log.read_text(errors="replace")), shares

    rate, steps, shares = run_with_servers(options, work)
    table = ["| step | µs per event of its partition, waits included |", "|---|---|"]
    table += [f"| {number} {name} | {steps[name]:.2f} |" for number, name in enumerate(STEPS, 1)]
    table.append(f"\n{rate.events_s:,.0f} events/s over 4 partitions, {rate.cpu_us:.2f} µs of CPU per event.")  # fmt: skip
    if shares:
        table += [
            "\n| innermost frame in | share of the samples with the interpreter lock |",
            "|---|---|",
        ]
        table += [f"| {name} | {share:.1%} |" for name, share in shares.items() if share >= 0.005]
    result = {"machine": machine(), "rate": asdict(rate), "steps_us": steps, "shares": shares}
    write(result, table, out)


async def _record(pid: int, out: Path | None) -> dict[str, float]:
    """Sample a steady run by py-spy; return the share of each package, by innermost frame."""
    if shutil.which("py-spy") is None:
        on_progress("no shares by package: pip install 'stream-rnn[bench]' for py-spy")
        return {}
    await asyncio.sleep(STEADY_AFTER_S)
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "stacks"
        await _py_spy(pid, raw, "raw")
        shares = _shares(raw.read_text())
    if out is not None:
        await _py_spy(pid, out.with_suffix(".svg"), "flamegraph")
    return shares


async def _py_spy(pid: int, out: Path, form: str) -> None:
    command = ["py-spy", "record", "-p", str(pid), "-d", str(RECORDED_S), "-f", form, "-o", str(out), "--gil"]  # fmt: skip
    await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)


def _shares(stacks: str) -> dict[str, float]:
    """Return the share of samples whose innermost frame is in a package, greatest first."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        match = FRAME.search(frames.rpartition(";")[2])
        counts[_package(match[1]) if match else "other"] += int(count)
    whole = max(1, counts.total())
    return {name: count / whole for name, count in counts.most_common()}


def _package(path: str) -> str:
    parts = Path(path).with_suffix("").parts
    if parts[0] == "stream_rnn":
        return "/".join(parts[:2])
    return parts[0] if parts[0] in PACKAGES else "Python's library"


def _steps(log: str) -> dict[str, float]:
    """Return the microseconds per event of each step, weighting partitions by their events."""
    spent, events = dict.fromkeys(STEPS, 0.0), 0
    for count, step_times in RELEASED.findall(log):
        events += int(count)
        for part in step_times.split():
            name, _, value = part.partition("_us=")
            spent[name] += float(value) * int(count)
    return {name: value / events for name, value in spent.items()}
