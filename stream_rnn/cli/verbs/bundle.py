"""The options of ``stream-rnn bundle``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.verbs import work


@click.group("bundle")
def command() -> None:
    """Look at a bundle."""


@command.command("show")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(**given: Any) -> Any:
    """Show what a bundle computes: cell, parameters, features, heads, fingerprint."""
    return work("bundle").show(**given)
