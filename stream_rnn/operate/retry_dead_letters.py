"""Putting dead letters back into the source: each once, whatever fails."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced, TransactionalIdAuthorizationFailed
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError, FencedError, reason
from stream_rnn.fold.fold_id import transactional_id
from stream_rnn.kafka.acls import authorization_error
from stream_rnn.kafka.clients import new_producer, stop_producer
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.operate.dead_letters import RETRIED, RETRY_OF, DeadLetter, Wanted, read
from stream_rnn.settings import FoldSettings

TOGETHER, TOGETHER_BYTES = 500, 4_000_000
REQUEST_BYTES_MAX = 5_000_000


@dataclass(slots=True)
class Choice:
    """Which dead letters can be put back; what cannot be is counted.

    Attributes:
        places: by source partition, the offsets in ascending order, each once.
        cut: of them only a part was kept.
        empty: they have neither key nor value, and Kafka takes no such record.
        others: they are of another source.
        already: were put back before.
    """

    places: dict[int, NDArray[np.int64]]
    cut: int
    empty: int
    others: int
    already: int

    @property
    def count(self) -> int:
        """How many can be put back."""
        return sum(map(len, self.places.values()))


class Retry:
    """Puts dead letters back into the source; an async context manager.

    Each goes to the partition it came from, behind everything that is there: with a new offset,
    its old timestamp, and a header that names the old place.  In the same transaction the
    dead-letter topic gets a note of it.  The producer is started before the topic is read: that
    decides a transaction which another retry left, and fences one that still runs, so nothing is
    put back twice, whatever fails.  Places are kept in memory, 8 bytes each, values are not.

    Args:
        settings: names and where Kafka is.
        wanted: which.

    Raises:
        FencedError: Kafka did not answer, or another retry was started; run it again.
    """

    def __init__(self, settings: FoldSettings, wanted: Wanted) -> None:
        self._settings, self._wanted = settings, wanted
        self._producer: AIOKafkaProducer

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Start the producer: from here on no other retry writes."""
        app, source = self._settings.app, self._settings.source
        await self._fence(f"{app}-deadletters-{source}")  # of the version before
        self._producer = self._new_producer(transactional_id(app, source, "deadletters"))
        try:
            async with self._acknowledged():
                await self._producer.start()
        except BaseException:
            await self.close()
            raise

    def _new_producer(self, identity: str) -> AIOKafkaProducer:
        settings = self._settings
        return new_producer(
            transactional_id=identity,
            request_timeout_ms=int(settings.kafka_timeout_s * 1000),
            max_request_size=REQUEST_BYTES_MAX,
            **kafka_options(settings.bootstrap_servers, settings.kafka_config),
        )

    async def _fence(self, identity: str) -> None:
        """Fence who writes by a transactional id; who may not use it does not write by it."""
        producer = self._new_producer(identity)
        try:
            async with self._acknowledged():
                await producer.start()
        except ConfigError as error:
            if not isinstance(error.__cause__, TransactionalIdAuthorizationFailed):
                raise
        finally:
            await stop_producer(producer, self._settings.revoke_timeout_s)

    async def close(self) -> None:
        """Stop the producer."""
        await stop_producer(self._producer, self._settings.revoke_timeout_s)

    @asynccontextmanager
    async def _acknowledged(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.kafka_timeout_s):
                yield
        except ProducerFenced as error:
            message = "another retry of this app and source was started: run it again when it ended"
            raise FencedError(message) from error
        except (KafkaError, TimeoutError, OSError) as error:
            refused = authorization_error(
                error, self._settings.app, f"Write on topic {self._settings.source}"
            )
            message = f"Kafka did not acknowledge: {reason(error, self._settings.kafka_timeout_s)}; run it again"
            raise refused or FencedError(message) from error

    async def choose(self) -> Choice:
        """Read the whole topic: what can be put back, and was not yet."""
        found: dict[int, array[int]] = {}
        noted: dict[int, array[int]] = {}
        cut = empty = others = 0

        def note(place: str) -> None:
            topic, partition, offset = _parse_place(place)
            if topic == self._settings.source:
                noted.setdefault(partition, array("q")).append(offset)

        async for letter in read(self._settings, self._wanted, note):
            topic, partition, offset = letter.source
            if topic != self._settings.source:
                others += 1
            elif letter.truncated:
                cut += 1
            elif letter.key is None and letter.value is None:
                empty += 1
            else:
                found.setdefault(partition, array("q")).append(offset)
        left = {
            partition: np.setdiff1d(
                np.array(offsets, np.int64), np.array(noted.get(partition, ()), np.int64)
            )
            for partition, offsets in found.items()
        }
        whole = sum(len(np.unique(np.array(offsets, np.int64))) for offsets in found.values())
        already = whole - sum(map(len, left.values()))
        kept = {p: offsets for p, offsets in left.items() if len(offsets)}
        return Choice(kept, cut, empty, others, already)

    async def put_back(
        self, choice: Choice, on_progress: Callable[[int], None]
    ) -> dict[int, tuple[int, int]]:
        """Put back what was chosen.

        Args:
            choice: of this retry.
            on_progress: called with the number of records in each transaction that was committed.

        Returns:
            By source partition, the first and the last of the new offsets.
        """
        done = {p: np.zeros(len(offsets), np.bool_) for p, offsets in choice.places.items()}
        offsets: dict[int, tuple[int, int]] = {}
        some: list[DeadLetter] = []
        size = 0
        async for letter in read(self._settings, self._wanted):
            _, partition, offset = letter.source
            places = choice.places.get(partition)
            if letter.source[0] != self._settings.source or places is None or letter.truncated:
                continue
            at = int(np.searchsorted(places, offset))
            # In at_least_once a dead letter may stand twice.
            if at == len(places) or places[at] != offset or done[partition][at]:
                continue
            done[partition][at] = True
            some.append(letter)
            size += len(letter.key or b"") + len(letter.value or b"")
            if len(some) >= TOGETHER or size >= TOGETHER_BYTES:
                await self._commit(some, offsets, on_progress)
                some, size = [], 0
        if some:
            await self._commit(some, offsets, on_progress)
        return offsets

    async def _commit(
        self,
        some: Sequence[DeadLetter],
        offsets: dict[int, tuple[int, int]],
        on_progress: Callable[[int], None],
    ) -> None:
        async with self._acknowledged(), self._producer.transaction():
            sent = await _send(self._producer, some, self._settings.dead_letters_topic)
        for partition, offset in sent:
            first, last = offsets.get(partition, (offset, offset))
            offsets[partition] = (min(first, offset), max(last, offset))
        on_progress(len(some))


async def _send(
    producer: AIOKafkaProducer, letters: Sequence[DeadLetter], dead_letters: str
) -> list[tuple[int, int]]:
    """Send records and notes; return the partition and offset of each record."""
    records, notes = [], []
    for letter in letters:
        topic, partition, _ = letter.source
        headers = [(name, value) for name, value in letter.headers if name != RETRY_OF]
        place = letter.place.encode()
        back: dict[str, Any] = {"value": letter.value, "headers": [*headers, (RETRY_OF, place)]}
        if letter.timestamp >= 0:
            back["timestamp_ms"] = letter.timestamp
        records.append(await producer.send(topic, key=letter.key, partition=partition, **back))
        note = {"value": b"", "headers": [(RETRIED, place)]}
        notes.append(await producer.send(dead_letters, key=letter.key, partition=partition, **note))
    sent = await asyncio.gather(*records)
    await asyncio.gather(*notes)
    return [(one.partition, one.offset) for one in sent]


def _parse_place(place: str) -> tuple[str, int, int]:
    """Read ``topic:partition:offset``; of what is none the topic is empty."""
    topic, _, rest = place.partition(":")
    partition, _, offset = rest.partition(":")
    if not (partition.isdecimal() and offset.isdecimal() and len(offset) < 19):
        return "", 0, 0
    return topic, int(partition), int(offset)
