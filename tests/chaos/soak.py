"""Episodes of faults for a given time, each compared with the oracle in a process beside.

    python -m tests.chaos --minutes 30 --seed 7
    python -m tests.chaos --faults 12 --kind redis-restart-old --kind kill
    python -m tests.chaos --minutes 10 --bootstrap-servers k1:9092 --redis-url redis://r1:6379/5

With servers of your own only workers, the group and the fold's own keys are hurt.  Everything that
is left on them has a name that begins with ``chaos-``, and is removed after each episode.
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

from tests.chaos.episode import Episode, Happened
from tests.chaos.faults import FAULTS, impossible
from tests.chaos.plan import plan
from tests.chaos.servers import Servers
from tests.chaos.verify import Findings, verify

WAITING_MAX = 8  # partitions that wait for the oracle


class Soak:
    """Runs episodes and adds up.

    Args:
        directory: of the workers' logs.
        say: told each line.
    """

    def __init__(self, directory: Path, say) -> None:
        self.directory = directory
        self.say = say
        self.kinds: Counter = Counter()
        self.counts: Counter = Counter()
        self.seconds = 0.0
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=_behave)
        self._waiting: deque = deque()

    async def episode(self, planned, servers: Servers) -> bool:
        """Run one episode, and give what is left to the oracle; tell whether it came to its end."""
        app = f"chaos-{secrets.token_hex(4)}"
        episode = Episode(planned, app, servers, self.directory, self.say)
        try:
            happened = await episode.run()
        except Exception:  # noqa: BLE001  # a finding; the next episode is tried all the same
            self.counts["broken"] += 1
            with suppress(Exception):
                await episode.topics.delete()
            self.say(f"BROKEN seed {planned.seed} {app}\n{traceback.format_exc()}")
            return False
        await episode.topics.delete()
        self.kinds += happened.kinds
        self.counts["episodes"] += 1
        self.counts["records"] += happened.records
        self.counts["restarts"] += episode.crew.restarts
        for left in happened.left:
            while len(self._waiting) >= WAITING_MAX:
                await self.compare_one()
            future = self._pool.submit(verify, left, happened.bundles, happened.settings)
            self._waiting.append((happened, future))
        happened.left.clear()
        self.say(json.dumps(self.report() | {"by kind": {}}))
        return True

    async def compare_one(self) -> None:
        """Wait for the oracle's next answer."""
        happened, future = self._waiting.popleft()
        found = await asyncio.wrap_future(future)
        self._add(happened, found)

    async def compare_all(self) -> None:
        """Wait for all of them."""
        while self._waiting:
            await self.compare_one()
        self._pool.shutdown()

    def _add(self, happened: Happened, found: Findings) -> None:
        self.counts["events"] += found.events
        self.counts["predictions"] += found.predictions
        self.counts["skipped"] += found.skipped
        self.counts[f"repeated {happened.plan.delivery}"] += found.repeated
        self.counts["wrong"] += sum(found.counts.values())
        self.counts.update(found.counts)
        for offset, text in sorted(found.wrong):
            self.say(f"FOUND seed {happened.plan.seed} {happened.settings.app} {text}")
            self.say(f"      before it: {happened.before(found.partition, offset)}")
        if found.wrong:
            self.say(happened.told())

    def report(self) -> dict[str, object]:
        """Return the figures."""
        names = ("missing", "duplicated", "different", "wrong", "broken")
        return {
            "seconds": round(self.seconds),
            "faults": sum(self.kinds.values()),
            "kinds": len(self.kinds),
            **{name: self.counts[name] for name in names},
            **{n: c for n, c in sorted(self.counts.items()) if n not in names},
            "by kind": dict(sorted(self.kinds.items())),
        }


def _behave() -> None:
    os.nice(10)


def _in_turn(seed: int, faults: int, *, on_cluster: bool) -> list[list[str]]:
    """Group all kinds into episodes, those apart that cannot follow a deletion of records."""
    draw = random.Random(seed)
    found = []
    possible = [o for o in FAULTS.values() if not o.needs & impossible(on_cluster=on_cluster)]
    for loses in (True, False):
        kinds = sorted(one.name for one in possible if one.loses_redis is loses)
        draw.shuffle(kinds)
        found += [kinds[i : i + faults] for i in range(0, len(kinds), faults)]
    return found


async def soak(
    directory: Path,
    say,
    *,
    minutes,
    seed,
    faults,
    brokers,
    addresses,
    each,
    kinds,
    on_cluster,
    **planned,
):
    """Run episodes until the time is over; one, if there is none."""
    found = Soak(directory, say)
    began, number, turns = time.monotonic(), 0, _in_turn(seed, faults, on_cluster=on_cluster)
    least = len(turns) if each else 1
    mixed = [1, 1, 1, 3] if brokers == 0 else [brokers]
    while number < least or time.monotonic() - began < minutes * 60:
        size = mixed[number % len(mixed)]
        async with Servers(size, *addresses, on_cluster=on_cluster) as servers:
            for _ in range(4):
                chosen = turns[number] if each and number < len(turns) else kinds
                one = plan(
                    seed + number, len(chosen) if each and chosen else faults,
                    brokers=size, kinds=chosen, on_cluster=on_cluster, **planned,
                )  # fmt: skip
                say(f"episode {number}, seed {seed + number}")
                went_well = await found.episode(one, servers)
                number += 1
                if not went_well or (number >= least and time.monotonic() - began >= minutes * 60):
                    break
    await found.compare_all()
    found.seconds = time.monotonic() - began
    return found.report()


@click.command()
@click.option("--minutes", type=float, default=0, help="how long; default: one episode")
@click.option("--seed", type=int, help="of the first episode; default: drawn")
@click.option("--faults", type=int, default=10, show_default=True, help="of an episode")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(sorted(FAULTS)), help="only these"
)
@click.option("--each", is_flag=True, help="each kind once, before any is drawn")
@click.option("--rate", type=float, default=2500, show_default=True, help="records a second")
@click.option(
    "--brokers",
    type=click.Choice(["0", "1", "3"]),
    default="0",
    help="0: every fourth group of episodes has 3, the others 1",
)
@click.option("--delivery", type=click.Choice(["exactly_once", "at_least_once"]), default=None)
@click.option("--bootstrap-servers", default="", help="a Kafka of yours, which is not hurt")
@click.option("--redis-url", default="", help="a Redis of yours; only the fold's keys are touched")
@click.option(
    "--replication",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="of topics, on a Kafka of yours",
)
@click.option("--redis-cluster", "on_cluster", is_flag=True, help="Redis is a cluster of ours")
@click.option("--keep", is_flag=True, help="keep the workers' logs")
@click.option("--list", "listing", is_flag=True, help="list the kinds of faults")
def main(minutes, seed, faults, kinds, each, rate, brokers, delivery, bootstrap_servers, redis_url, replication, on_cluster, keep, listing) -> None:  # fmt: skip
    """Hurt a fold, and compare everything it leaves with the oracle.  Exit status 1: it differs."""
    if listing:
        for name, one in sorted(FAULTS.items()):
            click.echo(f"{name:45} {(one.bring.__doc__ or '').strip()}")
        return
    if on_cluster and redis_url:
        raise click.UsageError("--redis-cluster is one of ours: leave --redis-url out")
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    without = {"kafka"} if bootstrap_servers else set()
    without |= {"redis", "proxy"} if redis_url else set()
    without |= {"proxy"} if bootstrap_servers else set()
    directory = Path(tempfile.mkdtemp(prefix="stream-rnn-soak-"))
    began = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began:8.1f}  {text}", err=True)

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers die, it says so at length
    say(f"seed {seed}, logs in {directory}")
    report = asyncio.run(
        soak(
            directory, say, minutes=minutes, seed=seed, faults=faults, brokers=int(brokers),
            addresses=(bootstrap_servers, redis_url, replication), each=each, kinds=kinds, rate=rate, without=without,
            delivery=delivery or "", on_cluster=on_cluster,
        )
    )  # fmt: skip
    click.echo(json.dumps({"seed": seed, **report}, indent=1))
    is_bad = bool(report["wrong"] or report["broken"])
    if not keep and not is_bad:
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if is_bad else 0)
