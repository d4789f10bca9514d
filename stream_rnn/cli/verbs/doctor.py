"""The options of ``stream-rnn doctor``."""

from typing import Any

import click

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.shared.state_options import OPTIONS
from stream_rnn.cli.verbs import work
from stream_rnn.settings import FOLD_NAMES


@click.command("doctor")
@settings_options(
    *OPTIONS,
    "allow_short_retention",
    "output_batch_bytes_max",
    "partitions_max",
    "transaction_timeout_ms",
    required=FOLD_NAMES,
)
@click.option(
    "--keys",
    type=click.IntRange(1),
    help="Number of keys to expect; the doctor then checks that they fit into Redis.",
)
@click.option(
    "--write",
    "writes",
    is_flag=True,
    help="Also open a transaction over the outputs and abort it, which writes markers but no record.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each check.")
def command(**given: Any) -> Any:
    """Check machine, bundle, Redis, Kafka, rights and positions; say what to do.

    Workers may run.  Takes the worker's options.  Exit status 1: something is bad; warnings alone
    are 0.

    Example: stream-rnn doctor --app departures --source flights --predictions delays
    --bundle bundles/delay --keys 1000000
    """
    return work("doctor").run(**given)
