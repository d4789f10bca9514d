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

Several readers of one group share the partitions, and whenever one comes, goes or dies the group
rebalances.  Then these hold for the group:

- Each prediction is yielded to one of its readers, and again if nobody has committed it.
- None is skipped, and what was committed is not yielded again.
- A partition that stays with its reader in a rebalance goes on where it stood, and ``commit`` stores
  all that was yielded, before and after the rebalance.
- A partition that comes to a reader, also one that it once had, goes on at the committed place.
- If a partition was lost with predictions that were yielded and not committed, the next ``commit``
  raises ``FencedError`` and stores nothing: all that this reader has yielded since its last commit,
  in every partition, is yielded again, to it or to another reader.  Undo the work, or let it be
  done once more.

Kafka forgets what a group has committed when it had no reader for ``offsets.retention.minutes``
(a week, unless the broker says otherwise); then the group is one that never committed.

What it cannot know: a source topic that was deleted and made anew counts from 0 again, which looks
like old predictions.  Give the new one another predictions topic, or the reader another group.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

from aiokafka import TopicPartition
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import ConfigError, DecodeError, reason
from stream_rnn.kafka.admin_client import CheckedAdminClient, retry_while_unavailable
from stream_rnn.kafka.client_errors import CLIENT_ERRORS, translate_error
from stream_rnn.kafka.clients import new_admin, new_consumer, stop_admin, stop_consumer
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.record_batches import Consumer
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.predictions.assignment import Assignment, Beginning
from stream_rnn.predictions.completeness import Completeness
from stream_rnn.predictions.places import Place, SourcePartition
from stream_rnn.predictions.schema import Prediction

RECORDS_MAX = 500
POLL_S = 1.0
FETCH_WAIT_MS_MAX = 500
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
        start: where to begin in a partition in which the group has never committed, or without a
            group: ``committed`` and ``earliest``: at the log start; ``latest``: at the log end, so
            that all is yielded that is published after the reader was opened.  Where the group
            has committed, it goes on there.  To read everything again, take another group, or
            none.  All readers of a group give the same.
        worker_app_id: app id of the worker: predictions of others are dropped, and ``complete``
            is kept.
        kafka_config: a java.properties file for TLS and SASL.
        on_bad: what to do with a value that is not a prediction: ``raise`` (the next call goes
            on behind it) or ``skip``, which counts it.
        timeout_s: deadline of one answer of Kafka, and of an assignment of partitions.

    Raises:
        ConfigError: when it is opened: no broker answers, or there is no such topic.
        UnavailableError: when it is opened: Kafka did not say where to begin.

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
        # At most RECORDS_MAX, each with the place under which it was fetched.
        self._buffer: deque[tuple[Place, ConsumerRecord]] = deque()
        self._completeness = Completeness(worker_app_id, timeout_s) if worker_app_id else None
        self._source_topic: str | None = None

    async def __aenter__(self) -> Self:
        timeout_ms = int(self._timeout_s * 1000)
        self._consumer = new_consumer(
            group_id=self._group_id,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=timeout_ms,
            fetch_max_wait_ms=min(FETCH_WAIT_MS_MAX, timeout_ms // 2),  # idle is no failure
            **self._connection,
        )
        self._admin = new_admin(request_timeout_ms=timeout_ms, **self._connection)
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
                raise ConfigError(
                    f"Kafka does not describe topic {self.topic}: {reason(error)}"
                ) from error
            if isinstance(error, KafkaError | TimeoutError | OSError):
                raise ConfigError(
                    await describe_unreachable(self._connection, error, self._timeout_s)
                ) from error
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._completeness is not None:
            await self._completeness.close()
        if self._consumer is not None:
            await stop_consumer(self._consumer, CLOSE_TIMEOUT_S)
        if self._admin is not None:
            await stop_admin(self._admin, CLOSE_TIMEOUT_S)

    async def _partitions(self, admin: CheckedAdminClient) -> list[TopicPartition]:
        missing = (
            f"topic {self.topic} does not exist at "
            f"{','.join(self._connection['bootstrap_servers'])}; check its name, or start the "
            "worker that makes it"
        )
        try:
            described = partial(admin.describe_topics, [self.topic])
            (found,) = await retry_while_unavailable(described, self._timeout_s)
        except UnknownTopicOrPartitionError as error:
            raise ConfigError(missing) from error
        if not found["partitions"]:
            raise ConfigError(missing)
        return [TopicPartition(self.topic, number) for number in range(len(found["partitions"]))]

    async def __anext__(self) -> Prediction:
        """Wait for the next prediction, for ever if there is none; may be cancelled.

        Raises:
            DecodeError: a value is not a prediction; the next call goes on behind it.
            ConfigError: retention removed predictions that were not read, a record batch cannot
                be read, or a right is missing.
            FencedError: this reader is no member of its group any more; open another one.
            UnavailableError: Kafka did not answer, or the group does not come to an assignment; it
                may be called again.
        """
        while True:
            if self._completeness is not None:
                self._completeness.ask_when_old(self._opened[1], self._source_topic)
            while self._buffer:
                prediction = self._admit(*self._buffer.popleft())
                if prediction is not None:
                    return prediction
            await self._fetch()

    def _admit(self, place: Place, record: ConsumerRecord) -> Prediction | None:
        """Return the record's prediction if it is to be yielded."""
        now = self._opened[2].owned_place(TopicPartition(record.topic, record.partition))
        if now is not place or record.offset < place.position:
            return None  # the partition was lost, or positioned anew, meanwhile
        place.position, place.is_fresh, place.is_moved = record.offset + 1, False, True
        prediction = self._parse(record)
        if prediction is None:
            return None
        app = (dict(record.headers).get("sr-app") or b"").decode("utf-8", "replace")
        if self._worker_app_id is not None and app != self._worker_app_id:
            self.counts.foreign += 1
            return None
        source = prediction.source
        try:
            is_new = place.admit(
                SourcePartition(app, source.topic, source.partition), source.offset
            )
        except ConfigError:
            place.position = record.offset  # it was not yielded, so nothing goes on behind it
            self._buffer.appendleft((place, record))
            raise
        if not is_new:
            self.counts.duplicates += 1
            return None
        self.counts.yielded += 1
        self.record, self._source_topic = record, source.topic
        place.is_owed = True
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
        await assignment.place()
        assignment.check()
        within_s = self._timeout_s + POLL_S  # it waits so long where there is nothing to read
        try:
            async with asyncio.timeout(within_s):  # a rebalance has no end of its own
                fetched = await consumer.getmany(
                    timeout_ms=int(POLL_S * 1000), max_records=RECORDS_MAX
                )
        except NoOffsetForPartitionError:
            return  # assigned a moment ago, not positioned yet
        except OffsetOutOfRangeError as error:
            await assignment.reposition(error)
            return
        except CLIENT_ERRORS as error:
            raise translate_error(error, f"reading {self.topic}", within_s) from error
        # Nothing was awaited since these were taken: the places are those of their assignment.
        for tp, records in fetched.items():
            place = assignment.owned_place(tp)
            if place is not None:
                self._buffer.extend((place, record) for record in records)

    async def commit(self) -> None:
        """Store that everything yielded so far is done with; all of it, or nothing.

        During a rebalance it waits for the end of it.

        Raises:
            ConfigError: there is no ``group_id``, or a right is missing.
            FencedError: a partition was lost with what was yielded in it: nothing was stored, and
                all that was yielded since the last commit is yielded again, to this reader or to
                another one.
            UnavailableError: Kafka did not answer; it may be called again.
        """
        if self._group_id is None:
            raise ConfigError("a PredictionReader without group_id cannot commit; give it one")
        await self._opened[2].commit()

    @property
    def complete(self) -> dict[int, int]:
        """Of each source partition, the offset below which everything is published.

        It is the worker's group offset, asked for at most once a second while reading, without
        waiting for the answer: until the first one it is empty, and where Kafka does not answer it
        is the last one.  Skipped records leave no prediction.  Empty without ``worker_app_id``.
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
