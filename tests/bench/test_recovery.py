"""Measures how long predictions pause after a fault; prints figures.

pytest -m bench tests/bench/test_recovery.py -s
"""

import asyncio
import random
import statistics
import time

import pytest
from aiokafka import AIOKafkaConsumer

from stream_rnn.settings import Settings
from tests.chaos.bundles import make_bundles
from tests.chaos.crew import Crew
from tests.chaos.log import LogPlan, Sender
from tests.chaos.servers import Servers
from tests.chaos.topics import Topics

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

PARTITIONS = 4
RATE = 4000
KILLS, RESTARTS, WIPES = 5, 5, 3
REBUILT_RECORDS = 200_000


class Bench:
    """Two workers with the default session timeout, and a reader of their predictions."""

    def __init__(self, servers: Servers, directory) -> None:
        self.servers = servers
        bundle = make_bundles(directory / "bundles")[0]
        names = {"app": "bench", "source": "bench-in", "predictions": "bench-out"}
        self.settings = Settings.build(
            **names,
            bundle=bundle,
            bootstrap_servers=servers.bootstrap_servers,
            redis_url=servers.redis_url,
        )
        self.topics = Topics(self.settings, PARTITIONS)
        options = {
            **names,
            "bundle": bundle,
            "bootstrap_servers": servers.proxied_kafka,
            "redis_url": servers.proxied_redis,
        }
        self.crew = Crew(options, directory, 2, random.Random(1), lambda _text: None)
        self.seen: dict[int, tuple[float, int]] = {}

    async def watch(self) -> None:
        """Record the time of the last prediction of each partition."""
        consumer = AIOKafkaConsumer(
            self.settings.predictions,
            bootstrap_servers=self.servers.bootstrap_servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            while True:
                fetched = await consumer.getmany(timeout_ms=100)
                for tp, records in fetched.items():
                    _, count = self.seen.get(tp.partition, (0.0, 0))
                    self.seen[tp.partition] = (time.monotonic(), count + len(records))
        finally:
            await consumer.stop()

    async def until_published(self, partitions, since: float, timeout_s: float = 120) -> float:
        """Return the seconds until all of these partitions have published again."""
        first: dict[int, float] = {}
        async with asyncio.timeout(timeout_s):
            while len(first) < len(partitions):
                for partition in partitions:
                    at = self.seen.get(partition, (0.0, 0))[0]
                    if at > since:
                        first.setdefault(partition, at)
                await asyncio.sleep(0.01)
        return max(first.values()) - since

    async def wait_until_both_publish(self) -> None:
        """Wait until both workers own partitions and all partitions publish."""
        async with asyncio.timeout(90):
            while len(self.crew.owners()) < 2 or len(self.crew.owned()) < PARTITIONS:
                self.crew.tend()
                await asyncio.sleep(0.1)
        await self.until_published(range(PARTITIONS), time.monotonic())


async def _kills(bench: Bench) -> list[float]:
    found = []
    for _ in range(KILLS):
        await bench.wait_until_both_publish()
        victim = bench.crew.owners()[0]
        owned = victim.partitions()
        await asyncio.sleep(random.uniform(0, 3))  # a random time between two heartbeats
        killed = time.monotonic()
        await bench.crew.kill(victim)
        await asyncio.sleep(0.3)  # earlier predictions are still in flight
        found.append(0.3 + await bench.until_published(owned, killed + 0.3))
        bench.crew.tend()
    return found


async def _restarts(bench: Bench) -> list[float]:
    found = []
    for down_s in [1, 2, 3, 5, 8][:RESTARTS]:
        await bench.wait_until_both_publish()
        await bench.servers.stop_redis("kept")
        await asyncio.sleep(down_s)
        await bench.servers.start_redis()
        found.append(await bench.until_published(range(PARTITIONS), time.monotonic()))
    return found


async def _wipes(bench: Bench) -> list[tuple[float, int]]:
    """Return the seconds until all partitions publish after FLUSHALL, and the rebuilt records."""
    found = []
    for _ in range(WIPES):
        await bench.wait_until_both_publish()
        folded = sum((await bench.topics.group_offsets()).values())
        since = time.monotonic()
        bench.servers.ask_redis("FLUSHALL")
        await asyncio.sleep(0.2)
        found.append((0.2 + await bench.until_published(range(PARTITIONS), since + 0.2), folded))
    return found


async def test_recovery_times(tmp_path, capsys):
    """Partitions publish again after a SIGKILL, a restart of Redis, and FLUSHALL."""
    async with Servers() as servers:
        bench = Bench(servers, tmp_path)
        await bench.topics.create(1)
        plan = LogPlan(1, "even", PARTITIONS, False)
        sender = Sender(plan, bench.settings.source, servers.bootstrap_servers, RATE)
        bench.crew.tend()
        await bench.crew.wait_for_owners(PARTITIONS)
        background = [asyncio.create_task(sender.run()), asyncio.create_task(bench.watch())]
        try:
            kills, restarts = await _kills(bench), await _restarts(bench)
            while sender.sent < REBUILT_RECORDS:
                await asyncio.sleep(0.5)
            wipes = await _wipes(bench)
        finally:
            sender.stop()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await bench.crew.kill_all()
    rates = [records / seconds for seconds, records in wipes]
    with capsys.disabled():
        print(f"\nSIGKILL of one of two workers: {_figures(kills)} s (session timeout 10 s)")
        print(f"Redis restarted: {_figures(restarts)} s after its first answer")
        print(f"FLUSHALL: {_figures([s for s, _ in wipes])} s, {_figures(rates)} records/s rebuilt")
        print(f"with {wipes[0][1]} to {wipes[-1][1]} folded records, while {RATE} records/s arrive")


def _figures(values) -> str:
    return f"median {statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"
