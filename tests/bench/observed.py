"""What metrics cost: their CPU in a fold in memory, and its share of that."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import click

from stream_rnn.fold.observer import Folded
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from stream_rnn.worker.prometheus import Metrics
from tests.bench.ground import machine, on_progress, write
from tests.bench.load import FIRST_MS, Load, bundle_of, key_of, value_of

SIZES = (200, 2_000, 10_000)


class Timed:
    """An observer that times another one.

    Args:
        observer: the other one.

    Attributes:
        cpu_s: of its calls so far.
    """

    def __init__(self, observer: Metrics) -> None:
        self._observer = observer
        self.cpu_s = 0.0
        self.started, self.repositioned = observer.started, observer.repositioned

    def folded(self, folded: Folded) -> None:
        """Hand on what was folded."""
        began = time.thread_time()
        self._observer.folded(folded)
        self.cpu_s += time.thread_time() - began


@click.command("metrics")
@click.option("--out", type=click.Path(path_type=Path), help="writes OUT.json and OUT.md")
@click.option("--events", type=click.IntRange(10_000, 10_000_000), default=200_000, show_default=True)  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
def metrics_command(events: int, rounds: int, out: Path | None) -> None:
    """CPU of the metrics in a fold in memory, by size of its micro-batches."""
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
        """Return microseconds of CPU an event, of all and of the metrics in it."""
        whole, rest = divmod(events, size)
        processor = memory_processor(
            model,
            MemoryLog(records),
            MemoryStore(),
            settings,
            sizes=[size] * whole + ([rest] if rest else []),
            cache_bytes_max=settings.cache_bytes_max,
        )
        timed = Timed(Metrics(model, settings, list))
        processor.observer = timed
        began = time.thread_time()
        asyncio.run(processor.run())
        assert processor.counts.events == events, processor.counts.skips
        return 1e6 * (time.thread_time() - began) / events, 1e6 * timed.cpu_s / events

    table = ["| events of a micro-batch | metrics, µs a micro-batch | µs an event | of the fold in memory |", "|---|---|---|---|"]  # fmt: skip
    found = {}
    for size in SIZES:
        pairs = [fold(size) for _ in range(rounds)]
        whole, observed = (statistics.median(column) for column in zip(*pairs, strict=True))
        table.append(f"| {size:,} | {observed * size:.0f} | {observed:.3f} | {observed / whole:.2%} |")  # fmt: skip
        found[size] = pairs
        on_progress(table[-1])
    write({"machine": machine(), "events": events, "all_and_metrics_us": found}, table, out)
