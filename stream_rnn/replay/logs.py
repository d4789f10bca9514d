"""Logs that replay, evaluation, trace and comparison read: a file, or a range of a topic."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from aiokafka import TopicPartition

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Record
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.topic_logs import list_partitions, resolve_bound
from stream_rnn.settings import Settings

if TYPE_CHECKING:
    from stream_rnn.replay.files import Rows

FRAME_NAME = "frame"


@dataclass(frozen=True, slots=True)
class Range:
    """A range of offsets of one partition.

    Attributes:
        partition: Number of the partition.
        start: First offset.
        end: Offset after the last one; ``None`` for the end of a file.
    """

    partition: int
    start: int
    end: int | None


def topic_partitions(ranges: Sequence[Range]) -> int:
    """Return the number of partitions of a topic; 0 for a file, whose offsets are row numbers."""
    return sum(source_range.end is not None for source_range in ranges)


def is_sorted(log: "Log") -> bool:
    """Return whether a log is a file whose rows are sorted, so that their numbers change."""
    return isinstance(log, FileLog) and bool(log.sort_by_time)


class Log(Protocol):
    """A log as ranges of records; an async context manager that can be pickled before it opens."""

    @property
    def name(self) -> str:
        """Name of the log, which is the source topic in predictions."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_exception: object) -> None: ...

    async def ranges(self) -> list[Range]:
        """Return one range for each partition."""

    def batches(self, source_range: Range) -> AsyncGenerator[Sequence[Record]]:
        """Yield the records of a range in offset order, in batches."""


@dataclass(frozen=True)
class FileLog:
    """A .jsonl, .csv, .parquet or .avro file, a directory of such files, or a data frame.

    Attributes:
        rows: Path of the file or the directory, or the data frame.
        spec: The feature spec, for the format, the key and the event time.
        partitions: Number of partitions into which the rows are split by key.
        sort_by_time: Whether to sort the rows by event time; ``None`` to refuse rows whose times go
            back by much, ``False`` to take them as they stand.
    """

    rows: "Rows"
    spec: FeatureSpec
    partitions: int = 1
    sort_by_time: bool | None = None

    @property
    def name(self) -> str:
        """Name of the file without its extensions, with ``_`` for what no topic name contains."""
        if not isinstance(self.rows, Path):
            return FRAME_NAME
        from stream_rnn.replay.text_files import strip_suffix  # noqa: PLC0415  # as below

        return re.sub(r"[^A-Za-z0-9._-]", "_", strip_suffix(self.rows).stem)[:249] or "log"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Do nothing: the file is open only while it is read."""

    async def ranges(self) -> list[Range]:
        """Return one range for each partition, which is the whole partition."""
        return [Range(partition, 0, None) for partition in range(self.partitions)]

    async def batches(self, source_range: Range) -> AsyncGenerator[Sequence[Record]]:
        """Yield the records of a partition; reads the whole file for each partition."""
        from stream_rnn.replay.files import read_batches  # noqa: PLC0415  # a topic needs no polars

        batches = read_batches(
            self.rows,
            self.spec,
            source_range.partition,
            self.partitions,
            sort_by_time=self.sort_by_time,
        )
        for records in batches:
            if records:
                yield records
            await asyncio.sleep(0)  # lets Ctrl-C cancel the task


@dataclass
class TopicLog:
    """A range of a topic, without records of aborted transactions.

    Attributes:
        settings: Settings with the connection and its timeouts.
        topic: Name of the topic.
        first: First offset or ISO 8601 time; ``None`` for the log start.
        last: Offset or ISO 8601 time at which the range ends, excluded; ``None`` for the log end.
    """

    settings: Settings
    topic: str
    first: str | None = None
    last: str | None = None
    _cluster: KafkaCluster | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Name of the topic."""
        return self.topic

    @property
    def cluster(self) -> KafkaCluster:
        """The open cluster."""
        assert self._cluster is not None, "the log is open"
        return self._cluster

    async def __aenter__(self) -> Self:
        self._cluster = await KafkaCluster.of(self.settings).__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        cluster, self._cluster = self.cluster, None
        await cluster.__aexit__(*exception)

    async def ranges(self) -> list[Range]:
        """Return one range for each partition.

        Raises:
            ConfigError: The topic does not exist, or a bound is neither an offset nor a time.
        """
        ranges = []
        for partition in await list_partitions(self.cluster, self.topic):
            tp = TopicPartition(self.topic, partition)
            start = await resolve_bound(self.cluster, tp, self.first, is_end=False)
            end = await resolve_bound(self.cluster, tp, self.last, is_end=True)
            ranges.append(Range(partition, start, max(start, end)))
        return ranges

    async def batches(self, source_range: Range) -> AsyncGenerator[Sequence[Record]]:
        """Yield the committed records of a range."""
        tp = TopicPartition(self.topic, source_range.partition)
        async with aclosing(
            self.cluster.batches(tp, source_range.start, source_range.end or 0)
        ) as batches:
            async for records in batches:
                yield records


def make_log(
    settings: Settings,
    spec: FeatureSpec,
    *,
    rows: "Rows | None" = None,
    topic: str | None = None,
    first: str | None = None,
    last: str | None = None,
    partitions: int = 1,
    sort_by_time: bool | None = None,
) -> FileLog | TopicLog:
    """Return a log of rows or of a topic.

    Raises:
        ConfigError: Neither rows nor a topic is given, or both, or a range is given for rows, or an
            order for a topic.
    """
    if (rows is None) == (topic is None):
        raise ConfigError("name either a LOG file or a --topic")
    if rows is not None:
        if first is not None or last is not None:
            raise ConfigError("--from and --to need a --topic; a file is read as a whole")
        return FileLog(rows, spec, partitions, sort_by_time)
    if sort_by_time is not None:
        raise ConfigError(
            "--sort-by-time is for a file; a topic is read in the order of its offsets"
        )
    return TopicLog(settings, topic or "", first, last)
