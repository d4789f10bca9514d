"""The options of ``stream-rnn tail``."""

from typing import Any

import click

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import CLUSTER


@click.command("tail")
@click.argument("topic")
@settings_options(*CLUSTER, "kafka_timeout_s")
@click.option(
    "--from-beginning", is_flag=True, help="Begin at the log start instead of the log end."
)
@click.option(
    "--max", "count_max", type=click.IntRange(1), help="Stop after this many predictions."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line, as it was published."
)
def command(**given: Any) -> Any:
    """Print the predictions of TOPIC as they come, each once, until Ctrl-C.

    Needs a running Kafka; nothing is committed.  Values that are not predictions are counted at
    the end.

    Example: stream-rnn tail delays --from-beginning --max 10 --json
    """
    return work("tail").run(**given)
