"""The stream of a demo: events sent to real workers, and their predictions read.

1  start the servers, the topics and the workers
2  send the events at a given rate, and read the predictions as they are published
"""

import asyncio
import platform
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import TopicPartition

from stream_rnn.demo.flights import Departure
from stream_rnn.demo.observations import Observations
from stream_rnn.demo.scores import Labels, probability
from stream_rnn.demo.servers import DemoServers
from stream_rnn.errors import ConfigError
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.kafka.clients import new_consumer, new_producer, stop_consumer, stop_producer
from stream_rnn.kafka.connection import connection_options
from stream_rnn.local.servers import Addresses
from stream_rnn.local.workers import WorkerProcess
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import Model, pin_numerics
from stream_rnn.replay.files import partition_of
from stream_rnn.settings import FoldSettings, Settings

PARTITIONS = 4
READY_WITHIN_S = 90.0
SILENCE_MAX_S = 120.0
TICK_S = 0.01
SHOW_EVERY_S = 0.25
POLL_MS = 200

ProgressCallback = Callable[[str], None]
Companion = Callable[[FoldSettings], AbstractAsyncContextManager[object]]


class DemoStream:
    """The events of a demo, the workers that predict, and the predictions that were read.

    Args:
        addresses: Addresses of Kafka and Redis.
        events: Events to stream.
        rate: Events to send per second; 0 sends as fast as possible.
        bundles: Bundles whose folds the demo runs; the first one is the workers' own.
        on_progress: Called with a line of text for each step.
        companion: Returns a context that is open while the events are streamed.

    Attributes:
        send_max: Number of events that may be sent now.
        held_s: Seconds for which the sender waited because of it.
    """

    def __init__(
        self,
        addresses: Addresses,
        events: Sequence[Departure],
        rate: float,
        bundles: Sequence[Path],
        on_progress: ProgressCallback,
        companion: Companion | None = None,
    ) -> None:
        pin_numerics()
        self.events = events
        self.labels = Labels(events)
        self.workers: list[WorkerProcess] = []
        self.observed = Observations(
            np.zeros(len(events), np.int64), np.full(len(events), np.nan), [None] * len(events)
        )
        self.on_progress = on_progress
        self.send_max = len(events)
        self.held_s = 0.0
        self._rate = rate
        self._companion = companion or (lambda _settings: nullcontext())
        self.models: list[Model] = [load_bundle(bundle) for bundle in bundles]
        app = f"demo-{secrets.token_hex(4)}"
        self.settings = Settings.build(
            app=app,
            source=f"{app}-flights",
            predictions=f"{app}-delays",
            bundle=str(bundles[0]),
            bootstrap_servers=addresses.bootstrap_servers,
            redis_url=addresses.redis_url,
        ).of_fold()
        self.fold_ids = [fold_id_of(model, self.settings) for model in self.models]
        prints = [model.fingerprint for model in self.models]
        folds = dict(zip(self.fold_ids, prints, strict=True))
        self.servers = DemoServers(addresses, self.settings, folds, PARTITIONS)
        self.events_by_partition: list[list[int]] = [[] for _ in range(PARTITIONS)]
        for number, event in enumerate(events):
            self.events_by_partition[partition_of(event.key, PARTITIONS)].append(number)
        self._directory = Path(tempfile.mkdtemp(prefix="stream-rnn-demo-"))
        self._published = asyncio.Condition()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Create the source topic, and at the end stop the workers and remove what was created.

        Raises:
            UnreachableError: Kafka does not answer.
            ConfigError: The run succeeded, but topics or keys remain on servers of the caller.
        """
        async with self.servers.cleaned_up(self.on_progress):
            try:
                await self.servers.create_source()
                yield
            except asyncio.CancelledError:  # Ctrl-C: nobody needs the workers' logs
                shutil.rmtree(self._directory, ignore_errors=True)
                raise
            finally:
                for worker in self.workers:
                    await asyncio.to_thread(worker.stop)
                if self.observed.count.all():
                    shutil.rmtree(self._directory, ignore_errors=True)

    # 1 ------------------------------------------------------------------------------------------

    def start_worker(self, name: str) -> None:
        """Start a worker process with the first bundle."""
        options = {
            name: str(getattr(self.settings, name))
            for name in ("app", "source", "predictions", "bundle", "bootstrap_servers")
        }
        # Other users see a command line, but not the environment.
        redis = {"STREAM_RNN_REDIS_URL": self.settings.redis_url.get_secret_value()}
        environment = {**redis, "STREAM_RNN_REDIS_URL_FILE": ""}
        self.workers.append(WorkerProcess(name, options, self._directory, environment))

    async def wait_until_ready(self) -> None:
        """Wait until the workers own all partitions.

        Raises:
            ConfigError: A worker has ended, or they do not own all within ``READY_WITHIN_S``.
        """
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

    # 2 ------------------------------------------------------------------------------------------

    async def run(
        self,
        acts: Callable[[], Coroutine[Any, Any, None]],
        on_prediction: Callable[[int, int, Any], None],
        show: Callable[[], Coroutine[Any, Any, None]],
    ) -> float:
        """Stream the events until each has a prediction and the acts are over.

        Args:
            acts: Function whose coroutine does what happens meanwhile, such as a fault.
            on_prediction: Called with partition, index of the event and record of each prediction.
            show: Awaited a few times per second.

        Returns:
            Seconds until the last prediction was read.
        """
        begin_s = time.monotonic()
        async with self._companion(self.settings):
            acting = asyncio.create_task(acts())
            reader = asyncio.create_task(self._read(on_prediction, acting.done))
            tasks = {acting, reader, asyncio.create_task(self._send())}
            try:
                while not reader.done():
                    await asyncio.wait({reader}, timeout=SHOW_EVERY_S)
                    for task in tasks:
                        if task.done() and task.exception():
                            raise task.exception() or RuntimeError
                    await show()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await reader
        return self.observed.last_s - begin_s

    async def until_published(self, share: float) -> None:
        """Wait until a share of the events has a prediction."""
        enough = int(len(self.events) * share)
        async with self._published:
            await self._published.wait_for(lambda: self.observed.published >= enough)

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
            begin_s = looked_s = time.monotonic()
            while self.observed.sent < len(self.events):
                due, now_s = self.send_max, time.monotonic()
                if self.observed.sent >= self.send_max:
                    self.held_s += now_s - looked_s
                    begin_s += now_s - looked_s
                looked_s = now_s
                if self._rate:
                    due = min(due, int((now_s - begin_s) * self._rate) + 1)
                for event in self.events[self.observed.sent : min(due, self.observed.sent + 2000)]:
                    await producer.send(
                        self.settings.source,
                        event.value,
                        key=event.key,
                        partition=partition_of(event.key, PARTITIONS),
                        timestamp_ms=_now_ms(),
                    )
                    self.observed.sent += 1
                is_held = self.observed.sent >= self.send_max
                await asyncio.sleep(TICK_S if self._rate or is_held else 0)
            await producer.flush()
        finally:
            await stop_producer(producer, self.settings.revoke_timeout_s)

    async def _read(
        self, on_prediction: Callable[[int, int, Any], None], is_over: Callable[[], bool]
    ) -> None:
        """Read committed predictions until all events have one, the acts are over, and no more is there."""
        consumer = new_consumer(
            **connection_options(self.settings),
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await consumer.start()
        last_read_s = time.monotonic()
        try:
            tps = [TopicPartition(self.settings.predictions, p) for p in range(PARTITIONS)]
            consumer.assign(tps)
            while True:
                was_over = is_over() and self.observed.published == len(self.events)
                ends = await consumer.end_offsets(tps) if was_over else {}
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                for tp, records in batches.items():
                    for record in records:
                        self._observe(tp.partition, record, on_prediction)
                if batches:
                    last_read_s = self.observed.last_s = time.monotonic()
                    async with self._published:
                        self._published.notify_all()
                if was_over and all([await consumer.position(tp) >= ends[tp] for tp in tps]):
                    return
                is_silent = time.monotonic() - last_read_s > SILENCE_MAX_S
                if is_silent and self.observed.published < len(self.events):
                    self.on_progress(
                        f"no prediction was published for {SILENCE_MAX_S:g} s; see the workers' "
                        f"logs in {self._directory}"
                    )
                    return
        finally:
            await stop_consumer(consumer, self.settings.revoke_timeout_s)

    def _observe(
        self, partition: int, record: Any, on_prediction: Callable[[int, int, Any], None]
    ) -> None:
        observed = self.observed
        number = self.events_by_partition[partition][int(dict(record.headers)["sr-offset"])]
        observed.count[number] += 1
        observed.published += int(observed.count[number] == 1)
        observed.values[number] = record.value
        observed.probability[number] = probability(record.value)
        if observed.killed_s is None:
            observed.latencies_ms.append(_now_ms() - record.timestamp)
        on_prediction(partition, number, record)

    # --------------------------------------------------------------------------------------------

    def figures(self, streaming_s: float, different: int) -> dict[str, Any]:
        """Return what every demo counts and measures."""
        observed = self.observed
        latencies = np.percentile(observed.latencies_ms or [np.nan], [50, 99])
        return {
            "events": len(self.events),
            "predictions": int(observed.count.sum()),
            "missing": int((observed.count == 0).sum()),
            "duplicated": int((observed.count > 1).sum()),
            "different": different,
            "events_per_second": round(len(self.events) / streaming_s, 1),
            "latency_ms": {
                "p50": round(float(latencies[0]), 1),
                "p99": round(float(latencies[1]), 1),
            },
        }

    def versions(self) -> dict[str, str]:
        """Return the versions on which the bits of predictions depend."""
        names = ("stream-rnn", "torch", "faust-streaming", "aiokafka")
        return {
            "python": platform.python_version(),
            **{name: version(name) for name in names},
            "numerics": self.models[0].numerics(),
        }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
