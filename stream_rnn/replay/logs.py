"""What replay, evaluation, trace and comparison read: a file, or a range of a topic."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from aiokafka import TopicPartition

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Record
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.topic_logs import bound, partitions_of
from stream_rnn.settings import Settings

if TYPE_CHECKING:
    from stream_rnn.replay.files import Rows

FRAME_NAME = "frame"


@dataclass(frozen=True, slots=True)
class Range:
    """Some offsets of one partition.

    Attributes:
        partition: its number.
        start: the first offset.
        end: the offset after the last one; ``None`` is the end of a file.
    """

    partition: int
    start: int
    end: int | None


def topic_partitions(ranges: Sequence[Range]) -> int:
    """Return how many ranges are of a topic, where each partition numbers its own offsets."""
    return sum(wanted.end is not None for wanted in ranges)


class Log(Protocol):
    """Ranges of a log; used as an async context manager, and small enough to send to a process."""

    @property
    def name(self) -> str:
        """Stands as the source topic in predictions."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_exception: object) -> None: ...

    async def ranges(self) -> list[Range]:
        """Return one range a partition."""

    def batches(self, wanted: Range) -> AsyncIterator[Sequence[Record]]:
        """Yield the records of a range in offset order, some at a time."""


@dataclass(frozen=True)
class FileLog:
    """A .jsonl, .csv or .parquet file, or a data frame.

    Attributes:
        rows: where the file is, or the data frame.
        spec: says what makes the key and the event time.
        partitions: it is split into so many, by the key.
    """

    rows: "Rows"
    spec: FeatureSpec
    partitions: int = 1

    @property
    def name(self) -> str:
        """The file's name, without what follows the dot."""
        return self.rows.stem if isinstance(self.rows, Path) else FRAME_NAME

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Do nothing: a file is open only while it is read."""

    async def ranges(self) -> list[Range]:
        """Return one range a partition: all of it."""
        return [Range(partition, 0, None) for partition in range(self.partitions)]

    async def batches(self, wanted: Range) -> AsyncIterator[Sequence[Record]]:
        """Yield the records of a partition; each one reads the whole file."""
        from stream_rnn.replay.files import read_batches  # noqa: PLC0415  # a topic needs no polars

        for records in read_batches(self.rows, self.spec, wanted.partition, self.partitions):
            yield records


@dataclass
class TopicLog:
    """A range of a topic, read committed.

    Attributes:
        settings: servers, deadlines.
        topic: its name.
        first: offset or ISO 8601 time, ``None`` is the log start.
        last: the same, not included; ``None`` is the log end.
    """

    settings: Settings
    topic: str
    first: str | None = None
    last: str | None = None
    _cluster: KafkaCluster | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The topic's."""
        return self.topic

    @property
    def cluster(self) -> KafkaCluster:
        """The clients, inside of the context."""
        assert self._cluster is not None, "used inside of its context"
        return self._cluster

    async def __aenter__(self) -> Self:
        self._cluster = await KafkaCluster.of(self.settings).__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        cluster, self._cluster = self.cluster, None
        await cluster.__aexit__(*exception)

    async def ranges(self) -> list[Range]:
        """Return one range a partition.

        Raises:
            ConfigError: there is no such topic, or a bound is neither an offset nor a time.
        """
        found = []
        for partition in await partitions_of(self.cluster, self.topic):
            tp = TopicPartition(self.topic, partition)
            start = await bound(self.cluster, tp, self.first, is_end=False)
            end = await bound(self.cluster, tp, self.last, is_end=True)
            found.append(Range(partition, start, max(start, end)))
        return found

    async def batches(self, wanted: Range) -> AsyncIterator[Sequence[Record]]:
        """Yield the committed records of a range."""
        tp = TopicPartition(self.topic, wanted.partition)
        async for records in self.cluster.batches(tp, wanted.start, wanted.end or 0):
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
) -> FileLog | TopicLog:
    """Return the log that was named.

    Raises:
        ConfigError: none was, or both.
    """
    if (rows is None) == (topic is None):
        raise ConfigError("give either a LOG file or --topic")
    if rows is not None:
        if first is not None or last is not None:
            raise ConfigError("--from and --to are of a topic; a file is read as a whole")
        return FileLog(rows, spec, partitions)
    return TopicLog(settings, topic or "", first, last)
