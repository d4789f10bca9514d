"""The reader: an async iterator that yields each prediction of a topic once.

    async with PredictionReader("delays", bootstrap_servers="...", group_id="billing") as reader:
        async for prediction in reader:
            ...                       # process the prediction
            await reader.commit()     # after each prediction, or after many

The reader reads committed records only, and yields each source offset once in both delivery modes;
``progress.py`` says why.  ``commit`` stores the offset up to which the reader has *yielded*, and
beside it the last source offset of each source partition; after a crash, the next reader continues
exactly there.  Predictions after the last commit are yielded again: process them first, then
commit, and make the processing idempotent by ``prediction.source``.

Several readers of one group share the partitions.  The group rebalances whenever a reader joins,
leaves or dies, with these guarantees:

- Each prediction is yielded to one of the readers, and again if no reader has committed it.
- No prediction is skipped, and a committed prediction is not yielded again.
- A partition that stays with its reader in a rebalance continues at the reader's position, and
  ``commit`` stores all predictions that were yielded, before and after the rebalance.
- A partition that is new to a reader, or was lost in between, continues at the committed offset.
- If a reader has lost a partition with yielded and uncommitted predictions, its next ``commit``
  raises ``FencedError`` and stores nothing.  All that the reader has yielded since its last commit,
  in every partition, is yielded again, to it or to another reader.  Undo the processing, or make
  sure that it can be repeated.

Kafka deletes the commits of a group that has had no reader for ``offsets.retention.minutes`` (a
week by default); then the group counts as one that never committed.

A source topic that was deleted and created again counts its offsets from 0, and the reader drops
its predictions as duplicates.  Use another predictions topic, or another group of readers.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Literal, Self, cast

from aiokafka import TopicPartition
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import ConfigError, DecodeError, UnavailableError, reason
from stream_rnn.kafka import clients
from stream_rnn.kafka.admin_client import CheckedAdminClient, retry_while_unavailable
from stream_rnn.kafka.client_errors import CLIENT_ERRORS, translate_error
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.kafka.record_batches import Consumer
from stream_rnn.kafka.unreachable import describe_unreachable
from stream_rnn.predictions.assignment import Assignment, StartPolicy
from stream_rnn.predictions.completeness import Completeness
from stream_rnn.predictions.counts import Counts
from stream_rnn.predictions.cut_over import parse_number
from stream_rnn.predictions.decoder import open_decoder
from stream_rnn.predictions.progress import PartitionProgress, SourcePartition
from stream_rnn.predictions.schema import Prediction

RECORDS_MAX = 500
POLL_MS = 1000
FETCH_WAIT_MS_MAX = 500
CLOSE_TIMEOUT_S = 5.0


class PredictionReader(AsyncIterator[Prediction]):
    """Yields each prediction of a topic once.

    A reader is an async context manager.  Only one task at a time may use it.

    Args:
        topic: Name of the predictions topic.
        bootstrap_servers: Kafka brokers as ``host:port``; ``None`` takes those of ``kafka_config``.
        group_id: Name of the consumer group whose readers share the partitions; ``None`` to read
            all partitions without commits.
        start: Where to start in a partition without a commit of the group: ``committed`` and
            ``earliest`` at the log start; ``latest`` at the log end, so that the reader yields
            every prediction that is published after it was opened.  All readers of a group must
            use the same value.  To read everything again, use another group, or none.
        worker_app_id: App id of the worker.  With it, predictions of other apps are dropped, and
            ``complete`` is available.
        kafka_config: Path of a java.properties file for TLS and SASL.
        token_provider: aiokafka's provider of tokens, instead of a login of ``kafka_config``.
        on_bad: Reaction to a value that is not a prediction: ``raise`` raises ``DecodeError``, and
            the next call continues after the value; ``skip`` counts it, and logs each cause once.
        timeout_s: Deadline in seconds for one answer of Kafka, and for an assignment of partitions.
        schema_registry_url: URL of the schema registry of predictions in Avro or Protobuf.
        schema_registry_config: Path of the file with its login, and its URL unless that is given.
        bundle: Directory of a bundle whose predictions need no registry.

    Raises:
        ConfigError: On opening: no broker answers, or the topic does not exist.
        UnavailableError: On opening: Kafka did not return the offsets at which to start.

    Attributes:
        counts: Numbers of records that were yielded, dropped or refused.
        record: Kafka record of the last prediction, with partition, offset, timestamp and headers.
    """

    def __init__(
        self,
        topic: str,
        *,
        bootstrap_servers: str | None = None,
        group_id: str | None = None,
        start: StartPolicy = "committed",
        worker_app_id: str | None = None,
        kafka_config: str | None = None,
        token_provider: AbstractTokenProvider | None = None,
        on_bad: Literal["raise", "skip"] = "raise",
        timeout_s: float = 30.0,
        schema_registry_url: str | None = None,
        schema_registry_config: str | None = None,
        bundle: str | Path | None = None,
    ) -> None:
        self.topic = topic
        self.counts = Counts()
        self.record: ConsumerRecord | None = None
        self._connection = kafka_options(bootstrap_servers, kafka_config, token_provider)
        self._group_id, self._worker_app_id = group_id, worker_app_id
        self._start: StartPolicy = start
        self._skips_bad, self._timeout_s = on_bad == "skip", timeout_s
        self._consumer: Consumer | None = None
        self._admin: CheckedAdminClient | None = None
        self._assignment: Assignment | None = None
        # At most RECORDS_MAX records, each with the progress object of its assignment.
        self._buffer: deque[tuple[PartitionProgress, ConsumerRecord]] = deque()
        self._completeness = Completeness(worker_app_id, timeout_s) if worker_app_id else None
        self._source_topic: str | None = None
        self._decoder = open_decoder(schema_registry_url, schema_registry_config, bundle, timeout_s)

    async def __aenter__(self) -> Self:
        timeout_ms = int(self._timeout_s * 1000)
        self._consumer = clients.new_consumer(
            group_id=self._group_id,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=timeout_ms,
            # an idle topic must not time out
            fetch_max_wait_ms=min(FETCH_WAIT_MS_MAX, timeout_ms // 2),
            **self._connection,
        )
        self._admin = clients.new_admin(request_timeout_ms=timeout_ms, **self._connection)
        self._assignment = Assignment(
            self._consumer, self._admin, self._group_id, self._start, self._timeout_s
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._consumer.start()
                await clients.start_admin(self._admin)
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
            await clients.stop_consumer(self._consumer, CLOSE_TIMEOUT_S)
        if self._admin is not None:
            await clients.stop_admin(self._admin, CLOSE_TIMEOUT_S)

    async def _partitions(self, admin: CheckedAdminClient) -> list[TopicPartition]:
        missing = (
            f"topic {self.topic} does not exist at "
            f"{','.join(self._connection['bootstrap_servers'])}; check its name, or start the "
            "worker that creates it"
        )
        try:
            request = partial(admin.describe_topics, [self.topic])
            (described,) = await retry_while_unavailable(request, self._timeout_s)
        except UnknownTopicOrPartitionError as error:
            raise ConfigError(missing) from error
        if not described["partitions"]:
            raise ConfigError(missing)
        return [
            TopicPartition(self.topic, number) for number in range(len(described["partitions"]))
        ]

    async def __anext__(self) -> Prediction:
        """Return the next prediction, and wait for it without a limit; may be cancelled.

        Raises:
            DecodeError: A value is not a prediction; the next call continues after it.
            ConfigError: Retention removed predictions that were not read, a record batch is
                unreadable, or the user lacks a right.
            FencedError: This reader is no longer a member of its group; open a new one.
            UnavailableError: Kafka or the schema registry did not answer, or has refused the login for ``timeout_s``, or
                the group did not finish a rebalance; the method may be called again.
        """
        while True:
            if self._completeness is not None:
                _, admin, _ = self._opened
                self._completeness.refresh_when_old(admin, self._source_topic)
            while self._buffer:
                await self._decoder.prepare(self._buffer[0][1].value)
                prediction = self._admit(*self._buffer.popleft())
                if prediction is not None:
                    return prediction
            await self._fetch()

    def _admit(self, progress: PartitionProgress, record: ConsumerRecord) -> Prediction | None:
        """Advance beyond a record, and return its prediction if the reader must yield it."""
        _, _, assignment = self._opened
        owned = assignment.owned_progress(TopicPartition(record.topic, record.partition))
        if owned is not progress or record.offset < progress.position:
            return None  # the partition was lost or positioned again since the fetch
        progress.position, progress.is_initial, progress.has_moved = record.offset + 1, False, True
        prediction = self._parse(record)
        if prediction is None:
            return None
        app, number = _app_and_number(record)
        if self._worker_app_id is not None and app != self._worker_app_id:
            self.counts.foreign += 1
            return None
        source = prediction.source
        place = SourcePartition(app, source.topic, source.partition)
        try:
            is_new = progress.admit(place, source.offset, number)
        except ConfigError:
            progress.position = record.offset  # the next call must not skip the record
            self._buffer.appendleft((progress, record))
            raise
        if not is_new:
            self.counts.duplicates += 1
            if progress.is_behind(place, source.offset, number):
                self.counts.note_behind(place, source.offset, number, progress.numbers[place])
            return None
        self.counts.yielded += 1
        self.record, self._source_topic = record, source.topic
        progress.has_uncommitted = True
        return prediction

    def _parse(self, record: ConsumerRecord) -> Prediction | None:
        try:
            return self._decoder.parse(record.value or b"")
        except DecodeError as error:
            where = f"{record.topic}[{record.partition}] offset {record.offset}"
            if self._skips_bad:
                self.counts.skip(where, error)
                return None
            self.counts.bad += 1
            message = f"{where} is not a prediction: {error}; is {self.topic} the right topic?"
            raise DecodeError(error.code, message) from error

    async def _fetch(self) -> None:
        consumer, _, assignment = self._opened
        await assignment.find_positions()
        assignment.check()
        within_s = self._timeout_s + POLL_MS / 1000  # which an idle topic takes
        try:
            async with asyncio.timeout(within_s):  # a rebalance has no deadline of its own
                fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
        except NoOffsetForPartitionError:
            return  # the partition was just assigned, and has no position yet
        except OffsetOutOfRangeError as error:
            await assignment.reposition(error)
            return
        except CLIENT_ERRORS as error:
            raise translate_error(error, f"reading {self.topic}", within_s) from error
        if not fetched and (refusal := self._connection["credentials"].refusal(self._timeout_s)):
            raise UnavailableError(f"reading {self.topic} failed: {refusal}")
        # No await since the fetch: each progress belongs to the assignment of its records.
        for tp, records in fetched.items():
            progress = assignment.owned_progress(tp)
            if progress is not None:
                self._buffer.extend((progress, record) for record in records)

    async def commit(self) -> None:
        """Commit all predictions that were yielded so far, or nothing.

        During a rebalance, the method waits for its end.

        Raises:
            ConfigError: The reader has no ``group_id``, or the user lacks a right.
            FencedError: The reader has lost a partition with yielded and uncommitted predictions.
                Nothing was stored, and all predictions since the last commit are yielded again, to
                this reader or to another one.
            UnavailableError: Kafka did not answer; the method may be called again.
        """
        if self._group_id is None:
            raise ConfigError("a PredictionReader without group_id cannot commit; give it one")
        _, _, assignment = self._opened
        await assignment.commit()

    @property
    def complete(self) -> dict[int, int]:
        """Offset of each source partition below which every prediction is published.

        These are the group offsets of the worker.  While it reads, the reader requests them at most
        once a second and does not wait for the answer: the mapping is empty before the first
        answer, and stays as it is while Kafka does not answer.  Skipped records have no prediction.
        Without ``worker_app_id`` the mapping is always empty.
        """
        return dict(self._completeness.offsets) if self._completeness is not None else {}

    async def refresh_complete(self) -> dict[int, int]:
        """Request the group offsets of the worker now, and return them as ``complete`` does.

        Raises:
            ConfigError: The reader has no ``worker_app_id``; or the app folds several topics, and
                no prediction was read yet.
            UnavailableError: Kafka did not answer.
        """
        if self._completeness is None:
            raise ConfigError("complete needs the worker's app id: give worker_app_id")
        _, admin, _ = self._opened
        await self._completeness.refresh(admin, self._source_topic)
        return self.complete

    @property
    def _opened(self) -> tuple[Consumer, CheckedAdminClient, Assignment]:
        opened = self._consumer, self._admin, self._assignment
        assert None not in opened, "the reader was not opened by 'async with'"
        return cast("tuple[Consumer, CheckedAdminClient, Assignment]", opened)


def _app_and_number(record: ConsumerRecord) -> tuple[str, int]:
    """Return the app that has published a prediction, and the number of its last cut-over."""
    try:
        number = parse_number(record.headers)
    except ValueError:  # no worker has written this header
        number = 0
    return (dict(record.headers).get("sr-app") or b"").decode("utf-8", "replace"), number
