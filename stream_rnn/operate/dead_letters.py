"""The dead-letter topic: what was skipped and why, and putting it back after a fix."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from stream_rnn.clients import kafka_options
from stream_rnn.errors import ConfigError, FencedError
from stream_rnn.fold.kafka_log import KafkaFacts
from stream_rnn.settings import Settings

OWN_HEADERS = (
    "sr-error",
    "sr-reason",
    "sr-topic",
    "sr-partition",
    "sr-offset",
    "sr-timestamp",
    "sr-size",
    "sr-truncated",
    "sr-app",
    "sr-fold",
    "sr-origin",
)
RETRY_OF = "sr-retry-of"
RETRIED = "sr-retried"
TOGETHER = 500


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
            texts = {name: said[name].decode() for name in OWN_HEADERS[:8]}
            source = (texts["sr-topic"], int(texts["sr-partition"]), int(texts["sr-offset"]))
            timestamp, size = int(texts["sr-timestamp"]), int(texts["sr-size"])
        except (KeyError, ValueError, AttributeError):
            return None
        own = [(name, value) for name, value in record.headers if name not in OWN_HEADERS]
        value = None if size < 0 else record.value
        return cls(
            texts["sr-error"],
            texts["sr-reason"],
            source,
            timestamp,
            texts["sr-truncated"],
            size,
            (said.get(RETRY_OF) or b"").decode(errors="replace"),
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


async def read(
    settings: Settings, wanted: Wanted, retried: set[str] | None = None
) -> AsyncIterator[DeadLetter]:
    """Yield the dead letters that the topic holds now, partition by partition.

    Args:
        settings: names and where Kafka is.
        wanted: which.
        retried: takes the places that were put back, as ``topic:partition:offset``.

    Raises:
        ConfigError: there is no such topic.
    """
    connection = kafka_options(settings.bootstrap_servers, settings.kafka_config)
    topic = settings.dead_letters_topic
    async with KafkaFacts(connection, settings) as facts:
        count = (await facts.topics(topic))[topic].partitions
        if not count:
            raise ConfigError(
                f"the dead-letter topic {topic} does not exist; check --predictions or "
                "--dead-letters"
            )
        chosen = range(count) if wanted.partition is None else [wanted.partition]
        for partition in chosen:
            tp = TopicPartition(topic, partition)
            start, end = await facts.log_start(tp), await facts.log_end(tp)
            async for records in facts.batches(tp, start, end):
                for record in records:
                    letter = DeadLetter.parse(record)
                    if letter is None and retried is not None:
                        retried.update(v.decode() for n, v in record.headers if n == RETRIED)
                    if letter is not None and wanted.fits(letter):
                        yield letter


async def put_back(
    settings: Settings, letters: Sequence[DeadLetter], told: Callable[[int], None]
) -> None:
    """Put dead letters back into the source.

    Each goes to the partition it came from, behind everything that is there: with a new offset,
    its old timestamp, and a header that names the old place.  In the same transaction the
    dead-letter topic gets a note of it, so that nothing is put back twice, whatever fails.

    Args:
        settings: names and where Kafka is.
        letters: whole ones, of the source.
        told: called with the number of records in each transaction that was committed.

    Raises:
        ConfigError: one was cut when it was skipped, or is of another source.
        FencedError: Kafka did not acknowledge; run it again, what is there is left out.
    """
    for letter in letters:
        _refuse(letter, settings.source or "")
    producer = AIOKafkaProducer(
        transactional_id=f"{settings.app}-deadletters-{settings.source}",
        request_timeout_ms=int(settings.kafka_timeout_s * 1000),
        **kafka_options(settings.bootstrap_servers, settings.kafka_config),
    )
    try:
        async with asyncio.timeout(settings.kafka_timeout_s):
            await producer.start()
        for first in range(0, len(letters), TOGETHER):
            some = letters[first : first + TOGETHER]
            async with asyncio.timeout(settings.kafka_timeout_s), producer.transaction():
                await _send(producer, some, settings.dead_letters_topic)
            told(len(some))
    except (KafkaError, TimeoutError, OSError) as error:
        message = f"Kafka did not acknowledge: {type(error).__name__} {error}; run it again"
        raise FencedError(message) from error
    finally:
        await producer.stop()


async def _send(producer: Any, letters: Sequence[DeadLetter], dead_letters: str) -> None:
    waiting = []
    for letter in letters:
        topic, partition, _ = letter.source
        headers = [(name, value) for name, value in letter.headers if name != RETRY_OF]
        place = letter.place.encode()
        back: dict[str, Any] = {"value": letter.value, "headers": [*headers, (RETRY_OF, place)]}
        if letter.timestamp >= 0:
            back["timestamp_ms"] = letter.timestamp
        waiting.append(await producer.send(topic, key=letter.key, partition=partition, **back))
        note = {"value": b"", "headers": [(RETRIED, place)]}
        waiting.append(
            await producer.send(dead_letters, key=letter.key, partition=partition, **note)
        )
    await asyncio.gather(*waiting)


def _refuse(letter: DeadLetter, source: str) -> None:
    if letter.source[0] != source:
        raise ConfigError(f"the dead letter of {letter.place} is not of {source}")
    if letter.key is None and letter.value is None:
        raise ConfigError(f"{letter.place} has neither key nor value: Kafka takes no such record")
    if letter.truncated:
        raise ConfigError(
            f"{letter.place} was cut ({letter.truncated}) when it was skipped: its value had "
            f"{letter.size} bytes; take it from where it was produced"
        )
