"""The dead-letter topic: what was skipped and why; ``put_back.py`` puts it back after a fix."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import ConfigError
from stream_rnn.fold.dead_letters import record_header_name
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.settings import Settings

SAID = (
    "sr-error",
    "sr-reason",
    "sr-topic",
    "sr-partition",
    "sr-offset",
    "sr-timestamp",
    "sr-size",
    "sr-truncated",
)
RETRY_OF = "sr-retry-of"
RETRIED = "sr-retried"
INT32, INT64 = 1 << 31, 1 << 63


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One skipped record.

    Attributes:
        error: code of why it was skipped.
        reason: the same in words.
        source: topic, partition and offset of the record.
        timestamp: of the record, in ms.
        truncated: what was cut: ``key``, ``value``, ``headers``; empty if the record is whole.
        size: true size of the value in bytes, -1 if there was none.
        retried: place it was once put back from, empty if it never was.
        headers: the record's own.
        key, value: as far as they were kept.
    """

    error: str
    reason: str
    source: tuple[str, int, int]
    timestamp: int
    truncated: str
    size: int
    retried: str
    headers: Sequence[tuple[str, bytes]]
    key: bytes | None
    value: bytes | None

    @classmethod
    def parse(cls, record: ConsumerRecord) -> Self | None:
        """Read a record of the dead-letter topic; ``None`` if it is no dead letter."""
        said = dict(record.headers)
        try:
            texts = {name: said[name].decode() for name in SAID}
            source = (texts["sr-topic"], int(texts["sr-partition"]), int(texts["sr-offset"]))
            timestamp, size = int(texts["sr-timestamp"]), int(texts["sr-size"])
        except (KeyError, ValueError, AttributeError):
            return None
        if not (0 <= source[1] < INT32 and 0 <= source[2] < INT64 and -INT64 <= timestamp < INT64):
            return None  # no worker wrote it
        named = [(record_header_name(name), value) for name, value in record.headers]
        own = [(name, value) for name, value in named if name is not None]
        value = None if size < 0 else record.value
        return cls(
            texts["sr-error"],
            texts["sr-reason"],
            source,
            timestamp,
            texts["sr-truncated"],
            size,
            (dict(own).get(RETRY_OF) or b"").decode(errors="replace"),
            own,
            record.key,
            value,
        )

    @property
    def place(self) -> str:
        """Where the record was, as ``topic:partition:offset``."""
        return ":".join(map(str, self.source))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters; everything that is given must fit."""

    reasons: frozenset[str] = frozenset()
    partition: int | None = None
    first: int | None = None
    last: int | None = None

    def fits(self, letter: DeadLetter) -> bool:
        """Return whether a dead letter is wanted."""
        _, partition, offset = letter.source
        return (
            (not self.reasons or letter.error in self.reasons)
            and self.partition in (None, partition)
            and (self.first is None or offset >= self.first)
            and (self.last is None or offset <= self.last)
        )


Noted = Callable[[str], None]
"""Called with the place of each dead letter that was put back, as ``topic:partition:offset``."""


async def read(
    settings: Settings, wanted: Wanted, noted: Noted = lambda _place: None
) -> AsyncIterator[DeadLetter]:
    """Yield the dead letters that the topic holds now, partition by partition.

    Args:
        settings: names and where Kafka is.
        wanted: which.
        noted: told of what was put back.

    Raises:
        ConfigError: there is no such topic, or no such partition of it.
    """
    async for record in _records(settings, wanted.partition):
        letter = DeadLetter.parse(record)
        if letter is not None and wanted.fits(letter):
            yield letter
        for name, value in record.headers if letter is None else ():
            if name == RETRIED:
                noted((value or b"").decode(errors="replace"))


async def _records(settings: Settings, partition: int | None) -> AsyncIterator[ConsumerRecord]:
    topic = settings.dead_letters_topic
    async with KafkaCluster.of(settings) as cluster:
        count = (await cluster.topics(topic))[topic].partitions
        if not count:
            raise ConfigError(
                f"the dead-letter topic {topic} does not exist; check --predictions or "
                "--dead-letters"
            )
        if partition is not None and partition >= count:
            raise ConfigError(f"{topic} has {count} partitions, none is {partition}")
        for number in range(count) if partition is None else [partition]:
            tp = TopicPartition(topic, number)
            start, end = await cluster.log_start(tp), await cluster.log_end(tp)
            async for records in cluster.batches(tp, start, end):
                for record in records:
                    yield record
