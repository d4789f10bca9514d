"""``stream-rnn demo``: two workers on real data, and a crash and a wiped Redis, or a roll-out."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stream_rnn.cli.shared.printing import output_console, print_json, print_note, print_text
from stream_rnn.demo.demo import Demo
from stream_rnn.demo.flights import departures
from stream_rnn.demo.rollout import RolloutDemo
from stream_rnn.demo.stream import DemoStream
from stream_rnn.local.servers import Addresses, servers
from stream_rnn.operate.dashboard import open_dashboard
from stream_rnn.settings import FoldSettings
from stream_rnn.store.connection import safe_url

NEXT = (
    "stream-rnn local                                     # Kafka and Redis for development",
    "stream-rnn train LOG --spec SPEC --out bundles/mine  # a network for your own events",
    "stream-rnn worker --app mine --source TOPIC --predictions TOPIC --bundle bundles/mine",
)
RATE, ROLLOUT_RATE = 8000.0, 5000.0
"""Default numbers of events to send per second."""
FAULTS = ("missing", "duplicated", "different", "by_two_folds", "went_back")
"""Figures that are zero in a run without a fault of this package."""


def run(
    events: int | None,
    rate: float | None,
    rollout: bool,
    no_faults: bool,
    dashboard: bool,
    keep: bool,
    bootstrap_servers: str | None,
    redis_url: str | None,
    as_json: bool,
) -> int:
    """Run the demo on real data: two workers, and a crash and a wiped Redis, or a roll-out."""
    console = Console(stderr=True)

    def on_progress(line: str) -> None:
        print_note(console, line, "bold")

    @asynccontextmanager
    async def show_dashboard(settings: FoldSettings) -> AsyncIterator[None]:
        wall = time.time  # noqa: TID251  # delays of predictions, which the fold does not use
        async with open_dashboard(settings, [], 0, wall) as page:
            on_progress(f"dashboard: {page.address}")
            yield

    on_progress("reading the departures of 2013; starting Kafka and Redis")
    with servers(bootstrap_servers, redis_url, on_progress=on_progress) as addresses:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            chosen = (ROLLOUT_RATE if rollout else RATE) if rate is None else rate
            given = addresses, departures(events), chosen
            companion = show_dashboard if dashboard else None
            demo: Demo | RolloutDemo
            if rollout:
                demo = RolloutDemo(
                    *given,
                    on_progress=on_progress,
                    show=lambda demo: live.update(Text(_rollout_progress(demo))),
                    companion=companion,
                )
            else:
                demo = Demo(
                    *given,
                    with_faults=not no_faults,
                    on_progress=on_progress,
                    show=lambda demo: live.update(Text(_progress(demo))),
                    companion=companion,
                )
            figures = asyncio.run(demo.run())
        if as_json:
            print_json(figures)
            sys.stdout.flush()
        else:
            _print(figures, _rollout_lines if rollout else _lines)
        if keep:
            _wait(console, addresses)
    return 1 if any(figures.get(fault) for fault in FAULTS) else 0


def _progress(demo: Demo) -> str:
    with_memory, without = demo.aucs
    aucs = "-"
    if with_memory is not None and without is not None:
        aucs = f"{with_memory:.3f} with memory, {without:.3f} without"
    return f"{_stream_progress(demo.stream)}  AUC so far {aucs}"


def _stream_progress(stream: DemoStream) -> str:
    observed = stream.observed
    alive = sum(worker.is_alive for worker in stream.workers)
    return (
        f"sent {observed.sent:,}  published {observed.published:,} of {len(stream.events):,}  "
        f"lag {observed.sent - observed.published:,}  workers {alive}"
    )


def _rollout_progress(demo: RolloutDemo) -> str:
    lines = [f"{_stream_progress(demo.stream)}  roll-out {demo.stage}"]
    for partition, in_charge, other, lag in demo.partitions():
        line = f"partition {partition}  in charge: {in_charge}"
        if demo.stage not in ("before", "over"):
            line += f"   candidate: {other}, " + (
                "not begun" if lag is None else f"{lag:,} offsets behind"
            )
        lines.append(line)
    return "\n".join(lines)


def _print(figures: dict[str, Any], lines_of: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    console = output_console()
    for name, value in lines_of(figures).items():
        print_text(console, f"{name:16} {value}", " " * 17)
    print("\nnext:")
    for line in NEXT:
        print(f"  {line}")


def _lines(figures: dict[str, Any]) -> dict[str, Any]:
    recovery = figures["recovery_seconds"]
    return {
        **_counts(figures),
        "different": f"{figures['different']}  (compared byte for byte with a replay of the log)",
        "AUC with memory": _format_auc(figures["auc_memory"]),
        "AUC without": f"{_format_auc(figures['auc_memoryless'])}  (the memoryless baseline)",
        "events/s": f"{figures['events_per_second']:,.0f}",
        "latency": f"{_latency(figures)}, before the faults)",
        "faults": ", ".join(figures["faults"]) or "none",
        "recovery": "-"
        if recovery is None
        else f"{recovery:.1f} s  (from SIGKILL to the first prediction of the slowest partition)",
        "seconds": f"{figures['seconds']:.0f}",
    }


def _rollout_lines(figures: dict[str, Any]) -> dict[str, Any]:
    published, pause = figures["published"], figures["pause_seconds_max"]
    old, new = (f"{published[name]:,} predictions" for name in ("old", "new"))
    held = {}
    if figures["held_seconds"]:
        held["waited"] = (
            f"{figures['held_seconds']:.1f} s: this machine is too busy, so the stream waited for the "
            "roll-out; a lower --rate does without"
        )
    after = "which neither bundle was trained on"
    if figures["scored_after"] == "training":
        after = "which both bundles were trained on"
    return {
        **_counts(figures),
        "by two folds": figures["by_two_folds"],
        "different": f"{figures['different']}  (compared byte for byte with a replay of the log by the fold that each names)",
        "old bundle": f"{old}  (the memoryless baseline)",
        "AUC before": f"{_format_auc(figures['auc_before'])}  (the new bundle on the same events, which both were trained on: {_format_auc(figures['auc_before_with_new'])})",
        "new bundle": f"{new}  (with a memory)",
        "AUC after": f"{_format_auc(figures['auc_after'])}  (the old bundle on the same events, {after}: {_format_auc(figures['auc_after_with_old'])})",
        "cut-overs": f"{sum(map(len, figures['cut_overs'].values()))}, each at one offset of a partition; longest pause of a partition {'-' if pause is None else f'{pause:.2f} s'}",
        "warm": f"after {figures['warm_seconds']:.1f} s under load",
        **held,
        "events/s": f"{figures['events_per_second']:,.0f}",
        "latency": f"{_latency(figures)})",
        "seconds": f"{figures['seconds']:.0f}",
    }


def _counts(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "events": f"{figures['events']:,}",
        "predictions": f"{figures['predictions']:,}",
        "missing": figures["missing"],
        "duplicated": figures["duplicated"],
    }


def _latency(figures: dict[str, Any]) -> str:
    p50, p99 = (figures["latency_ms"][name] for name in ("p50", "p99"))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms  (from sending to reading"


def _format_auc(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _wait(console: Console, addresses: Addresses) -> None:
    print_note(
        console,
        f"Kafka and Redis run until Ctrl-C: --bootstrap-servers {addresses.bootstrap_servers} "
        f"--redis-url {safe_url(addresses.redis_url)}",
    )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
