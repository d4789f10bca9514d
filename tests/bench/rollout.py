"""``python -m tests.bench.speed rollout``: what a roll-out costs the fold in charge and its readers.

One worker runs from the beginning to the end.  A backlog that never ends gives the rate of the fold
in charge; events at a constant rate give the latency and the pauses.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_rnn.errors import StreamRNNError
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.operate import rollout_requests, rollout_start
from stream_rnn.operate.rollout_status import OpenRollout, open_rollout
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
from tests.bench.rollout_reader import Arrivals, end_reader, start_reader, wall_s

PARTITIONS = 4
RATE = 10_000
WITHIN_S = 240.0
BACKLOG = 200_000
FIRST_EVENTS = 20_000
FLOOD_S = 5.0  # longer than a window, because it begins before that
SETTLE_S = 2.0  # after a change, before it is measured
POLL_EVERY_S = 0.2
STATES = ("without", "warming", "warm")


@dataclass(slots=True)
class Figures:
    """What is measured.

    Attributes:
        windows: Windows of the wall clock, by the state of the candidate.
        rates: Events/s of the fold in charge with a backlog, without a candidate and with a warm one.
        warm_s: Seconds that each candidate took to get warm.
        promotes_s: Seconds from each promote until it was done in all partitions.
        arrivals: Arrivals of predictions.
    """

    windows: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {state: [] for state in STATES}
    )
    rates: dict[str, list[float]] = field(default_factory=lambda: {"without": [], "warm": []})
    warm_s: list[float] = field(default_factory=list)
    promotes_s: list[float] = field(default_factory=list)
    arrivals: Arrivals | None = None


@dataclass(slots=True)
class Person:
    """A person who rolls the new bundle out, and back."""

    rollout: OpenRollout
    new: OpenRollout
    new_fold: str = ""

    async def start(self) -> None:
        """Start a roll-out; a worker reports once a second, so the first tries may be refused."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                proposal = await rollout_start.propose(self.new)
                plan = await rollout_start.start(self.new, proposal)
            except StreamRNNError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
            else:
                self.new_fold = plan.fold_ids[1]
                return

    async def is_warm(self) -> bool:
        """Return whether the candidate is near the group offset of each partition."""
        lags = [p.lag(self.new_fold) for p in (await self.rollout.status()).partitions]
        near = self.rollout.settings.batch_events_max
        return all(lag is not None and lag <= near for lag in lags)

    async def until_warm(self, within_s: float = WITHIN_S) -> bool:
        """Wait until the candidate is warm; return whether it is."""
        deadline = time.monotonic() + within_s
        while not await self.is_warm():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_EVERY_S)
        return True

    async def promote(self, fold: str) -> None:
        """Promote a fold, and wait until it is in charge of all partitions."""
        made = await rollout_requests.promote(self.rollout, fold)
        if failed := await rollout_requests.wait_for(self.rollout, made, WITHIN_S):
            raise RuntimeError(f"a promote failed: {failed}")

    async def finish(self) -> None:
        """Drop the states of the fold that is not in charge."""
        await rollout_requests.finish(self.rollout, WITHIN_S)


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


def _table(figures: Figures) -> tuple[list[str], dict[str, Any]]:
    """Return the lines to print, and the figures for JSON."""
    arrivals = figures.arrivals
    assert arrivals is not None, "the run has ended"
    p99 = {}
    for state in STATES:
        delays = arrivals.delays_ms(figures.windows[state])
        p99[state] = float(np.quantile(delays, 0.99)) if len(delays) else float("nan")
    without, warm = (statistics.mean(figures.rates[state]) for state in ("without", "warm"))
    pauses = sorted(arrivals.pauses_s().values())
    first_s, last_s = figures.windows["warm"][-1]
    usual = float(np.quantile(arrivals.gaps_s(first_s, last_s), 0.99))
    fold = p99["without"]
    shown = [f"{p99[state]:.0f} {state} ({p99[state] / fold:.2f} x)" for state in STATES]
    rates = f"{without:,.0f} without, {warm:,.0f} warm ({warm / without:.2f} x)"
    middle, most = statistics.median(pauses), np.quantile(pauses, 0.99)
    spread = f"worst {pauses[-1]:.2f}, p99 {most:.2f}, median {middle:.2f}"
    promotes = figures.promotes_s
    times = f"worst {max(promotes):.1f}, median {statistics.median(promotes):.1f}"
    rows = {
        f"p99 at {RATE:,} events/s by the state of the candidate, ms": ", ".join(shown),
        "events/s of the fold in charge with a backlog": rates,
        f"pause of {len(pauses)} cut-overs in {len(promotes)} promotes, s": spread,
        "p99 between two fetches of a partition without a cut-over, s": f"{usual:.2f}",
        f"from a promote until it is done in {PARTITIONS} partitions, s": times,
        "until the candidate was warm, s": ", ".join(f"{s:.0f}" for s in figures.warm_s),
    }
    result = {
        "p99_ms": p99,
        "rates": figures.rates,
        "pauses_s": pauses,
        "promotes_s": figures.promotes_s,
        "warm_s": figures.warm_s,
    }
    table = ["| figure | value |", "|---|---|", *(f"| {n} | {v} |" for n, v in rows.items())]
    return table, result


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
    table, result = _table(run_with_servers(options, work))
    table.append(f"| duration of this measurement, s | {time.monotonic() - began_s:.0f} |")
    write({"machine": machine(), "delivery": delivery, **result}, table, out)
