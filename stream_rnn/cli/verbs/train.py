"""The options of ``stream-rnn train``."""

from importlib.metadata import entry_points
from typing import Any

from stream_rnn.cli.shared.log_options import label_options, log_argument, log_options
from stream_rnn.cli.shared.options import group_option, json_option, path_option, spec_option, verb
from stream_rnn.cli.shared.settings_options import settings_options, training_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.notebook.options import TrainOptions
from stream_rnn.options import CELL_GROUP, CELLS
from stream_rnn.settings import CLUSTER, FOLD


def complete_cell(_context: Any, _parameter: Any, begun: str) -> list[str]:
    """Return the names of cells that begin with a text."""
    names = [*CELLS, *(entry.name for entry in entry_points(group=CELL_GROUP))]
    return [name for name in names if name.startswith(begun)]


@verb("train", "nycflights13 --out bundles/delay --hidden 48 --split time:2013-09-01")
@log_argument
@log_options
@spec_option
@path_option("--out", "DIRECTORY", required=True, help="Directory to write the bundle to.")
@group_option(
    TrainOptions,
    "cell",
    metavar="NAME",
    shell_complete=complete_cell,
    help=f"Recurrent cell: {', '.join(CELLS)}, or a cell of an installed package; elman is the cell of torch.nn.RNN.",
)
@group_option(TrainOptions, "hidden", help="Hidden size of each layer.")
@group_option(TrainOptions, "layers", help="Number of recurrent layers.")
@group_option(
    TrainOptions,
    "cell_options",
    "--cell-option",
    metavar="NAME=VALUE",
    multiple=True,
    help="Option of a cell of an installed package; repeat it for several options.",
)
@group_option(
    TrainOptions,
    "split",
    metavar="SPLIT",
    help="Boundary between training and test part: time:0.8, time:2013-09-01, key:0.8 or column:NAME.",
)
@label_options
@group_option(
    TrainOptions,
    "seeds",
    help="Number of random seeds to train with; the network with the lowest validation loss is written.",
)
@group_option(
    TrainOptions,
    "search",
    help="Number of hyperparameter settings to try first; training then uses the settings with the lowest validation loss; 0 tries none.",
)
@training_options
@group_option(
    TrainOptions,
    "threads",
    help="Number of torch threads; more than one seldom helps, because the matrices of a step are small.",
)
@json_option()
@settings_options(*CLUSTER, *FOLD, "kafka_timeout_s")
def command(**options: Any) -> Any:
    """Train a recurrent network and its memoryless baseline on a log.

    LOG is a .jsonl, .csv, .parquet or .avro file, a directory of such files, or nycflights13; --topic
    reads a topic instead. Training takes the rows of a file as events, in the order of the file. It
    writes the bundle to --out. It also writes the memoryless baseline, a feed-forward network of the same size on the same
    features, to --out/memoryless, and the naive rules, which predict a constant or from the last
    value of the key, to --out/naive.json.

    Ctrl-C loses at most one epoch: the same command resumes the training.
    """
    return load_work("train").run(**options)
