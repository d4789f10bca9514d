"""The options of ``stream-rnn rollout``."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from stream_rnn.cli.shared.fold_options import FOLD_WORDS, OPTIONS, fold_options
from stream_rnn.cli.shared.log_options import label_options
from stream_rnn.cli.shared.options import (
    Float,
    group_option,
    json_option,
    path_option,
    verb,
    yes_option,
)
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.evaluation.rollout_options import RolloutOptions
from stream_rnn.settings import FOLD_NAMES

F = TypeVar("F", bound=Callable[..., Any])

PLACE = "--app departures --source flights"
PREDICTED = f"{PLACE} --predictions delays"
_place_options = settings_options(*OPTIONS, required=("app", "source"))
_predicted_options = settings_options(*OPTIONS, required=("app", "source", "predictions"))
_wait = click.option("--wait", "waits", is_flag=True, help="Wait until it is done; see --within.")


class _Partitions(click.ParamType):
    """Numbers of partitions, separated by commas."""

    name = "partitions"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the numbers."""
        if isinstance(value, frozenset):
            return value
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            self.fail(f"{value!r} is no list of partitions, such as 0,1", param, ctx)
        return frozenset(map(int, words))


_partitions = click.option(
    "--partitions",
    type=_Partitions(),
    metavar="N,N,...",
    help="Partitions to change; default: all.",
)


def _within(text: str) -> Callable[[F], F]:
    """Return the option ``--within``."""
    return click.option("--within", "within_s", type=Float(0, 86_400), default=300, help=text)


def _comparing(command: F) -> F:
    """Give a command the options of the comparison."""
    for option in reversed(
        (
            click.option(
                "--threshold",
                multiple=True,
                metavar="NUMBER|HEAD=NUMBER",
                help="Number above which a decision is yes: for all binary heads, or for one head; may be repeated; default: 0.5 for binary heads.",
            ),
            label_options,
            group_option(
                RolloutOptions,
                "predictions_max",
                "--max",
                help="Maximum number of predictions to read of each topic, backwards from its end; with three heads, each takes about 2 kB of memory.",
            ),
            group_option(
                RolloutOptions,
                "since",
                "--from",
                metavar="TIME",
                help="ISO 8601 time; the comparison begins at the first event that is not earlier; default: as far back as --max allows.",
            ),
            group_option(
                RolloutOptions,
                "bootstrap_samples",
                help="Number of bootstrap samples of keys for the intervals; 0 computes no intervals.",
            ),
            group_option(RolloutOptions, "seed", help="Random seed of the bootstrap samples."),
        )
    ):
        command = option(command)
    return command


@click.group("rollout")
def command() -> None:
    """Change the model under live load, at an exact offset, with a way back."""


@verb("start", f"{FOLD_WORDS.replace('bundles/delay', 'bundles/new')} --wait", command)
@settings_options(*OPTIONS, "rollout_bundle_bytes_max", required=FOLD_NAMES)
@click.option(
    "--from-log-start",
    is_flag=True,
    help="Accept that the new memories begin later than those of the fold in charge, because retention has removed records.",
)
@_wait
@_within("Seconds to wait with --wait.")
@yes_option
@json_option(note="; implies --yes")
def start(**options: Any) -> Any:
    """Let the running workers fold a new bundle beside the one in charge.

    The command puts the bundle of --bundle into Redis. The workers load it without a restart, and
    fold the log again with it, up to the group offset: this fold is the candidate. It folds while
    the fold in charge has nothing to do, otherwise for at most rollout_share of the time. Once it
    is warm, its predictions go to the topic PREDICTIONS.shadow, for comparing. Hidden states of both folds are in Redis until the roll-out is finished or the candidate's are
    dropped.

    All settings except the bundle must be those of the workers. With predictions in Avro, Protobuf
    or JSON Schema, a bundle with other heads needs its schema at the registry; see schema register.

    The command first prints what the roll-out will cost: records to fold, bytes in Redis, and CPU and
    time at a rate that it measures with the newest records, on this machine. With --wait, it ends when the candidate is warm in
    all partitions; the exit status is 1 if that takes too long.

    It is refused while another roll-out is open, if Redis has no room for the states, or while a
    member of the group is no worker of this version or a later one. While a roll-out is open, the
    command puts a bundle of it into Redis again that Redis has lost.
    """
    return load_work("rollout").start(**options)


@verb("status", PLACE, command)
@_place_options
@click.option(
    "--compare",
    "compares",
    is_flag=True,
    help="Compare the predictions of both folds, too; needs --predictions.",
)
@_comparing
@json_option()
def status(**options: Any) -> Any:
    """Show the folds of a roll-out in each partition, and what the workers report.

    The fold in charge of a partition is the one that its group offset names. The lag is the number
    of offsets by which the candidate is behind the group offset. The exit status is 1 if there is
    no roll-out.

    With --compare, the command also reads the last predictions of both folds, and shows for each
    head how much they differ, how many decisions differ, and which fold is better on the events
    whose target is known: those of heads of the next event, as soon as the key's next event is
    there, and those in --labels. See rollout report for all figures. The exit status is 1 if there
    is nothing to compare yet.
    """
    return load_work("rollout").status(**options)


@verb("report", f"{PREDICTED} --out rollout.html", command)
@_predicted_options
@path_option("--out", required=True, help="File to write the report to, as HTML.")
@_comparing
@json_option()
def report(**options: Any) -> Any:
    """Compare the predictions of both folds of a roll-out, and write a page.

    The candidate publishes its predictions to the shadow topic. The command reads the last --max
    predictions of that topic, and of the predictions topic in the same range, and joins them by
    source partition and offset, of each fold only those from its present origin. For each head that
    both bundles have, the page shows the mean and the largest difference, the decisions at
    --threshold that differ in each direction, the keys and events that differ most, and the metrics
    of both folds on the events whose target is known. The 95 % interval of a difference comes from a
    bootstrap over the keys, which draws the same keys for both folds.

    For the targets, the command reads the source in the same range: heads of the next event have
    one as soon as the key's next event is there, and heads with of = label if --labels has one.
    Nothing is folded again, and nothing is written but the page.
    """
    return load_work("rollout").report(**options)


@verb("promote", f"{PLACE} --wait", command)
@_place_options
@click.option(
    "--fold",
    default="new",
    metavar="FOLD",
    help="Fold to put in charge: new, old, or its id.",
)
@_partitions
@_wait
@_within("Seconds to wait with --wait.")
@json_option("partition")
def promote(**options: Any) -> Any:
    """Put a fold in charge of publishing, at one exact offset of each partition.

    The owner of a partition carries the request out as soon as the candidate is warm: the fold in
    charge finishes its micro-batch, the candidate reaches the group offset, and one commit names it
    there. The other fold goes on as the candidate, so the way back is the same command with --fold
    old. A promote of the fold in charge cancels a request that is pending.

    The command is refused until every worker has loaded both bundles. With --wait, the exit status
    is 1 if a request was not carried out in time; it stands then.
    """
    return load_work("rollout").promote(**options)


@verb("finish", PLACE, command)
@_place_options
@_within("Seconds to wait for the workers.")
@yes_option
@json_option(note="; implies --yes")
def finish(**options: Any) -> Any:
    """End a roll-out: drop the states of the fold that is not in charge.

    There is no way back afterwards, except by another roll-out, which folds the log again. One fold
    must be in charge of all partitions, and no request may be pending. Both bundles stay in Redis
    until the next start, because workers that begin with the old bundle need the new one. Restart
    the workers with the bundle of the fold in charge when it suits you.

    A finish that was interrupted goes on when the command is repeated.
    """
    return load_work("rollout").finish(**options)


@verb("abandon", f"{FOLD_WORDS} --wait", command)
@fold_options
@_partitions
@_wait
@_within("Seconds to wait with --wait.")
@yes_option
@json_option("partition", "; implies --yes")
def abandon(**options: Any) -> Any:
    """Let the workers' own bundle take over from a fold whose bundle is lost.

    A worker stops if a cut-over has put a fold in charge whose bundle neither it nor Redis has. If
    you have that bundle, start the workers with it instead. Otherwise this command lets the bundle
    of --bundle, with which you then start the workers, take over at the group offset. It begins at
    the log start, silently below the group offset, unless Redis has its states.

    The command is refused while a worker has the bundle of the fold in charge. The states of the
    abandoned fold stay in Redis: remove them with state drop if you have its bundle, or by their
    keys.
    """
    return load_work("rollout").abandon(**options)
