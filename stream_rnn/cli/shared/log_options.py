"""Options of the verbs that read a log: a file, or a range of a topic."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = (
    click.option("--topic", help="read a topic instead of a file"),
    click.option("--from", "from_", help="offset or ISO 8601 time; default: log start"),
    click.option("--to", help="offset or ISO 8601 time, not included; default: log end"),
    click.option(
        "--partitions",
        type=click.IntRange(1, 4096),
        default=1,
        show_default=True,
        help="a file is split into so many",
    ),
)
LABELS = (
    click.option(
        "--labels", type=click.Path(path_type=Path), help="file of labels, for of = label"
    ),
    click.option("--labels-by", help="field that events and labels share; default: the offset"),
)
SCORED = (
    click.option(
        "--warm-up", help="not scored up to here: an ISO 8601 time, or a share such as 0.2"
    ),
    click.option(
        "--steps-min",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="predictions of shorter memories are not scored",
    ),
    click.option("--only-last", is_flag=True, help="score only the last prediction of each key"),
    click.option("--split", help="the split of training, so that only one part is scored"),
    click.option(
        "--part",
        type=click.Choice(["train", "validation", "test"]),
        default="test",
        show_default=True,
        help="of --split",
    ),
    click.option(
        "--bootstrap-samples",
        "bootstrap_samples",
        type=click.IntRange(0, 10_000),
        default=200,
        show_default=True,
        help="of keys, for the intervals; 0 for none",
    ),
    click.option("--seed", type=int, default=1, show_default=True, help="of the intervals"),
)


def split_words(words: tuple[str, ...], topic: str | None, *more: str) -> list[str | None]:
    """Return the log that the words of the command line name, then the words that follow it.

    Args:
        words: what was given.
        topic: what takes the place of the log, which is then ``None``.
        more: names of the words that follow.

    Raises:
        UsageError: there are too few or too many.
    """
    expected = [*(() if topic else ("LOG",)), *more]
    if len(words) != len(expected):
        raise click.UsageError(
            f"give {' '.join(expected) or 'no word beside --topic'}; "
            "LOG is a file, --topic takes its place"
        )
    return [None, *words] if topic else [*words]


def log_options(command: F) -> F:
    """Give a command ``--topic``, ``--from``, ``--to`` and ``--partitions``."""
    return _with(OPTIONS, command)


def label_options(command: F) -> F:
    """Give a command ``--labels`` and ``--labels-by``."""
    return _with(LABELS, command)


def scored_options(command: F) -> F:
    """Give a command the options that say what is scored."""
    return _with(SCORED, command)


def _with(options: Sequence[Callable[[F], F]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command
