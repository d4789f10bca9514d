"""The options of ``stream-rnn deadletters``."""

from typing import Any

import click

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.fold.reasons import REASONS
from stream_rnn.settings import CLUSTER

OPTIONS = ("source", "predictions", "dead_letters", *CLUSTER, "kafka_timeout_s")

_reason = click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice(list(REASONS)),
    help="Only dead letters with this code; may be given often.",
)
_partition = click.option(
    "--partition", type=click.IntRange(0), help="Only dead letters of this partition of the source."
)


@click.group("deadletters")
def command() -> None:
    """Look at skipped records, and put them back after a fix."""


@command.command("list")
@settings_options(*OPTIONS, required=("predictions",))
@_reason
@_partition
@click.option(
    "--examples",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="Number of examples to show for each reason.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each dead letter.")
def list_(**given: Any) -> Any:
    """Count dead letters by reason, with examples.

    Example: stream-rnn deadletters list --predictions delays
    """
    return work("deadletters").list_(**given)


@command.command("show")
@click.argument("partition", type=click.IntRange(0))
@click.argument("offset", type=click.IntRange(0))
@settings_options(*OPTIONS, required=("predictions",))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(**given: Any) -> Any:
    """Show the dead letter of the source record at PARTITION OFFSET, value and headers too.

    Exit status 1: there is none.

    Example: stream-rnn deadletters show 2 1234 --predictions delays
    """
    return work("deadletters").show(**given)


@command.command("retry")
@settings_options("app", *OPTIONS, required=("app", "source", "predictions"))
@_reason
@_partition
@click.option("--from", "first", type=click.IntRange(0), help="First source offset to put back.")
@click.option("--to", "last", type=click.IntRange(0), help="Last source offset to put back.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object, and do not ask for confirmation.",
)
def retry(**given: Any) -> Any:
    """Put skipped records back into the source, after what was wrong was mended.

    They come behind all that is there, with new offsets and their old timestamps: in the key's
    memory they are late.  The fold that skipped a record would skip it again, for it decides by the
    record alone: retry helps where another bundle or another limit, so another fold, runs now.
    That one has folded the old record in its place too, silently, if the log still held it.
    A header, sr-retry-of, names the old place.  The dead letters stay, they
    are a log; a note beside them, in the same transaction, keeps each from being put back twice.
    Exit status 1: some were cut when they were skipped, or were empty, and could not be put back.

    Example: stream-rnn deadletters retry --app departures --source flights --predictions delays
    --reason not_json
    """
    return work("deadletters").retry(**given)
