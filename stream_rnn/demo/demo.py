"""The demo: a year of departures through real workers, one of which is killed halfway.

1  start the servers, the topics and two workers
2  send the events at a given rate, and read the predictions as they are published
3  after half of the predictions: kill one worker by SIGKILL, wipe Redis, start another worker
4  after all predictions: fold the source topic again in this process and compare every byte
"""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stream_rnn.demo.flights import BUNDLE, MEMORYLESS, Departure
from stream_rnn.demo.scores import count_different, fold_locally
from stream_rnn.demo.stream import Companion, DemoStream, ProgressCallback
from stream_rnn.local.servers import Addresses
from stream_rnn.model.bundle import load_bundle

SCORE_EVERY_S = 3.0
# Within this time, the reader gets all commits of the killed worker; new owners publish later.
SETTLED_S = 0.5


class Demo:
    """One run of the demo.

    Args:
        addresses: Addresses of Kafka and Redis.
        events: Events to stream.
        rate: Events to send per second; 0 sends as fast as possible.
        with_faults: Whether to kill a worker and wipe Redis after half of the predictions.
        on_progress: Called with a line of text for each step.
        show: Called with the demo a few times per second.
        companion: Returns a context that is open while the events are streamed, such as a dashboard.
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
        companion: Companion | None = None,
    ) -> None:
        self.stream = DemoStream(addresses, events, rate, [BUNDLE], on_progress, companion)
        self.faults: list[str] = []
        self.memoryless = np.full(len(events), np.nan)
        self.aucs: tuple[float | None, float | None] = (None, None)  # with memory, without
        self._with_faults = with_faults
        self._on_progress = on_progress
        self._show_demo = show
        self._scored_s = 0.0
        self._killed_partitions: set[int] = set()

    async def run(self) -> dict[str, Any]:
        """Run the demo and return its results.

        Raises:
            UnreachableError: Kafka does not answer.
            ConfigError: The run succeeded, but topics or keys remain on servers of the caller.
        """
        begin_s, stream = time.monotonic(), self.stream
        async with stream.opened():
            baseline = asyncio.create_task(asyncio.to_thread(self._fold_memoryless))
            for name in ("worker-1", "worker-2"):
                stream.start_worker(name)
            self._on_progress("two workers start; the memoryless baseline is computed beside them")
            await asyncio.gather(stream.wait_until_ready(), baseline)
            self._scored_s = time.monotonic()
            seconds = await stream.run(self._inject_faults, self._observe, self._show)
            self._on_progress(
                "all is published: folding the source topic again, comparing every byte"
            )
            different = await count_different(
                stream.models[0],
                stream.settings,
                stream.events_by_partition,
                stream.observed.values,
            )
            return self._figures(seconds, different, time.monotonic() - begin_s)

    def _fold_memoryless(self) -> None:
        stream, model = self.stream, load_bundle(MEMORYLESS)
        self.memoryless = fold_locally(
            model, stream.settings, stream.events, stream.events_by_partition
        )

    async def _show(self) -> None:
        if time.monotonic() >= self._scored_s + SCORE_EVERY_S:
            self._scored_s = time.monotonic()
            self.aucs = await asyncio.to_thread(self._score)
        self._show_demo(self)

    def _score(self) -> tuple[float | None, float | None]:
        """Return the AUC with and without memory so far; call this in a thread, since it sorts."""
        observed, labels = self.stream.observed, self.stream.labels
        without = np.where(observed.count > 0, self.memoryless, np.nan)
        return labels.auc(observed.probability.copy()), labels.auc(without)

    def _observe(self, partition: int, _number: int, _record: Any) -> None:
        observed, now = self.stream.observed, time.monotonic()
        if observed.killed_s is None:
            return
        if now > observed.killed_s + SETTLED_S and partition in self._killed_partitions:
            observed.recovered_s.setdefault(partition, now - observed.killed_s)

    # 3 ------------------------------------------------------------------------------------------

    async def _inject_faults(self) -> None:
        if not self._with_faults:
            return
        stream = self.stream
        await stream.until_published(0.5)
        victim = next(worker for worker in stream.workers if worker.partitions())
        self._killed_partitions = victim.partitions()
        victim.signal(signal.SIGKILL)
        stream.observed.killed_s = time.monotonic()
        await stream.servers.wipe_redis()
        stream.start_worker("worker-3")
        self.faults = [f"SIGKILL {victim.name}", "Redis wiped"]
        self._on_progress(
            f"half is published: {victim.name} (partitions {sorted(self._killed_partitions)}) is "
            "killed by SIGKILL, Redis is wiped, worker-3 starts"
        )

    # 4 ------------------------------------------------------------------------------------------

    def _figures(self, streaming_s: float, different: int, seconds: float) -> dict[str, Any]:
        stream, recovered_s = self.stream, self.stream.observed.recovered_s
        is_back = self._killed_partitions and self._killed_partitions <= set(recovered_s)
        return {
            **stream.figures(streaming_s, different),
            "auc_memory": stream.labels.auc(stream.observed.probability),
            "auc_memoryless": stream.labels.auc(self.memoryless),
            "recovery_seconds": round(max(recovered_s.values()), 2) if is_back else None,
            "faults": self.faults,
            "seconds": round(seconds, 1),
            "versions": stream.versions(),
        }
