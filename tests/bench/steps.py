"""``python -m tests.bench.speed profile``: where the worker's time goes."""

import asyncio
import re
import shutil
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from stream_rnn.fold.step_times import STEPS
from tests.bench.contenders import WORKER, Place
from tests.bench.ground import Ground, machine, on_ground, say, shared, write
from tests.bench.load import Load, Spread, bundle_of, create, fill
from tests.bench.rates import Processes, Progress, Rate, rate_of

STEADY_AFTER_S, RECORDED_S = 7.0, 8
RELEASED = re.compile(r"partition released .* events=(\d+) (.*)")


@click.command("profile")
@shared
@click.option("--events", type=click.IntRange(10_000, 100_000_000), default=3_000_000, show_default=True)  # fmt: skip
@click.option("--spread", type=click.Choice(["even", "zipf", "hot"]), default="even", show_default=True, help="of events over keys")  # fmt: skip
def profile_command(events: int, spread: Spread, out: Path | None, **options: Any) -> None:
    """Microseconds an event by numbered step, and a flame graph OUT.svg if py-spy is installed."""

    async def work(ground: Ground) -> tuple[Rate, dict[str, float]]:
        servers, load = ground.addresses.bootstrap_servers, Load(events, spread=spread)
        topic = await fill(servers, load)
        await create(servers, "profile-out", load.partitions)
        place = Place(
            servers,
            ground.addresses.redis_url,
            topic,
            "profile-out",
            "profile",
            bundle_of(ground.directory),
            ground.directory,
        )
        running = Processes(ground.directory / "profile.log")
        began = time.monotonic()
        process = running.start(WORKER.command(place), WORKER.environment)
        recording = asyncio.create_task(_record(process.pid, out))
        try:
            async with Progress(servers, "profile-out", load.partitions, None) as progress:
                rate = await rate_of(running, progress, events, began)
            await recording
        finally:
            running.stop()
        return rate, _steps(running.log.read_text(errors="replace"))

    rate, steps = on_ground(options, work)
    table = ["| step | µs an event of its partition, waits included |", "|---|---|"]
    table += [f"| {number} {name} | {steps[name]:.2f} |" for number, name in enumerate(STEPS, 1)]
    table.append(f"\n{rate.events_s:,.0f} events/s over 4 partitions, {rate.cpu_us:.2f} µs of CPU an event.")  # fmt: skip
    write({"machine": machine(), "rate": asdict(rate), "steps_us": steps}, table, out)


async def _record(pid: int, out: Path | None) -> None:
    """Record a steady run; it does not wait for the process's other threads."""
    if out is None or shutil.which("py-spy") is None:
        say("no flame graph: give --out, and pip install 'stream-rnn[bench]' for py-spy")
        return
    await asyncio.sleep(STEADY_AFTER_S)
    svg = str(out.with_suffix(".svg"))
    command = ["py-spy", "record", "-p", str(pid), "-d", str(RECORDED_S), "-o", svg]
    await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)


def _steps(log: str) -> dict[str, float]:
    """Return each step's microseconds an event; a partition counts by its events."""
    spent, events = dict.fromkeys(STEPS, 0.0), 0
    for count, said in RELEASED.findall(log):
        events += int(count)
        for part in said.split():
            name, _, value = part.partition("_us=")
            spent[name] += float(value) * int(count)
    return {name: value / events for name, value in spent.items()}
