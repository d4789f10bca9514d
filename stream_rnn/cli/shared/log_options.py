"""Options of the verbs that read a log: a file, or a range of a topic."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from stream_rnn.cli.shared.options import group_option, path_option
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.notebook.options import LogOptions
from stream_rnn.settings import CLUSTER, FOLD

F = TypeVar("F", bound=Callable[..., Any])

log_argument = click.argument("log", nargs=-1, type=click.Path(), metavar="[LOG]")
replay_settings = settings_options("app", *CLUSTER, *FOLD, "kafka_timeout_s")


def _combined(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that gives a command several options, in this order."""
    return lambda command: functools.reduce(lambda c, option: option(c), options[::-1], command)


order_option = group_option(
    LogOptions,
    "sort_by_time",
    "--sort-by-time/--no-sort-by-time",
    help="Read the rows of a file in the order of their event times, or as they stand; default: as they stand, but times that go back by much are refused.",
)
log_options = _combined(
    group_option(LogOptions, "topic", metavar="TOPIC", help="Topic to read instead of a file."),
    group_option(
        LogOptions,
        "from_",
        "--from",
        metavar="OFFSET|TIME",
        help="Offset or ISO 8601 time at which the range of --topic begins; default: the log start.",
    ),
    group_option(
        LogOptions,
        "to",
        metavar="OFFSET|TIME",
        help="Offset or ISO 8601 time before which the range of --topic ends; default: the log end.",
    ),
    group_option(
        LogOptions,
        "partitions",
        help="Number of partitions into which a file is split by its keys.",
    ),
    order_option,
)
label_options = _combined(
    path_option("--labels", help="File of labels, for heads with of = label."),
    click.option(
        "--labels-by",
        metavar="FIELD",
        help="Field that labels and events have in common; default: the offset.",
    ),
)
scored_options = _combined(
    group_option(
        ScoringOptions,
        "warm_up",
        metavar="TIME|SHARE",
        help="ISO 8601 time, or share of the log such as 0.2, before which no prediction is scored.",
    ),
    group_option(
        ScoringOptions,
        "steps_min",
        help="Minimum number of events in the memory of a scored prediction.",
    ),
    group_option(ScoringOptions, "only_last", help="Score only the last prediction of each key."),
    group_option(
        ScoringOptions,
        "split",
        metavar="SPLIT",
        help="Split that the bundle was trained with, such as time:0.8; only --part of it is scored.",
    ),
    group_option(ScoringOptions, "part", help="Part of --split to score."),
    group_option(
        ScoringOptions,
        "bootstrap_samples",
        help="Number of bootstrap samples of keys for the intervals; 0 computes no intervals.",
    ),
    group_option(ScoringOptions, "seed", help="Random seed of the bootstrap samples."),
)


def split_words(words: tuple[str, ...], topic: str | None, *more: str) -> list[str | None]:
    """Return the log that the arguments of a command name, then the arguments that follow it.

    Args:
        words: All arguments.
        topic: Topic that replaces the log, which is ``None`` then.
        more: Names of the arguments that follow.

    Raises:
        UsageError: There are too few arguments, or too many.
    """
    expected = [*(() if topic else ("LOG",)), *more]
    if len(words) != len(expected):
        raise click.UsageError(
            f"expected {' '.join(expected) or 'no LOG beside --topic'}; "
            "LOG is a file, and --topic replaces it"
        )
    return [None, *words] if topic else [*words]


def require_spec(spec: Path | None, *, is_given_by_log: bool) -> None:
    """Refuse a log without a feature spec.

    Args:
        spec: Path that the command line gives.
        is_given_by_log: Whether the log has a spec of its own.

    Raises:
        UsageError: There is no spec.
    """
    if spec is None and not is_given_by_log:
        raise click.UsageError(
            "give --spec FILE, the feature spec of the log; stream-rnn spec init LOG proposes one"
        )
