"""The options of ``stream-rnn worker``."""

from typing import Any

import click

from stream_rnn.cli.shared.interrupts import terminate_at_once
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import FOLD_NAMES, Settings


@click.command("worker")
@settings_options(*Settings.model_fields, required=FOLD_NAMES)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="what is logged, on standard error",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object a line",
)
def command(**given: Any) -> Any:
    """Fold a topic: read events, step the network, publish predictions.

    Needs a running Kafka and Redis; stream-rnn local runs both for development.  Stop it with
    SIGTERM or Ctrl-C: the batch in hand is finished first.  Exit status 3: a person must act;
    4: restart me.

    Example: stream-rnn worker --app departures --source flights --predictions delays
    --bundle bundles/delay --redis-url redis://localhost:6379/0
    """
    terminate_at_once()
    return work("worker").run(**given)
