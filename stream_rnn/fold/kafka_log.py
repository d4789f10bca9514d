"""A source partition and its outputs in Kafka, for recovery."""

import logging
from contextlib import aclosing

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.facts import LastOutput, last_of
from stream_rnn.fold.output_search import OutputSearch
from stream_rnn.fold.recovery_facts import Topics
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.predictions.cut_over import parse_number
from stream_rnn.settings import FoldSettings

logger = logging.getLogger(__name__)

LOG_APPEND_TIME = 1


class KafkaLog:
    """A :class:`stream_rnn.fold.recovery_facts.Log` of one source partition in Kafka."""

    def __init__(self, cluster: KafkaCluster, settings: FoldSettings, partition: int) -> None:
        self._cluster = cluster
        self._settings = settings
        self._source = TopicPartition(settings.source, partition)
        self._outputs: tuple[str, str] = (settings.predictions, settings.dead_letters_topic)

    async def log_start(self) -> int:
        """Return the log start."""
        return await self._cluster.log_start(self._source)

    async def log_end(self) -> int:
        """Return the log end."""
        return await self._cluster.log_end(self._source)

    async def group_offset(self) -> GroupOffset | None:
        """Return the group offset."""
        return await self._cluster.group_offset(self._settings.app, self._source)

    async def last_output(self, number_min: int = 0) -> LastOutput | None:
        """Search the outputs backwards for the last output of this app and source partition.

        A dead letter counts only if it names its fold, because then its transaction also published
        everything before it.

        Args:
            number_min: Number of a cut-over, up to which the search goes on after an output with a
                lower one; of all outputs that it meets, it returns the last of the greatest number.

        Raises:
            FencedError: Kafka does not answer, or the search does not end within
                ``lookback_timeout_s``.
        """
        searches = (self._last_output_in(topic, number_min) for topic in self._outputs)
        return last_of(filter(None, await gather_or_cancel(searches)))

    async def _last_output_in(self, topic: str, number_min: int) -> LastOutput | None:
        output = TopicPartition(topic, self._source.partition)
        topics = await self._cluster.topics(*self._topic_names())
        if output.partition >= topics[topic].partitions:
            return None  # if this is the predictions topic, where_to_start stops the worker
        end = await self._cluster.log_end(output)
        start = await self._cluster.log_start(output)
        if start >= end:
            return None
        async with self._cluster.reader(output) as read:
            search = OutputSearch(
                place=f"{topic}[{output.partition}]",
                read=read,
                parse=self._parse_output,
                start=start,
                end=end,
                records_max=self._settings.lookback_records_max,
                number_min=number_min,
            )
            return await search.run(self._settings.lookback_timeout_s)

    def _parse_output(self, record: ConsumerRecord) -> LastOutput | None:
        """Return the output in a record; ``None`` if it is of another app or source partition."""
        headers = dict(record.headers)
        place = (self._settings.app, self._source.topic, str(self._source.partition))
        named_place = tuple(
            headers.get(name, b"") for name in ("sr-app", "sr-topic", "sr-partition")
        )
        if named_place != tuple((text or "").encode() for text in place):
            return None
        is_stamped_by_broker = record.timestamp_type == LOG_APPEND_TIME
        timestamp = None if is_stamped_by_broker else record.timestamp
        try:
            offset, origin = int(headers["sr-offset"]), int(headers["sr-origin"])
            number = parse_number(record.headers)
            return LastOutput(offset, headers["sr-fold"].decode(), origin, timestamp, number)
        except (AttributeError, KeyError, TypeError, ValueError):
            logger.warning(
                "ignoring an output with headers that no worker writes topic=%s offset=%d",
                record.topic,
                record.offset,
            )
            return None

    async def record_at(self, offset: int) -> Record | None:
        """Return the record at an offset."""
        async with aclosing(self._cluster.batches(self._source, offset, offset + 1)) as batches:
            async for records in batches:
                record: Record = records[0]
                return record
        return None

    async def topics(self) -> Topics:
        """Return the partition counts and the cleanup policy."""
        topics = await self._cluster.topics(*self._topic_names())
        source, predictions, _ = (topics[name] for name in self._topic_names())
        return Topics(source.partitions, predictions.partitions, source.is_compacted)

    def _topic_names(self) -> tuple[str, str, str]:
        return (self._source.topic, *self._outputs)
