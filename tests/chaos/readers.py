"""Chaos for a group of readers, which join, leave, freeze and die; then their logs are checked.

python -m tests.chaos.readers --minutes 3 --start latest --seed 7
"""

import asyncio
import json
import logging
import multiprocessing
import os
import random
import secrets
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import click
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from stream_rnn.local.kafka import LocalKafka
from tests.chaos.read_topic import PARTITIONS, ReadTopic
from tests.chaos.reading import SESSION_TIMEOUT_S, ReaderOptions, main
from tests.chaos.yields import Findings, check_yields

FIRST_PREDICTIONS = 20  # in each partition, published before the first reader opens
READERS_MAX = 4
DRAINED_WITHIN_S = 90
ENOUGH_WITHIN_S = 150
KINDS = ("kill", "leave", "join", "freeze", "slow", "look-up", "evict")


@dataclass(frozen=True)
class ReaderProcess:
    """A reader process and the log that it writes."""

    process: BaseProcess
    log: Path

    @property
    def is_up(self) -> bool:
        """Whether the process has its signal handlers; without them, most signals would end it."""
        return self.process.is_alive() and self.log.exists() and self.log.stat().st_size > 0

    def signal(self, number: int) -> bool:
        """Send a signal to the process; return whether it still existed."""
        try:
            os.kill(self.process.pid, number)
        except ProcessLookupError:
            return False
        return True


class ReaderChaos:
    """Runs a group of readers on one topic, and injects faults.

    Args:
        start: Start position of the readers: ``committed``, ``earliest`` or ``latest``.
        seed: Random seed of the schedule of faults.
        directory: Directory of the readers' logs.
    """

    def __init__(self, start: str, seed: int, directory: Path) -> None:
        self.start, self.directory = start, directory
        self.kinds: Counter = Counter()
        self._draw = random.Random(seed)
        self._readers: list[ReaderProcess] = []
        self._reader_count = 0
        self._kafka = LocalKafka(properties={"group.min.session.timeout.ms": "1000"})
        self._topic = ReadTopic(f"readers-{seed}", self._kafka, self._draw)
        self._group = f"group-{seed}"
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.chaos.reading"])

    async def run(
        self, seconds: float, restarts: int = 0, *, yields_min: int = 0, commits_min: int = 0
    ) -> Findings:
        """Inject faults, let one reader read the remaining predictions, and check all logs.

        Args:
            seconds: Minimum duration of the faults in seconds.
            restarts: Number of restarts of the broker within this time.
            yields_min: Faults continue until the readers have yielded this many predictions.
            commits_min: Faults continue until this many commits have been acknowledged.
        """
        await asyncio.to_thread(self._kafka.start)
        try:
            await self._topic.create()
            publishing, stop = None, asyncio.Event()
            publishing = asyncio.create_task(self._topic.publish(stop))
            await self._until(
                lambda: len(self._topic.sent) >= PARTITIONS * FIRST_PREDICTIONS, "published"
            )
            before_s = time.monotonic()
            for _ in range(2):
                self._join()
            opened_s = await self._opened()
            await self._inject_faults(seconds, restarts, {"Y": yields_min, "C": commits_min})
            stop.set()
            await publishing
            await self._drain()
        finally:
            for reader in self._readers:
                reader.process.kill()
            await asyncio.to_thread(self._kafka.stop)
            self._kafka.remove()
        latest = self.start == "latest"
        expected = [
            source for source, at in self._topic.sent.items() if not latest or at > opened_s
        ]
        early = [source for source, at in self._topic.sent.items() if latest and at < before_s - 1]
        logs = {path.name: path.read_text().splitlines() for path in self._logs()}
        return check_yields(logs, expected, early)

    @property
    def published(self) -> int:
        """Number of published predictions."""
        return len(self._topic.sent)

    def _logs(self) -> list[Path]:
        return sorted(self.directory.glob("reader-*"))

    def _have_logged(self, least: dict[str, int]) -> bool:
        """Return whether the readers' logs have at least this many lines of each kind."""
        lines = [line.split() for path in self._logs() for line in path.read_text().splitlines()]
        counts = Counter(line[1] for line in lines if len(line) > 1)
        return all(counts[kind] >= count for kind, count in least.items())

    async def _until(self, predicate, what: str, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not predicate():
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
            await asyncio.sleep(0.05)

    async def _opened(self) -> float:
        """Wait until a reader is open; return the monotonic time at which the first one opened."""

        def times():
            lines = [line.split() for path in self._logs() for line in path.read_text().split("\n")]
            return [float(line[0]) for line in lines if len(line) == 2 and line[1] == "O"]

        await self._until(times, "a reader is open")
        return min(times())

    # --- the faults --------------------------------------------------------------------------------

    def _join(self, *, is_patient: bool | None = None) -> ReaderProcess:
        patient = self._draw.random() < 0.5 if is_patient is None else is_patient
        log = self.directory / f"reader-{self._reader_count:03}"
        options = ReaderOptions(
            str(log), self._kafka.bootstrap_servers,
            self._topic.name, self._group, self.start, patient, self._draw.randrange(1 << 30),
        )  # fmt: skip
        process = self._context.Process(target=main, args=(options,), daemon=True)
        process.start()
        self._reader_count += 1
        started = ReaderProcess(process, log)
        self._readers.append(started)
        return started

    async def _inject_faults(self, seconds: float, restarts: int, least: dict[str, int]) -> None:
        until = time.monotonic() + seconds
        at_restart = [
            time.monotonic() + seconds * (i + 1) / (restarts + 1) for i in range(restarts)
        ]
        kinds: list[str] = []
        while time.monotonic() < until or not self._have_logged(least):
            assert time.monotonic() < until + ENOUGH_WITHIN_S, (
                f"the readers have not logged {least}"
            )
            self._readers = [reader for reader in self._readers if reader.process.is_alive()]
            while len(self._readers) < 2:
                self._join()
            await asyncio.sleep(self._draw.uniform(0.5, 2.0))
            if at_restart and time.monotonic() > at_restart[0]:
                at_restart.pop(0)
                await self._inject("broker-restart")
                continue
            if not kinds:
                kinds = self._draw.sample(KINDS, len(KINDS))
            await self._inject(kinds.pop())

    async def _inject(self, kind: str) -> None:
        up = [reader for reader in self._readers if reader.is_up]
        if kind == "broker-restart":
            await asyncio.to_thread(self._kafka.kill)
            await asyncio.to_thread(self._kafka.start)
        elif kind == "join":
            if len(self._readers) >= READERS_MAX:
                return
            self._join()
        elif kind == "evict":
            if not await self._evict():
                return
        elif not up or not await self._signal(kind, self._draw.choice(up)):
            return
        self.kinds[kind] += 1

    async def _signal(self, kind: str, victim: ReaderProcess) -> bool:
        """Inject a fault into a reader; return whether its process still existed."""
        if kind == "freeze":
            was_there = victim.signal(signal.SIGSTOP)
            await asyncio.sleep(SESSION_TIMEOUT_S + self._draw.uniform(-1.5, 1.5))
            return victim.signal(signal.SIGCONT) and was_there
        number = {
            "kill": signal.SIGKILL,
            "leave": signal.SIGTERM,
            "slow": signal.SIGUSR1,
            "look-up": signal.SIGUSR2,
        }
        return victim.signal(number[kind])

    async def _evict(self) -> bool:
        """Remove a member from the group on its behalf; return whether there was one."""
        with suppress(KafkaError, TimeoutError, OSError):

            async def leave(admin):
                (answer,) = await admin.describe_consumer_groups([self._group])
                members = [member[0] for member in answer.groups[0][5]]
                if not members:
                    return False
                node = await admin.find_coordinator(self._group)
                request = LeaveGroupRequest(self._group, self._draw.choice(members))
                await admin._send_request(request, node)
                return True

            return await self._topic.admin(leave)
        return False

    # --- the end -----------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let one reader read the remaining predictions; check that another one finds none."""
        for reader in self._readers:
            reader.signal(signal.SIGTERM)
        await self._until(
            lambda: not any(r.process.is_alive() for r in self._readers), "all readers have left"
        )
        last = self._join(is_patient=False)
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while not await self._topic.is_read_by(self._group) and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        last.signal(signal.SIGTERM)
        await self._until(lambda: not last.process.is_alive(), "the last reader has left")
        after = self._join(is_patient=False)
        await self._until(
            lambda: after.log.exists() and " C\n" in after.log.read_text(),
            "a commit without a prediction",
        )
        after.process.kill()


@click.command()
@click.option(
    "--minutes", type=float, default=1.0, show_default=True, help="Duration of the faults."
)
@click.option(
    "--start",
    type=click.Choice(["committed", "earliest", "latest"]),
    default="latest",
    show_default=True,
    help="Start position of the readers.",
)
@click.option(
    "--restarts", type=int, default=2, show_default=True, help="Number of restarts of the broker."
)
@click.option("--seed", type=int, help="Random seed of the schedule; drawn by default.")
def command(minutes, start, restarts, seed) -> None:
    """Inject faults into a group of readers, and print lost and repeated predictions."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    directory = Path(tempfile.mkdtemp(prefix="stream-rnn-readers-"))
    chaos = ReaderChaos(start, seed, directory)
    findings = asyncio.run(chaos.run(minutes * 60, restarts))
    kinds = {"faults": sum(chaos.kinds.values()), "kinds": dict(chaos.kinds)}
    about = {"seed": seed, "start": start, "logs": str(directory), "published": chaos.published}
    click.echo(json.dumps({**about, **kinds, "wrong": findings.wrong, **vars(findings)}, indent=1))
    raise SystemExit(1 if findings.wrong else 0)


if __name__ == "__main__":
    command()
