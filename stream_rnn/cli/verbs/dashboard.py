"""The options of ``stream-rnn dashboard``."""

from typing import Any

import click

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.shared.state_options import OPTIONS
from stream_rnn.cli.verbs import work
from stream_rnn.settings import FOLD_NAMES


@click.command("dashboard")
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option(
    "--worker",
    "workers",
    multiple=True,
    help="Health address of a worker, http://host:port; may be given often; default: the usual ports of this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9480,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
def command(**given: Any) -> Any:
    """Show a running fold on a local page, until Ctrl-C.

    Positions of each partition, workers, rates, latency, what is predicted, and a look-up of a key.
    Read-only, on 127.0.0.1 alone, without anything from elsewhere; takes the worker's options.

    Example: stream-rnn dashboard --app departures --source flights --predictions delays
    --bundle bundles/delay
    """
    return work("dashboard").run(**given)
