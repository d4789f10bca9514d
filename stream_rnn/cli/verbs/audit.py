"""The options of ``stream-rnn audit``."""

from typing import Any

import click

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.shared.state_options import OPTIONS
from stream_rnn.cli.verbs import work
from stream_rnn.settings import FOLD_NAMES


@click.command("audit")
@settings_options(*OPTIONS, required=FOLD_NAMES)
@click.option(
    "--from", "first", help="Offset or ISO 8601 time to begin at; default: the log start."
)
@click.option(
    "--to", "last", help="Offset or ISO 8601 time to end before; default: all that is published."
)
@click.option(
    "--partition",
    "partitions",
    type=click.IntRange(0),
    multiple=True,
    help="Audit only this partition; may be given often.",
)
@click.option(
    "--key", "keys", multiple=True, help="Audit only this key, or base64:...; may be given often."
)
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the keys to audit, the same ones each time.",
)
@click.option(
    "--examples",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="Number of examples to show of each kind of finding.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(**given: Any) -> Any:
    """Hold a predictions topic against a replay of its source.

    The source is folded again in memory, up to what the group has published, and every prediction
    and dead letter is compared, with key, timestamp and headers: byte for byte where this machine
    computes as production did, else by value.  The worker may run meanwhile.  Where a memory began
    before --from, the outputs cannot be compared: the prediction is counted, and all else of it is
    checked.  What other folds or retention leave nobody to compare is counted and said.

    The audit reads no Redis; it accepts the options of Redis and of recovery so that one line of
    options serves every command of a fold.

    Exit status 0 only if something was compared and all is as it should be.  With --delivery
    at_least_once, what is repeated with the same bytes is no fault.

    Example: stream-rnn audit --app departures --source flights --predictions delays
    --bundle bundles/delay --from 2026-11-01
    """
    return work("audit").run(**given)
