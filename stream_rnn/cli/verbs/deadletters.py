"""The options of ``stream-rnn deadletters``."""

from typing import Any

import click

from stream_rnn.cli.shared.options import Integer, json_option, verb, yes_option
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.fold.skip_reasons import SKIP_REASONS
from stream_rnn.settings import CLUSTER

OPTIONS = ("source", "predictions", "dead_letters", *CLUSTER, "kafka_timeout_s")

_reason = click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice(list(SKIP_REASONS)),
    metavar="REASON",
    help="Reason of the dead letters to select; may be repeated; default: all. "
    f"One of {', '.join(SKIP_REASONS)}.",
)
_partition = click.option(
    "--partition",
    type=Integer(0),
    help="Source partition of the dead letters to select; default: all.",
)


@click.group("deadletters")
def command() -> None:
    """Inspect skipped records, and put them back into the source."""


@verb("list", "--predictions delays --reason not_json", command)
@settings_options(*OPTIONS, required=("predictions",))
@_reason
@_partition
@click.option(
    "--examples",
    type=Integer(0, 1000),
    default=3,
    help="Number of examples to print for each reason.",
)
@json_option("dead letter")
def list_(**options: Any) -> Any:
    """Count dead letters by reason, with examples."""
    return load_work("deadletters").list_(**options)


@verb("show", "2 1234 --predictions delays", command)
@click.argument("partition", type=Integer(0))
@click.argument("offset", type=Integer(0))
@settings_options(*OPTIONS, required=("predictions",))
@json_option("dead letter")
def show(**options: Any) -> Any:
    """Show the dead letter of one source record, with value and headers.

    PARTITION and OFFSET are those of the source record. The exit status is 1 if it has no dead
    letter.
    """
    return load_work("deadletters").show(**options)


@verb("retry", "--app departures --source flights --predictions delays --reason not_json", command)
@settings_options("app", *OPTIONS, required=("app", "source", "predictions"))
@_reason
@_partition
@click.option(
    "--from", "first", type=Integer(0), help="Lowest source offset to put back; default: 0."
)
@click.option(
    "--to",
    "last",
    type=Integer(0),
    help="Highest source offset to put back; default: no limit.",
)
@yes_option
@json_option(note="; implies --yes")
def retry(**options: Any) -> Any:
    """Put skipped records back into the source after their cause is fixed.

    The records are appended to the source, with new offsets and their old timestamps; in the memory
    of their key they arrive late. The fold that skipped a record skips it again, because only the
    record and the settings decide. So retry helps if another fold runs now, with another bundle or
    another limit. If the log still contains the old record, the new fold has already
    folded that record in its old place, silently. A record that forgets its key, such as a deletion
    of event.forget_when, forgets what the key's later events have left, too.

    The header sr-retry-of names the old place of a record. The dead letters remain. The
    transaction that puts a record back also writes a note to the dead letters topic, so that no
    record is put back twice.

    The exit status is 1 if a record could not be put back because its dead letter contains only a
    part of the value, or because it has neither key nor value.
    """
    return load_work("deadletters").retry(**options)
