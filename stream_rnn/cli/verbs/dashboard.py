"""The options of ``stream-rnn dashboard``."""

from typing import Any

import click

from stream_rnn.cli.shared.fold_options import FOLD_WORDS, fold_options
from stream_rnn.cli.shared.options import Integer, verb
from stream_rnn.cli.verbs import load_work


@verb("dashboard", FOLD_WORDS)
@fold_options
@click.option(
    "--worker",
    "workers",
    multiple=True,
    metavar="URL",
    help="Health address of a worker, http://host:port; may be repeated; default: the usual ports of this machine.",
)
@click.option(
    "--port",
    type=Integer(0, 65535),
    default=9480,
    help="Port on 127.0.0.1 to listen on; 0 chooses a free port.",
)
def command(**options: Any) -> Any:
    """Show a running fold on a local web page until Ctrl-C.

    The page shows the positions of each partition, the workers, rates, latency and predictions, and
    looks up single keys. It is read-only, listens on 127.0.0.1 alone, and loads nothing from other
    hosts. The dashboard takes the options of the worker.
    """
    return load_work("dashboard").run(**options)
