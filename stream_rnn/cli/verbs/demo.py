"""The options of ``stream-rnn demo``."""

from typing import Any

import click

from stream_rnn.cli.verbs import work


@click.command("demo")
@click.option(
    "--events", type=click.IntRange(10), help="Number of events to send; default: all 328,521."
)
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=8000,
    show_default=True,
    help="Events to send a second; 0 sends as fast as possible.",
)
@click.option("--no-faults", is_flag=True, help="Do not kill a worker or wipe Redis.")
@click.option("--dashboard", is_flag=True, help="Show the fold on a local page meanwhile.")
@click.option("--keep", is_flag=True, help="Leave the servers running until Ctrl-C.")
@click.option(
    "--bootstrap-servers",
    help="Addresses of a Kafka that runs already; default: the demo starts one.",
)
@click.option(
    "--redis-url",
    help="URL of a Redis that runs already, of which the demo deletes only its own keys; default: the demo starts one.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the figures as one JSON object, alone on standard output.",
)
def command(**given: Any) -> Any:
    """Stream the 328,521 departures from New York's airports in 2013 through two real workers.

    The question: will the next departure of this carrier and airport leave more than 15 minutes
    late?  When half is published, one worker is killed and Redis is wiped.  At the end everything
    that was published is compared with the log.  Exit status 1 if anything is missing, duplicated
    or different.
    """
    return work("demo").run(**given)
