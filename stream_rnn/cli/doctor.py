"""``stream-rnn doctor``: is everything as a worker needs it?"""

import asyncio
import sys
import time
from dataclasses import asdict

import orjson
from rich.console import Console

from stream_rnn.cli.shared.tables import output, show_text
from stream_rnn.operate.check_result import Finding, Level
from stream_rnn.operate.doctor import examine
from stream_rnn.settings import FoldSettings

MARKS = {Level.FINE: "[green]fine[/]   ", Level.WARNING: "[yellow]warning[/]", Level.BAD: "[red]bad[/]    "}  # fmt: skip

INDENT = " " * 8


def run(settings: FoldSettings, keys: int | None, writes: bool, as_json: bool) -> int:
    """Check machine, bundle, Redis, Kafka, rights and positions; say what to do."""
    console = output()
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
    text = f"{finding.what}: {finding.said}"
    show_text(console, text, INDENT, lead=f"{MARKS[finding.level]} ")
    if finding.remedy:
        show_text(console, INDENT + finding.remedy, INDENT)
