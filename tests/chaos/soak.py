"""Runs episodes of faults for a given time; another process compares each with the oracle.

    python -m tests.chaos --minutes 30 --seed 7
    python -m tests.chaos --faults 12 --kind redis-restart-old --kind kill
    python -m tests.chaos --roll-out --each --faults 7 --rate 150 --records 1000000 --promotes 100
    python -m tests.chaos --minutes 10 --bootstrap-servers k1:9092 --redis-url redis://r1:6379/5

On servers of your own, faults touch only workers, the group and the fold's own keys.  All names on
them begin with ``chaos-``; the driver deletes them after each episode.
"""

import asyncio
import json
import logging
import multiprocessing
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import click

from tests.chaos.episode import Episode
from tests.chaos.episode_result import EpisodeResult
from tests.chaos.faults import FAULTS, impossible_needs
from tests.chaos.plan import plan
from tests.chaos.servers import Servers
from tests.chaos.verify import Findings, verify

WAITING_MAX = 8  # partitions in the queue of the oracle
AGAIN_MAX = 3  # episodes for kinds whose moment never came
COMPARING = 2  # processes of the oracle, of low priority


class Soak:
    """Runs episodes and adds up their figures.

    Args:
        directory: Directory of the workers' logs.
        on_line: Callback with each line of the report.
    """

    def __init__(self, directory: Path, on_line) -> None:
        self.directory = directory
        self.on_line = on_line
        self.kinds: Counter = Counter()
        self.missed: Counter = Counter()
        self.counts: Counter = Counter()
        self.verbs: Counter = Counter()
        self.seconds = 0.0
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(COMPARING, context, initializer=_lower_priority)
        self._waiting: deque = deque()

    async def run_episode(
        self, planned, servers: Servers, records_min: int = 0, promotes_min: int = 0
    ) -> bool:
        """Run one episode and queue its comparison; return whether the episode was completed."""
        app = f"chaos-{secrets.token_hex(4)}"
        episode = Episode(planned, app, servers, self.directory, self.on_line, records_min)
        episode.promotes_min = promotes_min
        try:
            result = await episode.run()
        except Exception:  # noqa: BLE001  # counted as broken; the next episode still runs
            self.counts["broken"] += 1
            with suppress(Exception):
                await episode.topics.delete()
            self.on_line(f"BROKEN seed {planned.seed} {app}\n{traceback.format_exc()}")
            return False
        await episode.topics.delete()
        self.kinds += result.kinds
        self.missed += result.missed
        self.counts["episodes"] += 1
        self.counts["records"] += result.records
        self.counts["restarts"] += episode.crew.restarts
        if episode.rollout is not None:
            self.counts["promotes"] += episode.rollout.promotes
            self.counts["requests carried out"] += sum(episode.rollout.partitions_done.values())
            self.verbs += {f"{name} done": n for name, n in episode.rollout.done.items()}
            self.verbs += {f"{name} refused": n for name, n in episode.rollout.refused.items()}
        for outcome in result.outcomes:
            while len(self._waiting) >= WAITING_MAX:
                await self.compare_one()
            future = self._pool.submit(verify, outcome, result.bundles, result.settings)
            self._waiting.append((result, future))
        result.outcomes.clear()
        self.on_line(json.dumps(self.report() | {"by kind": {}}))
        return True

    async def compare_one(self) -> None:
        """Wait for the next comparison with the oracle."""
        result, future = self._waiting.popleft()
        findings = await asyncio.wrap_future(future)
        self._add(result, findings)

    async def compare_all(self) -> None:
        """Wait for all comparisons."""
        while self._waiting:
            await self.compare_one()
        self._pool.shutdown()

    def _add(self, result: EpisodeResult, findings: Findings) -> None:
        self.counts["records compared"] += findings.records
        self.counts["events"] += findings.events
        self.counts["predictions"] += findings.predictions
        self.counts["skipped"] += findings.skipped
        self.counts[f"repeated {result.plan.delivery}"] += findings.repeated
        if result.plan.rolls_out:
            self.counts[f"by two folds {result.plan.delivery}"] += findings.twofold
            self.counts["cut-overs between folds"] += findings.cut_overs
        self.counts["wrong"] += sum(findings.counts.values())
        self.counts.update(findings.counts)
        for offset, text in sorted(findings.wrong):
            self.on_line(f"FOUND seed {result.plan.seed} {result.settings.app} {text}")
            self.on_line(f"      before it: {result.before(findings.partition, offset)}")
        if findings.wrong:
            self.on_line(result.story_text())

    def report(self) -> dict[str, object]:
        """Return the figures of all episodes so far."""
        names = ("missing", "duplicated", "different", "wrong", "broken")
        return {
            "seconds": round(self.seconds),
            "faults": sum(self.kinds.values()),
            "kinds": len(self.kinds),
            **{name: self.counts[name] for name in names},
            **{n: c for n, c in sorted(self.counts.items()) if n not in names},
            "verbs": dict(sorted(self.verbs.items())),
            "by kind": dict(sorted(self.kinds.items())),
            "moment never came": dict(sorted(self.missed.items())),
        }


def _lower_priority() -> None:
    os.nice(10)


def _group_kinds(
    seed: int, faults: int, *, on_cluster: bool, rolls_out: bool = False
) -> list[list[str]]:
    """Group all kinds, or all of a roll-out, into episodes.

    Faults that lose states never mix with deleted records.
    """
    draw = random.Random(seed)
    groups = []
    excluded = impossible_needs(on_cluster=on_cluster, rolls_out=rolls_out)
    possible = [
        one
        for one in FAULTS.values()
        if not one.needs & excluded and (not rolls_out or "rollout" in one.needs)
    ]
    for loses in (True, False):
        kinds = sorted(fault.name for fault in possible if fault.loses_redis is loses)
        draw.shuffle(kinds)
        groups += [kinds[i : i + faults] for i in range(0, len(kinds), faults)]
    return groups


async def soak(
    directory: Path,
    on_line,
    *,
    minutes,
    seed,
    faults,
    brokers,
    addresses,
    each,
    kinds,
    on_cluster,
    rolls_out,
    least_counts,
    **planned,
):
    """Run episodes until the time is over, at least one; return the figures."""
    runner = Soak(directory, on_line)
    began, number = time.monotonic(), 0
    turns = _group_kinds(seed, faults, on_cluster=on_cluster, rolls_out=rolls_out)
    least = len(turns) if each else 1
    shares = [-(-least_counts[name] // least) for name in ("records", "promotes")]
    mixed = [1, 1, 1, 3] if brokers == 0 else [brokers]

    def never() -> list[str]:
        wanted = {name for turn in turns for name in turn} if each else set(runner.missed)
        return sorted(wanted - set(runner.kinds))

    def is_enough() -> bool:
        if number < least or (never() and number < least + AGAIN_MAX):
            return False
        is_over = time.monotonic() - began >= minutes * 60
        return is_over and all(runner.counts[name] >= n for name, n in least_counts.items())

    while not is_enough():
        size = mixed[number % len(mixed)]
        async with Servers(size, *addresses, on_cluster=on_cluster) as servers:
            for _ in range(4):
                chosen = (turns[number] if each and number < len(turns) else never()) or kinds
                planned_episode = plan(
                    seed + number, len(chosen) if each and chosen else faults,
                    brokers=size, kinds=chosen, on_cluster=on_cluster, rolls_out=rolls_out, **planned,
                )  # fmt: skip
                on_line(f"episode {number}, seed {seed + number}")
                went_well = await runner.run_episode(planned_episode, servers, *shares)
                number += 1
                if not went_well or is_enough():
                    break
    await runner.compare_all()
    runner.seconds = time.monotonic() - began
    return runner.report() | {"never injected": never()}


@click.command()
@click.option("--minutes", type=float, default=0, help="Duration in minutes; 0 runs one episode.")
@click.option("--seed", type=int, help="Random seed of the first episode; drawn by default.")
@click.option(
    "--faults", type=int, default=10, show_default=True, help="Number of faults in an episode."
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(sorted(FAULTS)),
    help="Kind of fault to inject; repeat for several. Default: all kinds.",
)
@click.option(
    "--each",
    is_flag=True,
    help="Inject each kind (with --roll-out, each of a roll-out) before drawing kinds at random.",
)
@click.option(
    "--rate", type=float, default=2500, show_default=True, help="Records sent per second."
)
@click.option(
    "--brokers",
    type=click.Choice(["0", "1", "3"]),
    default="0",
    help="Number of brokers; 0 uses 3 in every fourth group of episodes, and 1 in the others.",
)
@click.option(
    "--delivery",
    type=click.Choice(["exactly_once", "at_least_once"]),
    help="Delivery of the workers; drawn by default.",
)
@click.option(
    "--bootstrap-servers", default="", help="Addresses of your own Kafka, which no fault touches."
)
@click.option(
    "--redis-url",
    default="",
    help="URL of your own Redis, of which faults touch only the fold's keys.",
)
@click.option(
    "--replication",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Replication of topics on your own Kafka.",
)
@click.option(
    "--redis-cluster",
    "on_cluster",
    is_flag=True,
    help="Start a Redis Cluster instead of a single Redis.",
)
@click.option(
    "--roll-out", "rolls_out", is_flag=True, help="Promote one of two folds after the other."
)
@click.option(
    "--records", type=click.IntRange(0), default=0, help="Lower bound of the number of records."
)
@click.option(
    "--promotes", type=click.IntRange(0), default=0, help="Lower bound of the number of promotes."
)
@click.option("--keep", is_flag=True, help="Keep the workers' logs.")
@click.option("--list", "listing", is_flag=True, help="List the kinds of faults, and exit.")
def main(minutes, seed, faults, kinds, each, rate, brokers, delivery, bootstrap_servers, redis_url, replication, on_cluster, rolls_out, records, promotes, keep, listing) -> None:  # fmt: skip
    """Inject faults into a fold, and compare its topics and states with the oracle.

    The exit status is 1 if they differ, if an episode broke, or if no fault of a kind was injected
    because its moment never came.
    """
    if listing:
        for name, fault in sorted(FAULTS.items()):
            click.echo(f"{name:45} {(fault.inject.__doc__ or '').strip()}")
        return
    if on_cluster and redis_url:
        raise click.UsageError("--redis-cluster starts a cluster of its own: omit --redis-url")
    if promotes and not rolls_out:
        raise click.UsageError("--promotes needs --roll-out")
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    without = {"kafka"} if bootstrap_servers else set()
    without |= {"redis", "proxy"} if redis_url else set()
    without |= {"proxy"} if bootstrap_servers else set()
    directory = Path(tempfile.mkdtemp(prefix="stream-rnn-soak-"))
    began = time.monotonic()

    def on_line(text: str) -> None:
        click.echo(f"{time.monotonic() - began:8.1f}  {text}", err=True)

    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # it logs the death of brokers at length
    on_line(f"seed {seed}, logs in {directory}")
    report = asyncio.run(
        soak(
            directory, on_line, minutes=minutes, seed=seed, faults=faults, brokers=int(brokers),
            addresses=(bootstrap_servers, redis_url, replication), each=each, kinds=kinds, rate=rate, without=without,
            delivery=delivery or "", on_cluster=on_cluster, rolls_out=rolls_out,
            least_counts={"records": records, "promotes": promotes},
        )
    )  # fmt: skip
    click.echo(json.dumps({"seed": seed, **report}, indent=1))
    is_bad = bool(report["wrong"] or report["broken"] or report["never injected"])
    if not keep and not is_bad:
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if is_bad else 0)
