"""``stream-rnn demo``: see it work on real data, with a fault in it."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.live import Live
from rich.text import Text

from stream_rnn.cli.shared.tables import output, show_text
from stream_rnn.demo.demo import Demo
from stream_rnn.demo.flights import departures
from stream_rnn.local.servers import Addresses, servers
from stream_rnn.operate.dashboard import opened
from stream_rnn.settings import FoldSettings

NEXT = (
    "stream-rnn local                                    # Kafka and Redis for development",
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
    """Stream the 328,521 departures from New York's airports in 2013 through two real workers."""
    console = Console(stderr=True)

    def on_progress(line: str) -> None:
        console.print(line, style="bold", highlight=False)

    @asynccontextmanager
    async def page(settings: FoldSettings) -> AsyncIterator[None]:
        wall = time.time  # noqa: TID251  # how late predictions are; never of the fold
        async with opened(settings, [], 0, wall) as shown:
            on_progress(f"the page: {shown.address}")
            yield

    on_progress("reading the departures of 2013; starting a real Kafka and a real Redis")
    with servers(bootstrap_servers, redis_url, on_progress=on_progress) as addresses:
        chosen = departures(events)
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            demo = Demo(
                addresses,
                chosen,
                rate,
                with_faults=not no_faults,
                on_progress=on_progress,
                show=lambda state: live.update(Text(_line(state))),
                companion=page if dashboard else None,
            )
            figures = asyncio.run(demo.run())
        if as_json:
            sys.stdout.write(orjson.dumps(figures).decode() + "\n")
            sys.stdout.flush()
        else:
            _print(figures)
        if keep:
            _wait(console, addresses)
    bad = figures["missing"] or figures["duplicated"] or figures["different"]
    return 1 if bad else 0


def _line(demo: Demo) -> str:
    observed = demo.observed
    alive = sum(worker.is_alive for worker in demo.workers)
    with_memory, without = demo.aucs
    area = "-"
    if with_memory is not None and without is not None:
        area = f"{with_memory:.3f} with memory, {without:.3f} without"
    return (
        f"sent {observed.sent:,}  published {observed.published:,} of {len(demo.events):,}  "
        f"lag {observed.sent - observed.published:,}  workers {alive}  AUC so far {area}"
    )


def _print(figures: dict[str, Any]) -> None:
    recovery = figures["recovery_seconds"]
    lines = {
        "events": f"{figures['events']:,}",
        "predictions": f"{figures['predictions']:,}",
        "missing": figures["missing"],
        "duplicated": figures["duplicated"],
        "different": f"{figures['different']}  (folded again from the log, byte for byte)",
        "AUC with memory": _area(figures["auc_memory"]),
        "AUC without": f"{_area(figures['auc_memoryless'])}  (the memoryless baseline)",
        "events/s": f"{figures['events_per_second']:,.0f}",
        "latency": f"p50 {figures['latency_ms']['p50']:.0f} ms, p99 {figures['latency_ms']['p99']:.0f} ms  (sending to reading, before the faults)",
        "faults": ", ".join(figures["faults"]) or "none",
        "recovery": "-"
        if recovery is None
        else f"{recovery:.1f} s  (SIGKILL to the first prediction of its slowest partition)",
        "seconds": f"{figures['seconds']:.0f}",
    }
    console = output()
    for name, value in lines.items():
        show_text(console, f"{name:16} {value}", " " * 17)
    print("\nnext:")
    for line in NEXT:
        print(f"  {line}")


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _wait(console: Console, addresses: Addresses) -> None:
    console.print(
        f"servers run until Ctrl-C: --bootstrap-servers {addresses.bootstrap_servers} "
        f"--redis-url {addresses.redis_url}",
        highlight=False,
    )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
