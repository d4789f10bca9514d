"""The demo: a year of departures through real workers, one of which is killed on the way.

1  start the servers, the topics and two workers
2  send the events at a pace, and read the predictions as they come
3  when half of them are published: SIGKILL one worker, wipe Redis, start another worker
4  when all are published: fold the source topic again in this process and compare every byte
"""

import asyncio
import platform
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from stream_rnn.demo.flights import BUNDLE, Departure
from stream_rnn.demo.scores import Labels, count_different, fold_here, probability
from stream_rnn.demo.servers import DemoServers
from stream_rnn.errors import ConfigError
from stream_rnn.kafka.clients import new_consumer, new_producer, stop_consumer, stop_producer
from stream_rnn.local.servers import Addresses
from stream_rnn.local.workers import WorkerProcess
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.replay.files import partition_of
from stream_rnn.settings import FoldSettings, Settings

PARTITIONS = 4
READY_WITHIN_S = 90.0
QUIET_MAX_S = 120.0
TICK_S = 0.01
SCORE_EVERY_S = 3.0
# What the dead worker had committed is read well before this; a taken-over partition comes later.
SETTLED_S = 0.5

Say = Callable[[str], None]


@dataclass(slots=True)
class Watched:
    """What the reader has seen, by the number of the event."""

    count: NDArray[np.int64]
    probability: NDArray[np.float64]
    values: list[bytes | None]
    published: int = 0
    sent: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    killed_s: float | None = None
    back_s: dict[int, float] = field(default_factory=dict)
    last_s: float = 0.0


class Demo:
    """One run.

    Args:
        addresses: of Kafka and Redis.
        events: what is streamed.
        rate: events a second; 0 is as fast as possible.
        with_faults: kill a worker and wipe Redis at half.
        on_progress: told what happens.
        show: told the state of things a few times a second.
        beside: open while the workers run, such as a page that watches them.
    """

    def __init__(
        self,
        addresses: Addresses,
        events: Sequence[Departure],
        rate: float,
        *,
        with_faults: bool,
        on_progress: Say,
        show: Callable[["Demo"], None],
        beside: Callable[[FoldSettings], AbstractAsyncContextManager[object]] | None = None,
    ) -> None:
        pin_numerics()
        self.events = events
        self.labels = Labels(events)
        self.workers: list[WorkerProcess] = []
        self.faults: list[str] = []
        self.watched = Watched(
            np.zeros(len(events), np.int64), np.full(len(events), np.nan), [None] * len(events)
        )
        self.memoryless = np.full(len(events), np.nan)
        self.areas: tuple[float | None, float | None] = (None, None)  # with memory, without
        self._rate = rate
        self._with_faults = with_faults
        self._on_progress = on_progress
        self._show = show
        self._beside = beside or (lambda _settings: nullcontext())
        self._model = load_bundle(BUNDLE)
        app = f"demo-{secrets.token_hex(4)}"
        self.settings = Settings.build(
            app=app,
            source=f"{app}-flights",
            predictions=f"{app}-delays",
            bundle=str(BUNDLE),
            bootstrap_servers=addresses.bootstrap_servers,
            redis_url=addresses.redis_url,
        ).of_fold()
        self._servers = DemoServers(addresses, self.settings, self._model.fingerprint, PARTITIONS)
        self.places: list[list[int]] = [[] for _ in range(PARTITIONS)]
        for number, event in enumerate(events):
            self.places[partition_of(event.key, PARTITIONS)].append(number)
        self._directory = Path(tempfile.mkdtemp(prefix="stream-rnn-demo-"))
        self._doomed: set[int] = set()
        self._half = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """Run the whole demo; return its figures.

        Raises:
            UnreachableError: Kafka does not answer, or no more.
            ConfigError: the run succeeded, and topics or keys are left on somebody else's servers.
        """
        async with self._servers.left_empty(self._on_progress):
            return await self._run()

    async def _run(self) -> dict[str, Any]:
        began = time.monotonic()
        try:
            await self._servers.create_source()
            baseline = asyncio.create_task(asyncio.to_thread(self._fold_memoryless))
            for name in ("worker-1", "worker-2"):
                self._start_worker(name)
            self._on_progress("two workers start; the memoryless baseline is computed beside them")
            await asyncio.gather(self._until_ready(), baseline)
            streamed = time.monotonic()
            async with self._beside(self.settings):
                await self._stream()
            seconds = self.watched.last_s - streamed
            self._on_progress(
                "all is published: folding the source topic again, comparing every byte"
            )
            different = await count_different(
                self._model, self.settings, self.places, self.watched.values
            )
            return self._figures(seconds, different, time.monotonic() - began)
        except asyncio.CancelledError:  # Ctrl-C: nobody will read the workers' logs
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        finally:
            for worker in self.workers:
                await asyncio.to_thread(worker.stop)
            if self.watched.count.all():
                shutil.rmtree(self._directory, ignore_errors=True)

    # 1 ------------------------------------------------------------------------------------------

    def _start_worker(self, name: str) -> None:
        options = {
            name: str(getattr(self.settings, name))
            for name in ("app", "source", "predictions", "bundle", "bootstrap_servers")
        }
        options["redis_url"] = self.settings.redis_url.get_secret_value()
        self.workers.append(WorkerProcess(name, options, self._directory))

    async def _until_ready(self) -> None:
        """Wait until the two workers share the partitions."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            owned = [worker.partitions() for worker in self.workers]
            if all(owned) and sum(map(len, owned)) == PARTITIONS:
                return
            for worker in self.workers:
                worker.require_alive()
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"the workers own {owned} after {READY_WITHIN_S:g} s; see {self._directory}"
                )
            await asyncio.sleep(0.2)

    def _fold_memoryless(self) -> None:
        model = load_bundle(BUNDLE / "memoryless")
        self.memoryless = fold_here(model, self.settings, self.events, self.places)

    # 2 ------------------------------------------------------------------------------------------

    async def _stream(self) -> None:
        reader = asyncio.create_task(self._read())
        sender = asyncio.create_task(self._send())
        fault = asyncio.create_task(self._fault())
        tasks = {reader, sender, fault}
        scored_s = time.monotonic()
        try:
            while not reader.done():
                await asyncio.wait({reader}, timeout=0.25)
                for task in tasks:
                    if task.done() and task.exception():
                        raise task.exception() or RuntimeError
                if time.monotonic() >= scored_s + SCORE_EVERY_S:
                    scored_s = time.monotonic()
                    self.areas = await asyncio.to_thread(self._score)
                self._show(self)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await reader

    def _score(self) -> tuple[float | None, float | None]:
        """Return the areas so far; in a thread, for sorting would hold up the reader."""
        without = np.where(self.watched.count > 0, self.memoryless, np.nan)
        return self.labels.auc(self.watched.probability.copy()), self.labels.auc(without)

    async def _send(self) -> None:
        """Send at the pace that was asked for; the timestamp is the moment of sending."""
        producer = new_producer(
            bootstrap_servers=self.settings.bootstrap_servers,
            enable_idempotence=True,
            acks="all",
            linger_ms=2,
            max_batch_size=262_144,
        )
        await producer.start()
        try:
            began = time.monotonic()
            while self.watched.sent < len(self.events):
                due = len(self.events)
                if self._rate:
                    due = min(due, int((time.monotonic() - began) * self._rate) + 1)
                for event in self.events[self.watched.sent : min(due, self.watched.sent + 2000)]:
                    await producer.send(
                        self.settings.source,
                        event.value,
                        key=event.key,
                        partition=partition_of(event.key, PARTITIONS),
                        timestamp_ms=_now_ms(),
                    )
                    self.watched.sent += 1
                await asyncio.sleep(TICK_S if self._rate else 0)
            await producer.flush()
        finally:
            await stop_producer(producer, self.settings.revoke_timeout_s)

    async def _read(self) -> None:
        """Read every committed prediction until all are there."""
        consumer = new_consumer(
            bootstrap_servers=self.settings.bootstrap_servers,
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await consumer.start()
        quiet = time.monotonic()
        try:
            consumer.assign(
                [TopicPartition(self.settings.predictions, p) for p in range(PARTITIONS)]
            )
            while self.watched.published < len(self.events):
                found = await consumer.getmany(timeout_ms=200)
                for tp, records in found.items():
                    for record in records:
                        self._see(tp.partition, record)
                if found:
                    quiet = self.watched.last_s = time.monotonic()
                elif time.monotonic() - quiet > QUIET_MAX_S:
                    self._on_progress(
                        f"nothing was published for {QUIET_MAX_S:g} s; see {self._directory}"
                    )
                    return
        finally:
            await stop_consumer(consumer, self.settings.revoke_timeout_s)

    def _see(self, partition: int, record: Any) -> None:
        watched, now = self.watched, time.monotonic()
        number = self.places[partition][int(dict(record.headers)["sr-offset"])]
        watched.count[number] += 1
        watched.published += int(watched.count[number] == 1)
        if watched.published >= len(self.events) // 2:
            self._half.set()
        watched.values[number] = record.value
        watched.probability[number] = probability(record.value)
        if watched.killed_s is None:
            watched.latencies_ms.append(_now_ms() - record.timestamp)
        elif now > watched.killed_s + SETTLED_S and partition in self._doomed:
            watched.back_s.setdefault(partition, now - watched.killed_s)

    # 3 ------------------------------------------------------------------------------------------

    async def _fault(self) -> None:
        if not self._with_faults:
            return
        await self._half.wait()
        victim = next(worker for worker in self.workers if worker.partitions())
        self._doomed = victim.partitions()
        victim.signal(signal.SIGKILL)
        self.watched.killed_s = time.monotonic()
        await self._servers.wipe_redis()
        self._start_worker("worker-3")
        self.faults = [f"SIGKILL {victim.name}", "Redis wiped"]
        self._on_progress(
            f"half is published: {victim.name} (partitions {sorted(self._doomed)}) is killed by "
            "SIGKILL, Redis is wiped, worker-3 starts"
        )

    # 4 ------------------------------------------------------------------------------------------

    def _figures(self, streaming_s: float, different: int, seconds: float) -> dict[str, Any]:
        watched = self.watched
        latencies = np.percentile(watched.latencies_ms or [np.nan], [50, 99])
        is_back = self._doomed and self._doomed <= set(watched.back_s)
        return {
            "events": len(self.events),
            "predictions": int(watched.count.sum()),
            "missing": int((watched.count == 0).sum()),
            "duplicated": int((watched.count > 1).sum()),
            "different": different,
            "auc_memory": self.labels.auc(watched.probability),
            "auc_memoryless": self.labels.auc(self.memoryless),
            "events_per_second": round(len(self.events) / streaming_s, 1),
            "latency_ms": {
                "p50": round(float(latencies[0]), 1),
                "p99": round(float(latencies[1]), 1),
            },
            "recovery_seconds": round(max(watched.back_s.values()), 2) if is_back else None,
            "faults": self.faults,
            "seconds": round(seconds, 1),
            "versions": {
                "python": platform.python_version(),
                **{
                    name: version(name)
                    for name in ("stream-rnn", "torch", "faust-streaming", "aiokafka")
                },
                "numerics": self._model.numerics(),
            },
        }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
