"""The reader of the dead-letter topic: skipped records, and the reason for each skip."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Self

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import ConfigError
from stream_rnn.fold.dead_letters import record_header_name
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.settings import Settings

HEADERS = (
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
        error: Code of the reason for the skip.
        reason: Reason for the skip, in words.
        source: Topic, partition and offset of the record.
        timestamp: Timestamp of the record, in milliseconds.
        truncated: Names of the truncated parts (``key``, ``value``, ``headers``); empty if the
            dead letter contains the whole record.
        size: Size of the value in the source, in bytes; -1 if the value was null.
        retry_of: Place of the skipped record of which this record is a retry; empty if none.
        headers: Headers of the record itself.
        key, value: Key and value of the record, unless truncated.
    """

    error: str
    reason: str
    source: tuple[str, int, int]
    timestamp: int
    truncated: str
    size: int
    retry_of: str
    headers: Sequence[tuple[str, bytes]]
    key: bytes | None
    value: bytes | None

    @classmethod
    def parse(cls, record: ConsumerRecord) -> Self | None:
        """Parse a record of the dead-letter topic; return ``None`` if it is not a dead letter."""
        headers = dict(record.headers)
        try:
            texts = {name: headers[name].decode() for name in HEADERS}
            source = (texts["sr-topic"], int(texts["sr-partition"]), int(texts["sr-offset"]))
            timestamp, size = int(texts["sr-timestamp"]), int(texts["sr-size"])
        except (KeyError, ValueError, AttributeError):
            return None
        if not (0 <= source[1] < INT32 and 0 <= source[2] < INT64 and -INT64 <= timestamp < INT64):
            return None  # another program wrote it
        renamed = [(record_header_name(name), value) for name, value in record.headers]
        record_headers = [(name, value) for name, value in renamed if name is not None]
        value = None if size < 0 else record.value
        return cls(
            texts["sr-error"],
            texts["sr-reason"],
            source,
            timestamp,
            texts["sr-truncated"],
            size,
            (dict(record_headers).get(RETRY_OF) or b"").decode(errors="replace"),
            record_headers,
            record.key,
            value,
        )

    @property
    def place(self) -> str:
        """Place of the record in the source, as ``topic:partition:offset``."""
        return ":".join(map(str, self.source))


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """A filter of dead letters; all given conditions must be met.

    Attributes:
        reasons: Codes of the reasons for the skip; empty for all.
        partition: Partition of the source; ``None`` for all.
        first, last: First and last offset in the source; ``None`` means no bound.
    """

    reasons: frozenset[str] = frozenset()
    partition: int | None = None
    first: int | None = None
    last: int | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Return whether a dead letter meets all conditions."""
        _, partition, offset = letter.source
        return (
            (not self.reasons or letter.error in self.reasons)
            and self.partition in (None, partition)
            and (self.first is None or offset >= self.first)
            and (self.last is None or offset <= self.last)
        )


OnRetried = Callable[[str], None]
"""Called with the place of each record that a retry has put back: ``topic:partition:offset``."""


async def read_dead_letters(
    settings: Settings, letter_filter: DeadLetterFilter, on_retried: OnRetried = lambda _place: None
) -> AsyncGenerator[DeadLetter]:
    """Yield the dead letters that are in the topic now, partition by partition.

    Args:
        settings: Settings with the topic and the connection to Kafka.
        letter_filter: Dead letters to yield.
        on_retried: Called for each record that a retry has put back.

    Raises:
        ConfigError: The topic or the partition does not exist.
    """
    async with aclosing(_records(settings, letter_filter.partition)) as found:
        async for record in found:
            letter = DeadLetter.parse(record)
            if letter is not None and letter_filter.matches(letter):
                yield letter
            for name, value in record.headers if letter is None else ():
                if name == RETRIED:
                    on_retried((value or b"").decode(errors="replace"))


async def _records(settings: Settings, partition: int | None) -> AsyncGenerator[ConsumerRecord]:
    topic = settings.dead_letters_topic
    async with KafkaCluster.of(settings) as cluster:
        count = (await cluster.topics(topic))[topic].partitions
        if not count:
            raise ConfigError(
                f"the dead-letter topic {topic} does not exist; check --predictions or "
                "--dead-letters"
            )
        if partition is not None and partition >= count:
            raise ConfigError(
                f"{topic} has {count} partitions, numbered from 0; there is no {partition}"
            )
        for number in range(count) if partition is None else [partition]:
            tp = TopicPartition(topic, number)
            start, end = await cluster.log_start(tp), await cluster.log_end(tp)
            async with aclosing(cluster.batches(tp, start, end)) as batches:
                async for records in batches:
                    for record in records:
                        yield record
