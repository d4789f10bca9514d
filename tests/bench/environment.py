"""Servers and directories of the speed benchmarks, their common options, and their output."""

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
from tests.bench.contenders import Contender, RunOptions
from tests.bench.load import Load, create, fill
from tests.bench.rates import Processes, Progress, Rate, measure_rate


@dataclass(slots=True)
class BenchEnvironment:
    """The servers and the directory that all contenders of a benchmark share."""

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
        """Measure the rate at which a contender processes a load."""
        self.runs += 1
        app = f"bench-{os.getpid()}-{self.runs}"
        servers_ = self.addresses.bootstrap_servers
        topic = await fill(servers_, load)
        await create(servers_, f"{app}-out", load.partitions)
        log = self.directory / f"{app}.log"
        running = Processes(log)
        progress = Progress(
            servers_, f"{app}-out", load.partitions, log if contender.is_counter else None
        )
        began = time.monotonic()
        try:
            for number in range(processes):
                run_options = RunOptions(
                    servers_,
                    self.addresses.redis_url,
                    topic,
                    f"{app}-out",
                    app,
                    bundle,
                    self.directory / f"{app}-{number}",
                )
                run_options.directory.mkdir()
                running.start([*contender.command(run_options), *more], contender.environment)
            async with progress:
                return await measure_rate(running, progress, load.events, began, limit_s)
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
    """Print a line of progress to standard error."""
    click.echo(text, err=True)


def machine() -> dict[str, Any]:
    """Return the hardware and the versions on which the figures depend."""
    cpus = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]  # fmt: skip
    return {
        "cpu": cpus[0] if cpus else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kafka": "4.3.1",
    }


def median(rates: Sequence[Rate]) -> Rate:
    """Return the run with the median of events/s."""
    return sorted(rates, key=lambda r: r.events_s)[len(rates) // 2]


def write(result: dict[str, Any], table: list[str], out: Path | None) -> None:
    """Print the machine and a table; with ``out``, also write them and the JSON to files."""
    about = {**result.get("machine", {}), **result.get("versions", {})}
    table = [", ".join(f"{name} {value}" for name, value in about.items()), "", *table]
    click.echo("\n".join(table))
    if out is not None:
        out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        out.with_suffix(".md").write_text("\n".join(table) + "\n")


def run_with_servers(options: dict[str, Any], work: Any) -> Any:
    """Start the servers that no option names, and run a coroutine on them."""
    with ExitStack() as open_:
        scratch = open_.enter_context(tempfile.TemporaryDirectory(prefix="stream-rnn-bench-"))
        addresses = open_.enter_context(
            servers(options["bootstrap_servers"], options["redis_url"], on_progress=on_progress)
        )
        return asyncio.run(work(BenchEnvironment(addresses, Path(scratch))))


def common_options(command: Any) -> Any:
    """Add the options that all commands share."""
    for option in (
        click.option(
            "--bootstrap-servers", help="Addresses of a running Kafka. Default: start one."
        ),
        click.option("--redis-url", help="URL of a running Redis. Default: start one."),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            help="Write the result to OUT.json and OUT.md.",
        ),
    ):
        command = option(command)
    return command
