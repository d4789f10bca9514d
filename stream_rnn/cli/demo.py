"""``stream-rnn demo``: two workers on real data, a crash and a wiped Redis."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stream_rnn.cli.shared.printing import output_console, print_json, print_note, print_text
from stream_rnn.demo.demo import Demo
from stream_rnn.demo.flights import departures
from stream_rnn.local.servers import Addresses, servers
from stream_rnn.operate.dashboard import open_dashboard
from stream_rnn.settings import FoldSettings
from stream_rnn.store.connection import safe_url

NEXT = (
    "stream-rnn local                                     # Kafka and Redis for development",
    "stream-rnn train LOG --spec SPEC --out bundles/mine  # a network for your own events",
    "stream-rnn worker --app mine --source TOPIC --predictions TOPIC --bundle bundles/mine",
)


def run(
    events: int | None,
    rate: float,
    no_faults: bool,
    dashboard: bool,
    keep: bool,
    bootstrap_servers: str | None,
    redis_url: str | None,
    as_json: bool,
) -> int:
    """Run the demo on real data: two workers, a crash and a wiped Redis."""
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
            demo = Demo(
                addresses,
                departures(events),
                rate,
                with_faults=not no_faults,
                on_progress=on_progress,
                show=lambda demo: live.update(Text(_progress(demo))),
                companion=show_dashboard if dashboard else None,
            )
            figures = asyncio.run(demo.run())
        if as_json:
            print_json(figures)
            sys.stdout.flush()
        else:
            _print(figures)
        if keep:
            _wait(console, addresses)
    return 1 if any(figures[fault] for fault in ("missing", "duplicated", "different")) else 0


def _progress(demo: Demo) -> str:
    observed = demo.observed
    alive = sum(worker.is_alive for worker in demo.workers)
    with_memory, without = demo.aucs
    aucs = "-"
    if with_memory is not None and without is not None:
        aucs = f"{with_memory:.3f} with memory, {without:.3f} without"
    return (
        f"sent {observed.sent:,}  published {observed.published:,} of {len(demo.events):,}  "
        f"lag {observed.sent - observed.published:,}  workers {alive}  AUC so far {aucs}"
    )


def _print(figures: dict[str, Any]) -> None:
    recovery = figures["recovery_seconds"]
    lines = {
        "events": f"{figures['events']:,}",
        "predictions": f"{figures['predictions']:,}",
        "missing": figures["missing"],
        "duplicated": figures["duplicated"],
        "different": f"{figures['different']}  (compared byte for byte with a replay of the log)",
        "AUC with memory": _format_auc(figures["auc_memory"]),
        "AUC without": f"{_format_auc(figures['auc_memoryless'])}  (the memoryless baseline)",
        "events/s": f"{figures['events_per_second']:,.0f}",
        "latency": f"p50 {figures['latency_ms']['p50']:.0f} ms, p99 {figures['latency_ms']['p99']:.0f} ms  (from sending to reading, before the faults)",
        "faults": ", ".join(figures["faults"]) or "none",
        "recovery": "-"
        if recovery is None
        else f"{recovery:.1f} s  (from SIGKILL to the first prediction of the slowest partition)",
        "seconds": f"{figures['seconds']:.0f}",
    }
    console = output_console()
    for name, value in lines.items():
        print_text(console, f"{name:16} {value}", " " * 17)
    print("\nnext:")
    for line in NEXT:
        print(f"  {line}")


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
