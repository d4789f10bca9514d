"""Retry of dead letters: puts the skipped records back into the source, each exactly once."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced, TransactionalIdAuthorizationFailed
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError, FencedError, reason
from stream_rnn.fold.fold_id import transactional_id
from stream_rnn.kafka.acls import authorization_error
from stream_rnn.kafka.clients import (
    PRODUCER_FAILURES,
    new_producer,
    stop_producer,
    transaction_error,
)
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.connection import connection_options
from stream_rnn.kafka.coordinator import TransactionUse, require_transactions
from stream_rnn.operate.dead_letters import (
    RETRIED,
    RETRY_OF,
    DeadLetter,
    DeadLetterFilter,
    read_dead_letters,
)
from stream_rnn.settings import FoldSettings

TRANSACTION_RECORDS_MAX, TRANSACTION_BYTES_MAX = 500, 4_000_000
REQUEST_BYTES_MAX = 5_000_000
RETRY = TransactionUse("deadletters retry", "")


@dataclass(slots=True)
class RetrySelection:
    """The dead letters to put back, with counts of those that are left out.

    Attributes:
        places: Offsets to put back by source partition, ascending and distinct.
        truncated: Number of dead letters that do not contain the whole record.
        empty: Number of dead letters without key and value, which Kafka does not accept.
        other_source: Number of dead letters of another source topic.
        already_retried: Number of records that an earlier retry has put back.
    """

    places: dict[int, NDArray[np.int64]]
    truncated: int
    empty: int
    other_source: int
    already_retried: int

    @property
    def count(self) -> int:
        """Number of records to put back."""
        return sum(map(len, self.places.values()))


class Retry:
    """Puts dead letters back into the source; an async context manager.

    Each record goes to the end of the partition that it came from, with its old timestamp and a
    header that names its old place.  The same transaction writes a note of the retry to the
    dead-letter topic.  The producer starts before the topic is read: this ends an open transaction
    of an earlier retry, and fences a retry that still runs, so that no failure puts a record back
    twice.  The retry keeps places in memory (8 bytes each), but no values.

    Args:
        settings: Settings with the topics and the connection to Kafka.
        letter_filter: Dead letters to put back.

    Raises:
        FencedError: Kafka did not answer, or another retry was started; run it again.
    """

    def __init__(self, settings: FoldSettings, letter_filter: DeadLetterFilter) -> None:
        self._settings, self._filter = settings, letter_filter
        self._producer: AIOKafkaProducer

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Start the producer, which fences every other retry.

        Raises:
            ConfigError: The brokers provide no transactions, or the user lacks a right.
            UnreachableError: No broker answers.
            FencedError: Kafka did not answer, or another retry was started.
        """
        app, source = self._settings.app, self._settings.source
        await _require_transactions(self._settings, transactional_id(app, source, "deadletters"))
        await self._fence(f"{app}-deadletters-{source}")  # the id of an earlier version
        self._producer = self._new_producer(transactional_id(app, source, "deadletters"))
        try:
            async with self._acknowledged(self._producer):
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
            **connection_options(settings),
        )

    async def _fence(self, identity: str) -> None:
        """Fence producers with a transactional id, unless the user has no right to use it."""
        producer = self._new_producer(identity)
        try:
            async with self._acknowledged(producer):
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
    async def _acknowledged(self, producer: AIOKafkaProducer) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.kafka_timeout_s):
                yield
        except PRODUCER_FAILURES as raised:
            error = transaction_error(raised, producer)
            refused = authorization_error(
                error, self._settings.app, f"Write on topic {self._settings.source}"
            )
            message = f"Kafka did not acknowledge: {reason(error, self._settings.kafka_timeout_s)}; run it again"
            if isinstance(error, ProducerFenced):
                message = "another retry of this app and source was started; run this retry after that one ends"
            raise refused or FencedError(message) from error

    async def select(self) -> RetrySelection:
        """Read the whole topic, and select the records that no retry has put back yet."""
        candidates: dict[int, array[int]] = {}
        retried: dict[int, array[int]] = {}
        truncated = empty = other_source = 0

        def add_retried(place: str) -> None:
            topic, partition, offset = _parse_place(place)
            if topic == self._settings.source:
                retried.setdefault(partition, array("q")).append(offset)

        async with aclosing(read_dead_letters(self._settings, self._filter, add_retried)) as found:
            async for letter in found:
                topic, partition, offset = letter.source
                if topic != self._settings.source:
                    other_source += 1
                elif letter.truncated:
                    truncated += 1
                elif letter.key is None and letter.value is None:
                    empty += 1
                else:
                    candidates.setdefault(partition, array("q")).append(offset)
        remaining = {
            partition: np.setdiff1d(
                np.array(offsets, np.int64), np.array(retried.get(partition, ()), np.int64)
            )
            for partition, offsets in candidates.items()
        }
        distinct = sum(len(np.unique(np.array(o, np.int64))) for o in candidates.values())
        already_retried = distinct - sum(map(len, remaining.values()))
        places = {p: offsets for p, offsets in remaining.items() if len(offsets)}
        return RetrySelection(places, truncated, empty, other_source, already_retried)

    async def put_back(
        self, selection: RetrySelection, on_progress: Callable[[int], None]
    ) -> dict[int, tuple[int, int]]:
        """Put the selected records back.

        Args:
            selection: The selection of this retry.
            on_progress: Called after each transaction with its number of records.

        Returns:
            First and last new offset, by source partition.
        """
        done = {p: np.zeros(len(offsets), np.bool_) for p, offsets in selection.places.items()}
        offsets: dict[int, tuple[int, int]] = {}
        batch: list[DeadLetter] = []
        size = 0
        async with aclosing(read_dead_letters(self._settings, self._filter)) as found:
            async for letter in found:
                _, partition, offset = letter.source
                places = selection.places.get(partition)
                if letter.source[0] != self._settings.source or places is None or letter.truncated:
                    continue
                at = int(np.searchsorted(places, offset))
                # With at_least_once, the topic may contain a dead letter twice.
                if at == len(places) or places[at] != offset or done[partition][at]:
                    continue
                done[partition][at] = True
                batch.append(letter)
                size += len(letter.key or b"") + len(letter.value or b"")
                if len(batch) >= TRANSACTION_RECORDS_MAX or size >= TRANSACTION_BYTES_MAX:
                    await self._commit(batch, offsets, on_progress)
                    batch, size = [], 0
        if batch:
            await self._commit(batch, offsets, on_progress)
        return offsets

    async def _commit(
        self,
        batch: Sequence[DeadLetter],
        offsets: dict[int, tuple[int, int]],
        on_progress: Callable[[int], None],
    ) -> None:
        async with self._acknowledged(self._producer), self._producer.transaction():
            sent = await _send(self._producer, batch, self._settings.dead_letters_topic)
        for partition, offset in sent:
            first, last = offsets.get(partition, (offset, offset))
            offsets[partition] = (min(first, offset), max(last, offset))
        on_progress(len(batch))


async def _require_transactions(settings: FoldSettings, identity: str) -> None:
    """Check that the brokers provide transactions, without which a retry could repeat a record.

    Raises:
        ConfigError: They provide none.
        UnreachableError: No broker answers, or no coordinator is available now.
    """
    async with KafkaCluster.of(settings) as cluster:
        assert cluster.admin is not None, "the cluster is open"
        connection, within_s = connection_options(settings), settings.kafka_timeout_s
        await require_transactions(cluster.admin, connection, identity, within_s, RETRY)


async def _send(
    producer: AIOKafkaProducer, letters: Sequence[DeadLetter], dead_letters: str
) -> list[tuple[int, int]]:
    """Send the records and their notes, and return partition and offset of each record."""
    records: list[asyncio.Future[Any]] = []
    notes: list[asyncio.Future[Any]] = []
    try:
        for letter in letters:
            topic, partition, _ = letter.source
            headers = [(name, value) for name, value in letter.headers if name != RETRY_OF]
            place = letter.place.encode()
            fields: dict[str, Any] = {"headers": [*headers, (RETRY_OF, place)]}
            if letter.timestamp >= 0:
                fields["timestamp_ms"] = letter.timestamp
            to = {"key": letter.key, "partition": partition}
            records.append(await producer.send(topic, letter.value, **to, **fields))
            note = [(RETRIED, place)]
            notes.append(await producer.send(dead_letters, b"", **to, headers=note))
        sent = await asyncio.gather(*records)
        await asyncio.gather(*notes)
    finally:
        for one in (*records, *notes):
            one.cancel()  # asyncio reports an error that nobody has asked for
    return [(metadata.partition, metadata.offset) for metadata in sent]


def _parse_place(place: str) -> tuple[str, int, int]:
    """Parse ``topic:partition:offset``; for any other text, return an empty topic."""
    topic, _, rest = place.partition(":")
    partition, _, offset = rest.partition(":")
    if not (partition.isdecimal() and offset.isdecimal() and len(offset) < 19):
        return "", 0, 0
    return topic, int(partition), int(offset)
