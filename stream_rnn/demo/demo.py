"""The demo: a year of departures through real workers, one of which is killed halfway.

1  start the servers, the topics and two workers
2  send the events at a given rate, and read the predictions as they are published
3  after half of the predictions: kill one worker by SIGKILL, wipe Redis, start another worker
4  after all predictions: fold the source topic again in this process and compare every byte
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
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import TopicPartition

from stream_rnn.demo.flights import BUNDLE, Departure
from stream_rnn.demo.observations import Observations
from stream_rnn.demo.scores import Labels, count_different, fold_locally, probability
from stream_rnn.demo.servers import DemoServers
from stream_rnn.errors import ConfigError
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.kafka.clients import new_consumer, new_producer, stop_consumer, stop_producer
from stream_rnn.kafka.connection import connection_options
from stream_rnn.local.servers import Addresses
from stream_rnn.local.workers import WorkerProcess
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.replay.files import partition_of
from stream_rnn.settings import FoldSettings, Settings

PARTITIONS = 4
READY_WITHIN_S = 90.0
SILENCE_MAX_S = 120.0
TICK_S = 0.01
SCORE_EVERY_S = 3.0
# Within this time, the reader gets all commits of the killed worker; new owners publish later.
SETTLED_S = 0.5

ProgressCallback = Callable[[str], None]


class Demo:
    """One run of the demo.

    Args:
        addresses: Addresses of Kafka and Redis.
        events: Events to stream.
        rate: Events to send per second; 0 sends as fast as possible.
        with_faults: Whether to kill a worker and wipe Redis after half of the predictions.
        on_progress: Called with a line of text for each step.
        show: Called with the demo a few times per second.
        companion: Returns a context that is open while the workers run, such as a dashboard.
    """

    def __init__(
        self,
        addresses: Addresses,
        events: Sequence[Departure],
        rate: float,
        *,
        with_faults: bool,
        on_progress: ProgressCallback,
        show: Callable[["Demo"], None],
        companion: Callable[[FoldSettings], AbstractAsyncContextManager[object]] | None = None,
    ) -> None:
        pin_numerics()
        self.events = events
        self.labels = Labels(events)
        self.workers: list[WorkerProcess] = []
        self.faults: list[str] = []
        self.observed = Observations(
            np.zeros(len(events), np.int64), np.full(len(events), np.nan), [None] * len(events)
        )
        self.memoryless = np.full(len(events), np.nan)
        self.aucs: tuple[float | None, float | None] = (None, None)  # with memory, without
        self._rate = rate
        self._with_faults = with_faults
        self._on_progress = on_progress
        self._show = show
        self._companion = companion or (lambda _settings: nullcontext())
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
        identity = fold_id_of(self._model, self.settings)
        self._servers = DemoServers(addresses, self.settings, identity, PARTITIONS)
        self.events_by_partition: list[list[int]] = [[] for _ in range(PARTITIONS)]
        for number, event in enumerate(events):
            self.events_by_partition[partition_of(event.key, PARTITIONS)].append(number)
        self._directory = Path(tempfile.mkdtemp(prefix="stream-rnn-demo-"))
        self._killed_partitions: set[int] = set()
        self._half_is_published = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """Run the demo and return its results.

        Raises:
            UnreachableError: Kafka does not answer.
            ConfigError: The run succeeded, but topics or keys remain on servers of the caller.
        """
        async with self._servers.cleaned_up(self._on_progress):
            return await self._run()

    async def _run(self) -> dict[str, Any]:
        begin_s = time.monotonic()
        try:
            await self._servers.create_source()
            baseline = asyncio.create_task(asyncio.to_thread(self._fold_memoryless))
            for name in ("worker-1", "worker-2"):
                self._start_worker(name)
            self._on_progress("two workers start; the memoryless baseline is computed beside them")
            await asyncio.gather(self._wait_until_ready(), baseline)
            stream_begin_s = time.monotonic()
            async with self._companion(self.settings):
                await self._stream_events()
            seconds = self.observed.last_s - stream_begin_s
            self._on_progress(
                "all is published: folding the source topic again, comparing every byte"
            )
            different = await count_different(
                self._model, self.settings, self.events_by_partition, self.observed.values
            )
            return self._figures(seconds, different, time.monotonic() - begin_s)
        except asyncio.CancelledError:  # Ctrl-C: nobody needs the workers' logs
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        finally:
            for worker in self.workers:
                await asyncio.to_thread(worker.stop)
            if self.observed.count.all():
                shutil.rmtree(self._directory, ignore_errors=True)

    # 1 ------------------------------------------------------------------------------------------

    def _start_worker(self, name: str) -> None:
        options = {
            name: str(getattr(self.settings, name))
            for name in ("app", "source", "predictions", "bundle", "bootstrap_servers")
        }
        # Other users see a command line, but not the environment.
        redis = {"STREAM_RNN_REDIS_URL": self.settings.redis_url.get_secret_value()}
        environment = {**redis, "STREAM_RNN_REDIS_URL_FILE": ""}
        self.workers.append(WorkerProcess(name, options, self._directory, environment))

    async def _wait_until_ready(self) -> None:
        """Wait until the two workers own all partitions."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            owned = [worker.partitions() for worker in self.workers]
            if all(owned) and sum(map(len, owned)) == PARTITIONS:
                return
            for worker in self.workers:
                worker.require_alive()
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"the workers own partitions {owned} after {READY_WITHIN_S:g} s, not all "
                    f"{PARTITIONS}; see their logs in {self._directory}"
                )
            await asyncio.sleep(0.2)

    def _fold_memoryless(self) -> None:
        model = load_bundle(BUNDLE / "memoryless")
        self.memoryless = fold_locally(model, self.settings, self.events, self.events_by_partition)

    # 2 ------------------------------------------------------------------------------------------

    async def _stream_events(self) -> None:
        reader = asyncio.create_task(self._read())
        sender = asyncio.create_task(self._send())
        fault = asyncio.create_task(self._inject_faults())
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
                    self.aucs = await asyncio.to_thread(self._score)
                self._show(self)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await reader

    def _score(self) -> tuple[float | None, float | None]:
        """Return the AUC with and without memory so far; call this in a thread, since it sorts."""
        without = np.where(self.observed.count > 0, self.memoryless, np.nan)
        return self.labels.auc(self.observed.probability.copy()), self.labels.auc(without)

    async def _send(self) -> None:
        """Send the events at the given rate; each timestamp is the time of sending."""
        producer = new_producer(
            **connection_options(self.settings),
            enable_idempotence=True,
            acks="all",
            linger_ms=2,
            max_batch_size=262_144,
        )
        await producer.start()
        try:
            begin_s = time.monotonic()
            while self.observed.sent < len(self.events):
                due = len(self.events)
                if self._rate:
                    due = min(due, int((time.monotonic() - begin_s) * self._rate) + 1)
                for event in self.events[self.observed.sent : min(due, self.observed.sent + 2000)]:
                    await producer.send(
                        self.settings.source,
                        event.value,
                        key=event.key,
                        partition=partition_of(event.key, PARTITIONS),
                        timestamp_ms=_now_ms(),
                    )
                    self.observed.sent += 1
                await asyncio.sleep(TICK_S if self._rate else 0)
            await producer.flush()
        finally:
            await stop_producer(producer, self.settings.revoke_timeout_s)

    async def _read(self) -> None:
        """Read committed predictions until all events have one."""
        consumer = new_consumer(
            **connection_options(self.settings),
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await consumer.start()
        last_read_s = time.monotonic()
        try:
            consumer.assign(
                [TopicPartition(self.settings.predictions, p) for p in range(PARTITIONS)]
            )
            while self.observed.published < len(self.events):
                batches = await consumer.getmany(timeout_ms=200)
                for tp, records in batches.items():
                    for record in records:
                        self._observe(tp.partition, record)
                if batches:
                    last_read_s = self.observed.last_s = time.monotonic()
                elif time.monotonic() - last_read_s > SILENCE_MAX_S:
                    self._on_progress(
                        f"no prediction was published for {SILENCE_MAX_S:g} s; see the workers' "
                        f"logs in {self._directory}"
                    )
                    return
        finally:
            await stop_consumer(consumer, self.settings.revoke_timeout_s)

    def _observe(self, partition: int, record: Any) -> None:
        observed, now = self.observed, time.monotonic()
        number = self.events_by_partition[partition][int(dict(record.headers)["sr-offset"])]
        observed.count[number] += 1
        observed.published += int(observed.count[number] == 1)
        if observed.published >= len(self.events) // 2:
            self._half_is_published.set()
        observed.values[number] = record.value
        observed.probability[number] = probability(record.value)
        if observed.killed_s is None:
            observed.latencies_ms.append(_now_ms() - record.timestamp)
        elif now > observed.killed_s + SETTLED_S and partition in self._killed_partitions:
            observed.recovered_s.setdefault(partition, now - observed.killed_s)

    # 3 ------------------------------------------------------------------------------------------

    async def _inject_faults(self) -> None:
        if not self._with_faults:
            return
        await self._half_is_published.wait()
        victim = next(worker for worker in self.workers if worker.partitions())
        self._killed_partitions = victim.partitions()
        victim.signal(signal.SIGKILL)
        self.observed.killed_s = time.monotonic()
        await self._servers.wipe_redis()
        self._start_worker("worker-3")
        self.faults = [f"SIGKILL {victim.name}", "Redis wiped"]
        self._on_progress(
            f"half is published: {victim.name} (partitions {sorted(self._killed_partitions)}) is "
            "killed by SIGKILL, Redis is wiped, worker-3 starts"
        )

    # 4 ------------------------------------------------------------------------------------------

    def _figures(self, streaming_s: float, different: int, seconds: float) -> dict[str, Any]:
        observed = self.observed
        latencies = np.percentile(observed.latencies_ms or [np.nan], [50, 99])
        is_back = self._killed_partitions and self._killed_partitions <= set(observed.recovered_s)
        return {
            "events": len(self.events),
            "predictions": int(observed.count.sum()),
            "missing": int((observed.count == 0).sum()),
            "duplicated": int((observed.count > 1).sum()),
            "different": different,
            "auc_memory": self.labels.auc(observed.probability),
            "auc_memoryless": self.labels.auc(self.memoryless),
            "events_per_second": round(len(self.events) / streaming_s, 1),
            "latency_ms": {
                "p50": round(float(latencies[0]), 1),
                "p99": round(float(latencies[1]), 1),
            },
            "recovery_seconds": round(max(observed.recovered_s.values()), 2) if is_back else None,
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
