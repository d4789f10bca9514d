"""Where the contenders of the speed bench run, and how its figures are written."""

import asyncio
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from aiokafka.admin import AIOKafkaAdminClient

from stream_rnn.local.servers import Addresses, servers
from tests.bench.contenders import Contender, Place
from tests.bench.load import Load, create, fill
from tests.bench.rates import Processes, Progress, Rate, rate_of


@dataclass(slots=True)
class Ground:
    """Where all contenders run."""

    addresses: Addresses
    directory: Path
    runs: int = 0

    async def rate(
        self,
        contender: Contender,
        load: Load,
        bundle: Path,
        *,
        processes: int = 1,
        more: Sequence[str] = (),
        limit_s: float = 120.0,
    ) -> Rate:
        """Let a contender take a load from its begin."""
        self.runs += 1
        app = f"bench-{os.getpid()}-{self.runs}"
        servers_ = self.addresses.bootstrap_servers
        topic = await fill(servers_, load)
        await create(servers_, f"{app}-out", load.partitions)
        log = self.directory / f"{app}.log"
        running = Processes(log)
        progress = Progress(
            servers_, f"{app}-out", load.partitions, log if contender.prints else None
        )
        began = time.monotonic()
        try:
            for number in range(processes):
                place = Place(
                    servers_,
                    self.addresses.redis_url,
                    topic,
                    f"{app}-out",
                    app,
                    bundle,
                    self.directory / f"{app}-{number}",
                )
                place.directory.mkdir()
                running.start([*contender.command(place), *more], contender.environment)
            async with progress:
                return await rate_of(running, progress, load.events, began, limit_s)
        finally:
            running.stop()
            await self._clean(f"{app}-out")

    async def _clean(self, topic: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_topics([topic])
        finally:
            await admin.close()


def on_progress(text: str) -> None:
    """Tell on standard error what is going on."""
    click.echo(text, err=True)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    cpus = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]  # fmt: skip
    return {
        "cpu": cpus[0] if cpus else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kafka": "4.3.1",
    }


def median(rates: Sequence[Rate]) -> Rate:
    """Return the middle one by events a second."""
    return sorted(rates, key=lambda r: r.events_s)[len(rates) // 2]


def write(found: dict[str, Any], table: list[str], out: Path | None) -> None:
    """Print the machine and a table, and write them and the JSON if asked."""
    about = {**found.get("machine", {}), **found.get("versions", {})}
    table = [", ".join(f"{name} {value}" for name, value in about.items()), "", *table]
    click.echo("\n".join(table))
    if out is not None:
        out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        out.with_suffix(".md").write_text("\n".join(table) + "\n")


def on_ground(options: dict[str, Any], work: Any) -> Any:
    """Start the servers that are not named, and do some work there."""
    with ExitStack() as open_:
        scratch = open_.enter_context(tempfile.TemporaryDirectory(prefix="stream-rnn-bench-"))
        addresses = open_.enter_context(
            servers(options["bootstrap_servers"], options["redis_url"], on_progress=on_progress)
        )
        return asyncio.run(work(Ground(addresses, Path(scratch))))


def shared(command: Any) -> Any:
    """Give a command the options that all have."""
    for option in (
        click.option("--bootstrap-servers", help="a running Kafka; default: starts one"),
        click.option("--redis-url", help="a running Redis; default: starts one"),
        click.option("--out", type=click.Path(path_type=Path), help="writes OUT.json and OUT.md"),
    ):
        command = option(command)
    return command
