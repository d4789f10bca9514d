"""The options of ``stream-rnn bundle``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.options import example, json_option
from stream_rnn.cli.verbs import work


@click.group("bundle")
def command() -> None:
    """Show the content of a bundle."""


@command.command("show", epilog=example("stream-rnn bundle show bundles/delay"))
@click.argument("directory", type=click.Path(path_type=Path))
@json_option()
def show(**options: Any) -> Any:
    """Show cell, parameters, features, heads and fingerprint of the bundle in DIRECTORY."""
    return work("bundle").show(**options)
