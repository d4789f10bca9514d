"""The options of ``stream-rnn compare``."""

from typing import Any

import click

from stream_rnn.cli.shared.log_options import label_options, log_options, scored_options
from stream_rnn.cli.shared.renamed_options import RenamingCommand
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import CLUSTER, FOLD


@click.command("compare", cls=RenamingCommand)
@click.argument("words", nargs=-1, type=click.Path(), metavar="[LOG] DIR DIR")
@log_options
@label_options
@scored_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@settings_options("app", *CLUSTER, *FOLD, "kafka_timeout_s")
def command(**given: Any) -> Any:
    """Hold two bundles against each other on the same log.

    Heads that both have, by name, are measured on the events that both answer; the difference has
    an interval by resampled keys, the same keys for both.  Then: where they differ most.

    Example: stream-rnn compare flights.jsonl bundles/old bundles/new --warm-up 2013-09-01
    """
    return work("compare").run(**given)
