"""Readers of one group that come, go, freeze and die, and the oracle over what they wrote down.

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
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from stream_rnn.local.kafka import LocalKafka
from tests.chaos.reading import SESSION_TIMEOUT_S, Reading, main
from tests.chaos.yields import Findings, judge
from tests.integration.predicted import written

PARTITIONS = 3
BEFORE = 20  # predictions of each partition that are there before the first reader
READERS_MAX = 4
DRAINED_WITHIN_S = 90
ENOUGH_WITHIN_S = 150
KINDS = ("kill", "leave", "join", "freeze", "slow", "look-up", "evict")


@dataclass(frozen=True)
class Started:
    """A reader's process, and the log that it writes."""

    process: BaseProcess
    log: Path

    @property
    def is_up(self) -> bool:
        """Whether it has its signal handlers: before, most signals would end it."""
        return self.process.is_alive() and self.log.exists() and self.log.stat().st_size > 0

    def signal(self, number: int) -> bool:
        """Send it a signal; tell whether it was still there: it may have left a moment ago."""
        try:
            os.kill(self.process.pid, number)
        except ProcessLookupError:
            return False
        return True


class Chaos:
    """One topic, its readers and what happens to them.

    Args:
        start: of the readers.
        seed: of the schedule.
        directory: of what the readers write down.
    """

    def __init__(self, start: str, seed: int, directory: Path) -> None:
        self.start, self.directory = start, directory
        self.kinds: Counter = Counter()
        self._draw = random.Random(seed)
        self._topic, self._group = f"readers-{seed}", f"group-{seed}"
        self._readers: list[Started] = []
        self._made = 0
        self._sent: dict[tuple[int, int], float] = {}
        self._kafka = LocalKafka(properties={"group.min.session.timeout.ms": "1000"})
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.chaos.reading"])

    async def run(
        self, seconds: float, restarts: int = 0, *, yields_min: int = 0, commits_min: int = 0
    ) -> Findings:
        """Let things happen, then let one reader read the rest; judge it all.

        Args:
            seconds: how long at least.
            restarts: of the broker, within these.
            yields_min: things go on until so many predictions were yielded, however slow it is.
            commits_min: and until so many commits were acknowledged.
        """
        await asyncio.to_thread(self._kafka.start)
        try:
            await self._create()
            publishing, stop = None, asyncio.Event()
            publishing = asyncio.create_task(self._publish(stop))
            await self._until(lambda: len(self._sent) >= PARTITIONS * BEFORE, "published")
            before_s = time.monotonic()
            for _ in range(2):
                self._join()
            opened_s = await self._opened()
            await self._happen(seconds, restarts, {"Y": yields_min, "C": commits_min})
            stop.set()
            await publishing
            await self._drain()
        finally:
            for reader in self._readers:
                reader.process.kill()
            await asyncio.to_thread(self._kafka.stop)
            self._kafka.remove()
        latest = self.start == "latest"
        wanted = [one for one, at in self._sent.items() if not latest or at > opened_s]
        early = [one for one, at in self._sent.items() if latest and at < before_s - 1]
        logs = {path.name: path.read_text().splitlines() for path in self._logs()}
        return judge(logs, wanted, early)

    @property
    def published(self) -> int:
        """How many predictions there are."""
        return len(self._sent)

    def _logs(self) -> list[Path]:
        return sorted(self.directory.glob("reader-*"))

    def _are_told(self, least: dict[str, int]) -> bool:
        """Tell whether the readers wrote down so many lines of some kinds."""
        lines = [line.split() for path in self._logs() for line in path.read_text().splitlines()]
        told = Counter(line[1] for line in lines if len(line) > 1)
        return all(told[kind] >= count for kind, count in least.items())

    async def _until(self, predicate, what: str, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not predicate():
            assert time.monotonic() < deadline, f"within {timeout_s:g} s: not {what}"
            await asyncio.sleep(0.05)

    async def _opened(self) -> float:
        """Wait for the first reader that is open; return when that was."""

        def times():
            lines = [line.split() for path in self._logs() for line in path.read_text().split("\n")]
            return [float(line[0]) for line in lines if len(line) == 2 and line[1] == "O"]

        await self._until(times, "a reader that is open")
        return min(times())

    # --- the topic ---------------------------------------------------------------------------------

    async def _admin(self, ask):
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka.bootstrap_servers)
        try:
            async with asyncio.timeout(20):
                await admin.start()
                return await ask(admin)
        finally:
            await admin.close()

    async def _create(self) -> None:
        await self._admin(lambda a: a.create_topics([NewTopic(self._topic, PARTITIONS, 1)]))

    async def _publish(self, stop: asyncio.Event) -> None:
        """Publish as a worker with at_least_once does: now and then again, from some offset on."""
        ahead, producer = dict.fromkeys(range(PARTITIONS), 0), None
        while not stop.is_set():
            partition = self._draw.randrange(PARTITIONS)
            first = ahead[partition] - (self._draw.randrange(6) if self._draw.random() < 0.1 else 0)
            offsets = range(max(0, first), ahead[partition] + self._draw.randrange(1, 8))
            for offset in offsets:
                self._sent.setdefault((partition, offset), time.monotonic())
            try:
                async with asyncio.timeout(20):
                    if producer is None:
                        producer = AIOKafkaProducer(
                            bootstrap_servers=self._kafka.bootstrap_servers, acks="all"
                        )
                        await producer.start()
                    for key, value, headers in written("worker", offsets, partition):
                        await producer.send_and_wait(
                            self._topic, value, key=key, headers=headers, partition=partition
                        )
            except (KafkaError, TimeoutError, OSError):
                producer = await self._close(producer)
                continue  # from the same offset on: what arrived stands there twice
            ahead[partition] = max(ahead[partition], offsets.stop)
            await asyncio.sleep(0.02)
        await self._close(producer)
        for partition in range(PARTITIONS):  # what was never acknowledged may not be there
            for one in [s for s in self._sent if s[0] == partition and s[1] >= ahead[partition]]:
                del self._sent[one]

    async def _close(self, producer) -> None:
        if producer is not None:
            with suppress(KafkaError, TimeoutError, OSError, AssertionError):
                async with asyncio.timeout(3):
                    await producer.stop()

    # --- what happens ------------------------------------------------------------------------------

    def _join(self, *, is_patient: bool | None = None) -> Started:
        patient = self._draw.random() < 0.5 if is_patient is None else is_patient
        log = self.directory / f"reader-{self._made:03}"
        told = Reading(
            str(log), self._kafka.bootstrap_servers,
            self._topic, self._group, self.start, patient, self._draw.randrange(1 << 30),
        )  # fmt: skip
        process = self._context.Process(target=main, args=(told,), daemon=True)
        process.start()
        self._made += 1
        started = Started(process, log)
        self._readers.append(started)
        return started

    async def _happen(self, seconds: float, restarts: int, least: dict[str, int]) -> None:
        until = time.monotonic() + seconds
        at_restart = [
            time.monotonic() + seconds * (i + 1) / (restarts + 1) for i in range(restarts)
        ]
        kinds: list[str] = []
        while time.monotonic() < until or not self._are_told(least):
            assert time.monotonic() < until + ENOUGH_WITHIN_S, f"not told: {least}"
            self._readers = [reader for reader in self._readers if reader.process.is_alive()]
            while len(self._readers) < 2:
                self._join()
            await asyncio.sleep(self._draw.uniform(0.5, 2.0))
            if at_restart and time.monotonic() > at_restart[0]:
                at_restart.pop(0)
                await self._bring("broker-restart")
                continue
            if not kinds:
                kinds = self._draw.sample(KINDS, len(KINDS))
            await self._bring(kinds.pop())

    async def _bring(self, kind: str) -> None:
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

    async def _signal(self, kind: str, victim: Started) -> bool:
        """Hurt a reader; tell whether it was still there."""
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
        """Let the group forget one of its members."""
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

            return await self._admin(leave)
        return False

    # --- the end -----------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let one reader read the rest, and one more find that there is none."""
        for reader in self._readers:
            reader.signal(signal.SIGTERM)
        await self._until(lambda: not any(r.process.is_alive() for r in self._readers), "all left")
        last = self._join(is_patient=False)
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while not await self._is_done() and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        last.signal(signal.SIGTERM)
        await self._until(lambda: not last.process.is_alive(), "the last one left")
        after = self._join(is_patient=False)
        await self._until(
            lambda: after.log.exists() and " C\n" in after.log.read_text(), "nothing more"
        )
        after.process.kill()

    async def _is_done(self) -> bool:
        """Tell whether the group has committed up to the log end."""
        partitions = [TopicPartition(self._topic, number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka.bootstrap_servers)
        try:
            async with asyncio.timeout(20):
                await consumer.start()
                ends = await consumer.end_offsets(partitions)
        finally:
            await consumer.stop()
        held = await self._admin(lambda a: a.list_consumer_group_offsets(self._group))
        return all(tp in held and held[tp].offset >= ends[tp] for tp in partitions)


@click.command()
@click.option("--minutes", type=float, default=1.0, show_default=True)
@click.option("--start", type=click.Choice(["committed", "earliest", "latest"]), default="latest")
@click.option("--restarts", type=int, default=2, show_default=True, help="of the broker")
@click.option("--seed", type=int, help="default: drawn")
def command(minutes, start, restarts, seed) -> None:
    """Hurt a group of readers, and print what was lost or done twice."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    directory = Path(tempfile.mkdtemp(prefix="stream-rnn-readers-"))
    chaos = Chaos(start, seed, directory)
    found = asyncio.run(chaos.run(minutes * 60, restarts))
    kinds = {"faults": sum(chaos.kinds.values()), "kinds": dict(chaos.kinds)}
    about = {"seed": seed, "start": start, "logs": str(directory), "published": chaos.published}
    click.echo(json.dumps({**about, **kinds, "wrong": found.wrong, **vars(found)}, indent=1))
    raise SystemExit(1 if found.wrong else 0)


if __name__ == "__main__":
    command()
