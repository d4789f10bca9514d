"""``python -m tests.bench.speed rollout``: what a roll-out costs the fold in charge and its readers.

One worker runs from the beginning to the end.  A backlog that never ends gives the rate of the fold
in charge; events at a constant rate give the latency and the pauses.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import torch
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.operate.rollout_status import open_rollout
from stream_rnn.settings import Settings
from tests.bench.contenders import AT_LEAST_ONCE, WORKER, Contender, RunOptions
from tests.bench.environment import (
    BenchEnvironment,
    common_options,
    machine,
    on_progress,
    run_with_servers,
    write,
)
from tests.bench.latency_command import start_process
from tests.bench.load import SPEC, Load, bundle_of, create, fill
from tests.bench.rates import Processes
from tests.bench.rollout_figures import PARTITIONS, RATE, Figures, table_of
from tests.bench.rollout_person import POLL_EVERY_S, WITHIN_S, Person
from tests.bench.rollout_reader import end_reader, start_reader, wall_s

BACKLOG = 200_000
FIRST_EVENTS = 20_000
FLOOD_S = 5.0  # longer than a window, because it begins before that
SETTLE_S = 2.0  # after a change, before it is measured


@dataclass(slots=True)
class RolloutBench:
    """The measurement of one worker.

    Attributes:
        run_options: Names and addresses.
        running: The worker.
        person: Who rolls out.
        consumer: Consumer for the ends of the output.
        seconds: Length of a window.
        figures: What is measured.
    """

    run_options: RunOptions
    running: Processes
    person: Person
    consumer: AIOKafkaConsumer
    seconds: float
    figures: Figures = field(default_factory=Figures)

    async def published(self) -> int:
        """Return the number of published predictions, and markers of transactions."""
        places = [TopicPartition(self.run_options.output, p) for p in range(PARTITIONS)]
        return sum((await self.consumer.end_offsets(places)).values())

    async def measure_rate(self, state: str) -> None:
        """Measure the rate of the fold in charge while a backlog waits, then wait for its end."""
        servers, load = self.run_options.bootstrap_servers, Load(partitions=PARTITIONS)
        flood = start_process(
            "flood",
            bootstrap_servers=servers,
            topic=self.run_options.source,
            load=asdict(load),
            output=self.run_options.output,
            backlog=BACKLOG,
            seconds=FLOOD_S + self.seconds,
        )
        await self.until_grown(FIRST_EVENTS)
        first, began_s = await self.published(), time.monotonic()
        await asyncio.to_thread(flood.wait)
        rate = (await self.published() - first) / (time.monotonic() - began_s)
        self.figures.rates[state].append(rate)
        on_progress(f"{state:8} {rate:>10,.0f} events/s with a backlog")
        await self.until_idle()

    async def until_started(self) -> None:
        """Send a few events, and wait until the worker has published them."""
        load = Load(FIRST_EVENTS, partitions=PARTITIONS)
        await fill(self.run_options.bootstrap_servers, load, self.run_options.source)
        await self.until_grown(FIRST_EVENTS - await self.published())

    async def until_grown(self, count: int) -> None:
        """Wait until a number of predictions more is published."""
        last = await self.published() + count
        async with asyncio.timeout(WITHIN_S):
            while await self.published() < last:
                self.running.require_alive()
                await asyncio.sleep(POLL_EVERY_S)

    async def until_idle(self) -> None:
        """Wait until the worker has published all that was sent."""
        last = -1
        while last != (last := await self.published()):
            self.running.require_alive()
            await asyncio.sleep(1)

    async def measure_latencies(self) -> None:
        """Measure a window without a candidate, with one that warms, and with a warm one."""
        await self._window("without", self.seconds)
        began_s, begun = time.monotonic(), wall_s()
        await self.person.start()
        await asyncio.sleep(SETTLE_S)
        is_warm = await self.person.until_warm(self.seconds)
        self.figures.windows["warming"].append((begun + SETTLE_S, wall_s()))
        if not is_warm:
            await self.person.until_warm()
        self.figures.warm_s.append(time.monotonic() - began_s)
        on_progress(f"warm after {self.figures.warm_s[-1]:.1f} s")
        await self._window("warm", self.seconds)

    async def _window(self, state: str, seconds: float) -> None:
        await asyncio.sleep(SETTLE_S)
        begun = wall_s()
        await asyncio.sleep(seconds)
        self.running.require_alive()
        self.figures.windows[state].append((begun, wall_s()))

    async def measure_pauses(self, promotes: int, limit_s: float) -> None:
        """Promote the new fold and the old one in turns."""
        deadline = time.monotonic() + limit_s
        for number in range(promotes):
            if time.monotonic() > deadline:
                on_progress(f"only {number} promotes within {limit_s:g} s")
                return
            began_s = time.monotonic()
            await self.person.promote("old" if number % 2 else "new")
            self.figures.promotes_s.append(time.monotonic() - began_s)
            self.running.require_alive()

    async def run(self, rounds: int, promotes: int, limit_s: float) -> Figures:
        """Measure everything."""
        await self.until_started()
        await self.measure_rate("without")
        reader = start_reader(
            bootstrap_servers=self.run_options.bootstrap_servers,
            topic=self.run_options.output,
            partitions=PARTITIONS,
        )
        sender = start_process(
            "send",
            bootstrap_servers=self.run_options.bootstrap_servers,
            topic=self.run_options.source,
            load=asdict(Load(partitions=PARTITIONS)),
            rate=RATE,
            seconds=3600,
        )
        try:
            await self.until_grown(RATE)
            for number in range(rounds):
                if number:
                    await self.person.finish()
                await self.measure_latencies()
            await self.measure_pauses(promotes, limit_s)
        finally:
            sender.terminate()
            self.figures.arrivals = await asyncio.to_thread(end_reader, reader)
        await self.until_idle()
        await self.measure_rate("warm")
        await self.person.until_warm()
        if len(self.figures.promotes_s) % 2:
            await self.person.promote("old")
        await self.person.finish()
        await self.measure_rate("without")
        return self.figures


def new_bundle_of(directory: Path) -> Path:
    """Create an untrained bundle with other weights than ``bundle_of``."""
    path = directory / "new"
    if not path.exists():
        torch.manual_seed(2)
        cell = CellSpec(kind="gru", hidden=64, layers=1)
        save_bundle(Model.initialize(FeatureSpec.parse(SPEC, "bench"), cell), path)
    return path


@asynccontextmanager
async def open_bench(
    bench: BenchEnvironment, contender: Contender, seconds: float
) -> AsyncIterator[RolloutBench]:
    """Start a worker, and open the clients of a person."""
    bench.runs += 1
    name, addresses = f"rollout-{bench.runs}", bench.addresses
    run_options = RunOptions(
        addresses.bootstrap_servers,
        addresses.redis_url,
        f"{name}-in",
        f"{name}-out",
        name,
        bundle_of(bench.directory),
        bench.directory / name,
    )
    run_options.directory.mkdir()
    for topic in (run_options.source, run_options.output):
        await create(addresses.bootstrap_servers, topic, PARTITIONS)
    settings = Settings.build(
        app=name,
        source=run_options.source,
        predictions=run_options.output,
        bundle=str(run_options.bundle),
        bootstrap_servers=addresses.bootstrap_servers,
        redis_url=addresses.redis_url,
    ).of_fold()
    new_bundle = str(new_bundle_of(bench.directory))
    running = Processes(bench.directory / f"{name}.log")
    consumer = AIOKafkaConsumer(bootstrap_servers=addresses.bootstrap_servers)
    await consumer.start()
    try:
        running.start(contender.command(run_options), contender.environment)
        async with open_rollout(settings) as rollout:
            of_new = settings.model_copy(update={"bundle": new_bundle})
            person = Person(rollout, replace(rollout, settings=of_new))
            yield RolloutBench(run_options, running, person, consumer, seconds)
    finally:
        running.stop()
        await consumer.stop()


@click.command("rollout")
@common_options
@click.option("--seconds", type=click.FloatRange(2, 600), default=10.0, show_default=True, help="Length of each window in seconds.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Number of rounds of the latencies.")  # fmt: skip
@click.option("--promotes", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Number of promotes back and forth, each of all partitions.")  # fmt: skip
@click.option("--promotes-limit-s", "limit_s", type=click.FloatRange(1, 3600), default=300.0, show_default=True, help="Maximum duration of the promotes in seconds.")  # fmt: skip
@click.option("--delivery", type=click.Choice(["exactly_once", "at_least_once"]), default="exactly_once", show_default=True, help="Delivery of the worker.")  # fmt: skip
def rollout_command(seconds: float, rounds: int, promotes: int, limit_s: float, delivery: str, out: Path | None, **options: Any) -> None:  # fmt: skip
    """Measure latency, rate and pauses of a worker while another model is rolled out."""
    contender = WORKER if delivery == "exactly_once" else AT_LEAST_ONCE

    async def work(bench: BenchEnvironment) -> Figures:
        async with open_bench(bench, contender, seconds) as measured:
            return await measured.run(rounds, promotes, limit_s)

    began_s = time.monotonic()
    table, result = table_of(run_with_servers(options, work))
    table.append(f"| duration of this measurement, s | {time.monotonic() - began_s:.0f} |")
    write({"machine": machine(), "delivery": delivery, **result}, table, out)
