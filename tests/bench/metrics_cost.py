"""``python -m tests.bench.speed metrics``: the CPU of metrics in a fold in memory."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import click

from stream_rnn.fold.observer import FoldedBatch
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from stream_rnn.worker.prometheus import Metrics
from tests.bench.environment import machine, on_progress, write
from tests.bench.load import FIRST_MS, Load, bundle_of, key_of, value_of

SIZES = (200, 2_000, 10_000)


class TimedObserver:
    """An observer that measures the CPU of the metrics.

    Args:
        observer: Metrics to measure.

    Attributes:
        cpu_s: CPU seconds of the calls so far.
    """

    def __init__(self, observer: Metrics) -> None:
        self._observer = observer
        self.cpu_s = 0.0
        self.on_start, self.on_reposition = observer.on_start, observer.on_reposition

    def on_batch(self, folded: FoldedBatch) -> None:
        """Forward a folded micro-batch, and measure the call."""
        began = time.thread_time()
        self._observer.on_batch(folded)
        self.cpu_s += time.thread_time() - began


@click.command("metrics")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the result to OUT.json and OUT.md."
)
@click.option("--events", type=click.IntRange(10_000, 10_000_000), default=200_000, show_default=True, help="Number of events in a run.")  # fmt: skip
@click.option(
    "--rounds", type=click.IntRange(1, 50), default=5, show_default=True, help="Number of runs."
)
def metrics_command(events: int, rounds: int, out: Path | None) -> None:
    """Measure the CPU of metrics in a fold in memory, by the size of micro-batches."""
    pin_numerics()
    with tempfile.TemporaryDirectory(prefix="stream-rnn-bench-") as scratch:
        model = load_bundle(bundle_of(Path(scratch)))
    load = Load(events)
    settings = Settings.build(app="bench", source="load", predictions="out")
    keys = load.key_numbers()
    records = [
        record(number, key_of(int(keys[number])), value_of(number, load), FIRST_MS + number)
        for number in range(events)
    ]

    def fold(size: int) -> tuple[float, float]:
        """Return microseconds of CPU per event, of the whole fold and of the metrics."""
        whole, rest = divmod(events, size)
        processor = memory_processor(
            model,
            MemoryLog(records),
            MemoryStore(),
            settings,
            sizes=[size] * whole + ([rest] if rest else []),
            cache_bytes_max=settings.cache_bytes_max,
        )
        timed = TimedObserver(Metrics(model, settings, list))
        processor.observer = timed
        began = time.thread_time()
        asyncio.run(processor.run())
        assert processor.counts.events == events, processor.counts.skips
        return 1e6 * (time.thread_time() - began) / events, 1e6 * timed.cpu_s / events

    table = ["| events in a micro-batch | metrics, µs per micro-batch | µs per event | share of the fold in memory |", "|---|---|---|---|"]  # fmt: skip
    samples = {}
    for size in SIZES:
        pairs = [fold(size) for _ in range(rounds)]
        whole, observed = (statistics.median(column) for column in zip(*pairs, strict=True))
        table.append(f"| {size:,} | {observed * size:.0f} | {observed:.3f} | {observed / whole:.2%} |")  # fmt: skip
        samples[size] = pairs
        on_progress(table[-1])
    write({"machine": machine(), "events": events, "all_and_metrics_us": samples}, table, out)
