"""The options of ``stream-rnn bundle``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.options import json_option, verb
from stream_rnn.cli.verbs import load_work


@click.group("bundle")
def command() -> None:
    """Show the content of a bundle."""


@verb("show", "bundles/delay", command)
@click.argument("directory", type=click.Path(path_type=Path))
@json_option()
def show(**options: Any) -> Any:
    """Show cell, parameters, features, heads and fingerprint of the bundle in DIRECTORY."""
    return load_work("bundle").show(**options)
