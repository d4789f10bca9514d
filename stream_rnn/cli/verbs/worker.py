"""The options of ``stream-rnn worker``."""

from typing import Any

import click

from stream_rnn.cli.shared.fold_options import FOLD_WORDS
from stream_rnn.cli.shared.interrupts import exit_on_sigterm
from stream_rnn.cli.shared.options import verb
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.settings import FOLD_NAMES, Settings


@verb("worker", FOLD_WORDS)
@settings_options(*Settings.model_fields, required=FOLD_NAMES)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="Lowest level of the messages to log.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Format of the log on standard error; json writes one object per line.",
)
def command(**options: Any) -> Any:
    """Run the stream worker: fold a topic and publish predictions.

    The worker needs a running Kafka and a running Redis; stream-rnn local runs both for
    development. Stop the worker with SIGTERM or Ctrl-C: it finishes its current micro-batch first.
    Exit status 3 means that a person must act, and 4 that the worker must be started
    again.
    """
    exit_on_sigterm()
    return load_work("worker").run(**options)
