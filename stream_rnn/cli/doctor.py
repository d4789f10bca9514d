"""``stream-rnn doctor``: is everything as a worker needs it?"""

import asyncio
import sys
import time
from dataclasses import asdict

import click
import orjson
from rich.console import Console

from stream_rnn.cli.options import settings_options
from stream_rnn.cli.state_options import NEEDED, OPTIONS
from stream_rnn.operate.doctor import examine
from stream_rnn.operate.findings import Finding, Level
from stream_rnn.settings import Settings

MARKS = {Level.FINE: "[green]fine[/]   ", Level.WARNING: "[yellow]warning[/]", Level.BAD: "[red]bad[/]    "}  # fmt: skip


@click.command("doctor")
@settings_options(
    *OPTIONS,
    "dead_letters",
    "allow_short_retention",
    "delivery",
    "output_batch_bytes_max",
    "partitions_max",
    "transaction_timeout_ms",
    required=NEEDED,
)
@click.option("--keys", type=click.IntRange(1), help="expected number of keys: do they fit?")
@click.option(
    "--write",
    "writes",
    is_flag=True,
    help="also open a transaction over the outputs and abort it: markers, but no record",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object a check")
def command(settings: Settings, keys: int | None, writes: bool, as_json: bool) -> int:
    """Check machine, bundle, Redis, Kafka, rights and positions; say what to do.

    Workers may run.  Takes the worker's options.  Exit status 1: something is bad; warnings alone
    are 0.

    Example: stream-rnn doctor --app departures --source flights --predictions delays
    --bundle bundles/delay --keys 1000000
    """
    console = Console(highlight=False, soft_wrap=True)
    levels = []

    async def run() -> None:
        wall = time.time  # noqa: TID251  # ages of backups and clocks, never of the fold
        async for finding in examine(settings, wall, keys=keys, writes=writes):
            levels.append(finding.level)
            if as_json:
                sys.stdout.write(orjson.dumps(asdict(finding)).decode() + "\n")
            else:
                _show(console, finding)

    asyncio.run(run())
    if not as_json:
        counts = ", ".join(f"{levels.count(level)} {level}" for level in Level)
        console.print(counts)
    return 1 if Level.BAD in levels else 0


def _show(console: Console, finding: Finding) -> None:
    console.print(MARKS[finding.level], end=" ")
    console.print(f"{finding.what}: {finding.said}", markup=False)
    if finding.remedy:
        console.print(f"        {finding.remedy}", markup=False)
