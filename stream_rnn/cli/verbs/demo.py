"""The options of ``stream-rnn demo``."""

from typing import Any

import click

from stream_rnn.cli.verbs import work


@click.command("demo")
@click.option(
    "--events", type=click.IntRange(10), help="only the first so many; default: all 328,521"
)
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=8000,
    show_default=True,
    help="events a second; 0: as fast as possible",
)
@click.option("--no-faults", is_flag=True, help="kill and wipe nothing")
@click.option("--dashboard", is_flag=True, help="show it on a local page meanwhile")
@click.option("--keep", is_flag=True, help="leave the servers running until Ctrl-C")
@click.option("--bootstrap-servers", help="a Kafka that runs already; default: one is started")
@click.option(
    "--redis-url",
    help="a Redis that runs already: only our own keys are unlinked; default: one is started",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="the figures as one JSON object, alone on standard output",
)
def command(**given: Any) -> Any:
    """Stream the 328,521 departures from New York's airports in 2013 through two real workers.

    The question: will the next departure of this carrier and airport leave more than 15 minutes
    late?  When half is published, one worker is killed and Redis is wiped.  At the end everything
    that was published is compared with the log.  Exit status 1 if anything is missing, duplicated
    or different.
    """
    return work("demo").run(**given)
