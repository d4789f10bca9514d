"""The options of ``stream-rnn evaluate``."""

from typing import Any

from stream_rnn.cli.shared.log_options import (
    label_options,
    log_argument,
    log_options,
    replay_settings,
    scored_options,
)
from stream_rnn.cli.shared.options import bundle_option, json_option, path_option, verb
from stream_rnn.cli.verbs import load_work


@verb("evaluate", "nycflights13 --bundle bundles/delay --warm-up 2013-09-01 --report delay.html")
@log_argument
@log_options
@bundle_option
@label_options
@scored_options
@path_option("--report", help="File to write a report to, as HTML; default: no report.")
@json_option()
@replay_settings
def command(**options: Any) -> Any:
    """Measure how good a bundle is on a log, and what its memory is worth.

    LOG is a .jsonl, .csv, .parquet or .avro file, a directory of such files, or nycflights13; --topic
    reads a topic instead. The
    evaluation folds the log as the worker does, and compares each prediction with the later events
    of its key, or with --labels. It also scores the memoryless baseline and the naive rule that
    was better on the validation part of the training. The 95 % intervals come from a bootstrap
    over the keys.
    """
    return load_work("evaluate").run(**options)
