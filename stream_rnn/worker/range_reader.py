"""The records that a candidate folds: a range of one partition, read outside of the group."""

import time
from collections.abc import Callable, Sequence

from aiokafka import TopicPartition

from stream_rnn.errors import FencedError
from stream_rnn.fold.decoder import Record
from stream_rnn.kafka.clients import stop_consumer
from stream_rnn.kafka.cluster import POLL_MS, KafkaCluster
from stream_rnn.kafka.record_batches import Consumer
from stream_rnn.settings import FoldSettings

FETCH_WAIT_MS = 500  # at the end of the log, where each candidate has an open fetch


class KafkaRangeReader:
    """Reads committed records of one partition, by a consumer of its own outside of the group.

    Args:
        cluster: Kafka clients, which open the consumer at the first read.
        tp: Partition.
        settings: Settings with the deadlines and the size of a micro-batch.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        tp: TopicPartition,
        settings: FoldSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._tp, self._settings, self._clock = cluster, tp, settings, clock
        self._consumer: Consumer | None = None
        self._position = -1  # the next offset of ``_ahead``, or of the consumer
        self._ahead: list[Record] = []  # delivered beyond the end; at most one fetch

    async def read(self, first: int, end: int) -> Sequence[Record]:
        """Return the first records of [first, end); none if the range has none.

        A read that begins where the last one has ended costs no seek, after which the consumer
        would fetch again what Kafka has delivered beyond the end.

        Raises:
            FencedError: Kafka delivers nothing, and passes no offset, within ``kafka_timeout_s``.
        """
        if self._consumer is None:
            self._consumer = await self._cluster.open_consumer(self._tp, FETCH_WAIT_MS)
        is_next, ahead = self._position == first, self._ahead
        if is_next and ahead:
            return self._split(ahead, end)
        self._position, self._ahead = -1, []  # a read that fails may have passed records
        if not is_next:
            self._consumer.seek(self._tp, first)
        return self._split(await self._fetch(self._consumer, first, end), end)

    async def _fetch(self, consumer: Consumer, first: int, end: int) -> list[Record]:
        """Return the next records of the consumer; none if it has reached the end without any."""
        cluster, tp, limit_s = self._cluster, self._tp, self._settings.kafka_timeout_s
        position, arrived_s = first, self._clock()
        while True:
            fetch = consumer.getmany(
                tp, timeout_ms=POLL_MS, max_records=self._settings.batch_events_max
            )
            fetched: list[Record] = (await cluster.await_answer(fetch, tp)).get(tp, [])
            reached = await cluster.await_answer(consumer.position(tp), tp)
            if fetched or reached >= end:
                return fetched
            if reached > position:  # over records of aborted transactions, or compacted ones
                position, arrived_s = reached, self._clock()
            elif self._clock() - arrived_s > limit_s:
                raise FencedError(f"{tp}: Kafka delivers nothing from offset {position} on")

    def _split(self, records: list[Record], end: int) -> Sequence[Record]:
        """Return the records below the end, and keep the others for the next read."""
        within = [record for record in records if record.offset < end]
        self._ahead = records[len(within) :]
        # A caller goes on after the last record, or at the end if the range has no more.
        self._position = within[-1].offset + 1 if within else end
        return within

    async def close(self) -> None:
        """Close the consumer."""
        if self._consumer is not None:
            await stop_consumer(self._consumer, self._settings.revoke_timeout_s)
