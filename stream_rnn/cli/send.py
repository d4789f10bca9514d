"""``stream-rnn send``: a file's events to a topic."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.demo import flights
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.log import open_log
from stream_rnn.notebook.options import LogOptions
from stream_rnn.replay.send import Sending, send
from stream_rnn.settings import Settings


def run(
    settings: Settings,
    log: str,
    topic: str,
    spec: Path | None,
    rate: float,
    without: tuple[str, ...],
    create_partitions: int,
) -> None:
    """Send the events of LOG to TOPIC, keyed as the spec says, in the order of the file."""
    if spec is None and log != flights.NAME:
        raise click.UsageError("give --spec: the feature spec says which fields make the key")
    fields = FeatureSpec.read(spec or flights.SPEC)
    source = open_log(log, fields, LogOptions(), settings)
    how = Sending(topic, rate, without, create_partitions)
    console = Console(stderr=True)
    with RecordBars(console) as bars:
        sent = asyncio.run(send(source, settings, how, lambda records: bars(topic, records)))
    console.print(f"{sent} records sent to {topic}")
