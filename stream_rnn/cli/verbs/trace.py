"""The options of ``stream-rnn trace``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.log_options import log_options
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import CLUSTER, FOLD


@click.command("trace")
@click.argument("words", nargs=-1, type=click.Path(), required=True, metavar="[LOG] KEY")
@log_options
@click.option(
    "--partition", type=click.IntRange(0), help="Look into this partition of a topic only."
)
@click.option(
    "--bundle", type=click.Path(path_type=Path), required=True, help="Directory of the bundle."
)
@click.option("--until", type=click.IntRange(0), help="Stop after this offset.")
@click.option(
    "--last",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Number of steps to show, the last ones.",
)
@click.option(
    "--picture", type=click.Path(path_type=Path), help="File to write a picture to, as SVG."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@settings_options("app", *CLUSTER, *FOLD, "kafka_timeout_s")
def command(**given: Any) -> Any:
    """Unroll the network over the events of KEY: x, gates, memory and outputs, step by step.

    LOG is a .jsonl, .csv or .parquet file; with --topic it is a range of a topic, all partitions
    of which are searched for the key.  KEY is text, or base64: and its bytes.  With --until it
    shows what the network remembered when it answered that offset.  State and outputs have the
    bits of the worker's, if the range begins where its fold began and --state-ttl is the same.

    Example: stream-rnn trace flights.jsonl UA-EWR --bundle bundles/delay --until 1234
    """
    return work("trace").run(**given)
