"""What metrics cost: the same fold in memory with and without them, in turn."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.model import pin_numerics
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from stream_rnn.worker.metrics import Metrics
from tests.bench.ground import machine, say, write
from tests.bench.load import Load, bundle_of, key_of, value_of

SIZES = (200, 2_000, 10_000)


@click.command("metrics")
@click.option("--out", type=click.Path(path_type=Path), help="writes OUT.json and OUT.md")
@click.option("--events", type=click.IntRange(10_000, 10_000_000), default=200_000, show_default=True)  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
def metrics_command(events: int, rounds: int, out: Path | None) -> None:
    """CPU of a fold in memory with and without metrics, by size of its micro-batches."""
    pin_numerics()
    with tempfile.TemporaryDirectory(prefix="stream-rnn-bench-") as scratch:
        model = load_bundle(bundle_of(Path(scratch)))
    load = Load(events)
    settings = Settings.build(app="bench", source="load", predictions="out")
    keys = load.key_numbers()
    records = [
        record(number, key_of(int(keys[number])), value_of(number, load), number)
        for number in range(events)
    ]

    def fold(size: int, observe: Callable[[Any], None]) -> float:
        whole, rest = divmod(events, size)
        sizes = [size] * whole + ([rest] if rest else [])
        processor = memory_processor(
            model,
            MemoryLog(records),
            MemoryStore(),
            settings,
            sizes=sizes,
            cache_bytes_max=settings.cache_bytes_max,
        )
        observe(processor)
        began = time.process_time()
        asyncio.run(processor.run())
        return 1e6 * (time.process_time() - began) / events

    def with_metrics(processor: Any) -> None:
        processor.observer = Metrics(model, settings, list)

    table = [
        "| events of a micro-batch | without, µs an event | with | cost |",
        "|---|---|---|---|",
    ]
    found = {}
    for size in SIZES:
        pairs = [(fold(size, lambda _p: None), fold(size, with_metrics)) for _ in range(rounds)]
        without, observed = (statistics.median(column) for column in zip(*pairs, strict=True))
        shares = sorted(b / a - 1 for a, b in pairs)
        cost = statistics.median(shares)
        table.append(f"| {size:,} | {without:.2f} | {observed:.2f} | {cost:+.1%} ({shares[0]:+.1%} to {shares[-1]:+.1%}) |")  # fmt: skip
        found[size] = pairs
        say(table[-1])
    write({"machine": machine(), "events": events, "pairs_us": found}, table, out)
