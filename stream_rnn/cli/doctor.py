"""``stream-rnn doctor``: checks of everything that a worker needs."""

import asyncio
import time
from dataclasses import asdict

from rich.console import Console

from stream_rnn.cli.shared.printing import output_console, print_json, print_text
from stream_rnn.operate.check_result import Finding, Level
from stream_rnn.operate.doctor import examine
from stream_rnn.settings import FoldSettings

MARKS = {Level.FINE: "[green]fine[/]   ", Level.WARNING: "[yellow]warning[/]", Level.BAD: "[red]bad[/]    "}  # fmt: skip

INDENT = " " * 8


def run(
    settings: FoldSettings, keys: int | None, candidate: str | None, writes: bool, as_json: bool
) -> int:
    """Check everything that a worker needs, and suggest remedies."""
    console = output_console()
    levels = []

    async def check() -> None:
        wall = time.time  # noqa: TID251  # ages of backups, and clocks, which the fold does not use
        checks = examine(settings, wall, keys=keys, writes=writes, candidate=candidate)
        async for finding in checks:
            levels.append(finding.level)
            if as_json:
                print_json(asdict(finding))
            else:
                _print(console, finding)

    asyncio.run(check())
    if not as_json:
        console.print(", ".join(f"{levels.count(level)} {level}" for level in Level))
    return 1 if Level.BAD in levels else 0


def _print(console: Console, finding: Finding) -> None:
    text = f"{finding.what}: {finding.said}"
    print_text(console, text, INDENT, lead=f"{MARKS[finding.level]} ")
    if finding.remedy:
        print_text(console, INDENT + finding.remedy, INDENT)
