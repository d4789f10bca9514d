"""``stream-rnn send``: the events of a file to a topic."""

import asyncio
from pathlib import Path

import click

from stream_rnn.cli.shared.log_options import require_spec
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.demo import flights
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.log import open_log
from stream_rnn.notebook.options import LogOptions
from stream_rnn.replay.send import SendOptions, send
from stream_rnn.settings import Settings


def run(
    settings: Settings,
    log: str,
    topic: str,
    spec: Path | None,
    rate: float,
    without: tuple[str, ...],
    create_partitions: int,
    sort_by_time: bool | None,
) -> None:
    """Send the events of a file to a topic, in the order of the file."""
    require_spec(spec, is_given_by_log=log == flights.NAME)
    fields = FeatureSpec.read(spec or flights.SPEC)
    source = open_log(log, fields, LogOptions(sort_by_time=sort_by_time), settings)
    sending = SendOptions(topic, rate, without, create_partitions)
    with RecordBars() as bars:
        sent = asyncio.run(send(source, settings, sending, lambda records: bars(topic, records)))
    click.echo(f"{sent} records sent to {topic}", err=True)
