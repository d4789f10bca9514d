"""The once-only reader: an async iterator over a predictions topic.

    async with PredictionReader("delays", bootstrap_servers="...", group_id="billing") as reader:
        async for prediction in reader:
            ...                       # what you do with it
            await reader.commit()     # after each, or after many

It reads committed records only, and yields each source offset once, in both delivery modes;
``places.py`` says why.  ``commit`` stores how far it has *yielded*, with the last source offset of
each source partition beside it; after a crash it goes on exactly there.  So what was yielded after
the last commit is yielded again: work first, commit then, and make the work idempotent by
``prediction.source``.

What it cannot know: a source topic that was deleted and made anew counts from 0 again, which looks
like old predictions.  Give the new one another predictions topic, or the reader another group.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

from aiokafka import TopicPartition
from aiokafka.errors import (
    BrokerResponseError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import ConsumerRecord

from stream_rnn.answers import CheckedAdminClient, asking
from stream_rnn.clients import kafka_options
from stream_rnn.errors import ConfigError, DecodeError, FencedError, UnavailableError, reason
from stream_rnn.predictions.assignment import Assignment, Beginning
from stream_rnn.predictions.completeness import Completeness
from stream_rnn.predictions.places import SourcePartition
from stream_rnn.predictions.schema import Prediction
from stream_rnn.record_batches import Consumer
from stream_rnn.unreachable import describe_unreachable

RECORDS_MAX = 500
POLL_S = 1.0
CLOSE_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What a reader has met.

    Attributes:
        yielded: predictions.
        duplicates: source offsets that were seen before; dropped.
        foreign: predictions of another app than ``worker_app_id``; dropped.
        bad: values that are not predictions.
    """

    yielded: int = 0
    duplicates: int = 0
    foreign: int = 0
    bad: int = 0


class PredictionReader(AsyncIterator[Prediction]):
    """Yields each prediction once.  An async context manager; one task uses it at a time.

    Args:
        topic: the predictions topic.
        bootstrap_servers: ``host:port``, comma-separated.
        group_id: several readers of one group share the partitions; ``None``: all, no commit.
        start: ``committed``: where the group stopped, the log start if it never committed;
            ``earliest``: the log start, whatever was committed; ``latest``: where the group
            stopped, the log end if it never committed.
        worker_app_id: app id of the worker: predictions of others are dropped, and ``complete``
            is kept.
        kafka_config: a java.properties file for TLS and SASL.
        on_bad: what to do with a value that is not a prediction: ``raise`` (the next call goes
            on behind it) or ``skip``, which counts it.
        timeout_s: deadline of one answer of Kafka.

    Attributes:
        counts: what it has met.
        record: Kafka's record of the last prediction: partition, offset, timestamp, headers.
    """

    def __init__(
        self,
        topic: str,
        *,
        bootstrap_servers: str,
        group_id: str | None = None,
        start: Beginning = "committed",
        worker_app_id: str | None = None,
        kafka_config: str | None = None,
        on_bad: Literal["raise", "skip"] = "raise",
        timeout_s: float = 30.0,
    ) -> None:
        self.topic = topic
        self.counts = Counts()
        self.record: ConsumerRecord | None = None
        self._connection = kafka_options(bootstrap_servers, kafka_config)
        self._group_id = group_id
        self._start: Beginning = start
        self._worker_app_id = worker_app_id
        self._skips_bad = on_bad == "skip"
        self._timeout_s = timeout_s
        self._consumer: Consumer | None = None
        self._admin: CheckedAdminClient | None = None
        self._assignment: Assignment | None = None
        self._buffer: deque[ConsumerRecord] = deque()  # at most RECORDS_MAX
        self._completeness = Completeness(worker_app_id, timeout_s) if worker_app_id else None
        self._source_topic: str | None = None

    async def __aenter__(self) -> Self:
        timeout_ms = int(self._timeout_s * 1000)
        self._consumer = Consumer(
            group_id=self._group_id,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=timeout_ms,
            **self._connection,
        )
        self._admin = CheckedAdminClient(request_timeout_ms=timeout_ms, **self._connection)
        self._assignment = Assignment(
            self._consumer, self._admin, self._group_id, self._start, self._timeout_s
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._consumer.start()
                await self._admin.start()
            await self._assignment.begin(await self._partitions(self._admin))
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, BrokerResponseError):
                raise ConfigError(f"Kafka does not describe topic {self.topic}: {error}") from error
            if isinstance(error, KafkaError | TimeoutError | OSError):
                raise ConfigError(
                    await describe_unreachable(self._connection, error, self._timeout_s)
                ) from error
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for client in (self._consumer and self._consumer.stop, self._admin and self._admin.close):
            if client is not None:
                try:
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        await client()
                except (KafkaError, TimeoutError, OSError) as error:
                    logger.warning("closing a client of kafka failed: %s", reason(error))

    async def _partitions(self, admin: CheckedAdminClient) -> list[TopicPartition]:
        missing = (
            f"topic {self.topic} does not exist at "
            f"{','.join(self._connection['bootstrap_servers'])}; check its name, or start the "
            "worker that makes it"
        )
        try:
            described = partial(admin.describe_topics, [self.topic])
            (found,) = await asking(described, self._timeout_s)
        except UnknownTopicOrPartitionError as error:
            raise ConfigError(missing) from error
        if not found["partitions"]:
            raise ConfigError(missing)
        return [TopicPartition(self.topic, number) for number in range(len(found["partitions"]))]

    async def __anext__(self) -> Prediction:
        """Wait for the next prediction, for ever if there is none; may be cancelled.

        Raises:
            DecodeError: a value is not a prediction; the next call goes on behind it.
            ConfigError: retention removed predictions that were not read, or a record batch
                cannot be read.
            UnavailableError: Kafka did not answer; it may be called again.
        """
        while True:
            while self._buffer:
                prediction = self._admit(self._buffer.popleft())
                if prediction is not None:
                    return prediction
            if self._completeness is not None:
                await self._completeness.refresh_when_old(self._opened[1], self._source_topic)
            await self._fetch()

    def _admit(self, record: ConsumerRecord) -> Prediction | None:
        """Return the record's prediction if it is to be yielded."""
        place = self._opened[2].owned_place(TopicPartition(record.topic, record.partition))
        if place is None or record.offset < place.position:
            return None  # the partition was lost, or positioned anew, meanwhile
        place.position, place.is_fresh = record.offset + 1, False
        prediction = self._parse(record)
        if prediction is None:
            return None
        app = (dict(record.headers).get("sr-app") or b"").decode("utf-8", "replace")
        if self._worker_app_id is not None and app != self._worker_app_id:
            self.counts.foreign += 1
            return None
        source = prediction.source
        if not place.admit(SourcePartition(app, source.topic, source.partition), source.offset):
            self.counts.duplicates += 1
            return None
        self.counts.yielded += 1
        self.record, self._source_topic = record, source.topic
        return prediction

    def _parse(self, record: ConsumerRecord) -> Prediction | None:
        try:
            return Prediction.parse(record.value or b"")
        except DecodeError as error:
            self.counts.bad += 1
            where = f"{record.topic}[{record.partition}] offset {record.offset}"
            if self._skips_bad:
                logger.warning("skipped a value that is no prediction place=%s: %s", where, error)
                return None
            message = f"{where} is not a prediction: {error}; is {self.topic} the right topic?"
            raise DecodeError(error.code, message) from error

    async def _fetch(self) -> None:
        consumer, _, assignment = self._opened
        with contextlib.suppress(TimeoutError):  # then asking for records tells what is wrong
            async with asyncio.timeout(POLL_S):
                await assignment.positioned.wait()
        assignment.check()
        try:
            fetched = await consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=RECORDS_MAX)
        except NoOffsetForPartitionError:
            return  # assigned a moment ago, not positioned yet
        except OffsetOutOfRangeError as error:
            await assignment.reposition(error)
            return
        except KafkaError as error:
            message = f"reading {self.topic} failed: {reason(error)}"
            raise UnavailableError(message) from error
        for records in fetched.values():
            self._buffer.extend(records)

    async def commit(self) -> None:
        """Store that everything yielded so far is done with.

        Raises:
            ConfigError: there is no ``group_id``.
            FencedError: the group has rebalanced; the partition's new owner reads again what was
                yielded since the last commit.
            UnavailableError: Kafka did not answer; it may be called again.
        """
        consumer, _, assignment = self._opened
        if self._group_id is None:
            raise ConfigError("a PredictionReader without group_id cannot commit; give it one")
        offsets = assignment.to_commit()
        if not offsets:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await consumer.commit(offsets)
        except (TimeoutError, OSError) as error:
            message = f"Kafka did not acknowledge a commit within {self._timeout_s:g} s"
            raise UnavailableError(message) from error
        except (KafkaError, IllegalStateError) as error:
            raise FencedError(
                f"commit of group {self._group_id} refused ({reason(error)}): its partitions "
                "were given to another reader, which reads again what was not committed"
            ) from error

    @property
    def complete(self) -> dict[int, int]:
        """Of each source partition, the offset below which everything is published.

        It is the worker's group offset, asked for at most once a second while reading; skipped
        records leave no prediction.  Empty without ``worker_app_id``.
        """
        return dict(self._completeness.offsets) if self._completeness is not None else {}

    async def refresh_complete(self) -> dict[int, int]:
        """Ask Kafka how far the worker has published, now.

        Raises:
            ConfigError: there is no ``worker_app_id``, or the app folds several topics.
            UnavailableError: Kafka did not answer.
        """
        if self._completeness is None:
            raise ConfigError("complete needs the worker's app id: give worker_app_id")
        await self._completeness.refresh(self._opened[1], self._source_topic)
        return self.complete

    @property
    def _opened(self) -> tuple[Consumer, CheckedAdminClient, Assignment]:
        assert self._consumer is not None, "used inside of its context"
        assert self._admin is not None, "used inside of its context"
        assert self._assignment is not None, "used inside of its context"
        return self._consumer, self._admin, self._assignment
