"""The shadow topic: the predictions of candidates, for comparing them with those in production.

One plain producer serves all candidates of a worker.  It has no transactional id, so it fences
nobody, and it never writes a group offset.  A worker opens it with its first candidate, and closes
it when no roll-out is open.

Nothing that happens to the shadow topic disturbs a fold.  A publish that fails, or takes too long,
is logged and not repeated, and candidates fold silently until the next attempt.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from stream_rnn.errors import StreamRNNError, reason
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.output_producer import new_output_producer, send_messages
from stream_rnn.kafka.acls import authorization_error
from stream_rnn.kafka.clients import PRODUCER_FAILURES, stop_producer
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.settings import FoldSettings
from stream_rnn.worker.output_topics import prepare_shadow_topic
from stream_rnn.worker.service_tasks import report_unexpected_end

logger = logging.getLogger(__name__)

SEND_WITHIN_S = 5.0  # for the predictions of one micro-batch
REST_S = 30.0  # after a failure
CLOSE_WITHIN_S = 1.0


class ShadowTopic:
    """Publishes the predictions of a worker's candidates; a failure is never raised.

    Args:
        cluster: Clients that create the topic.
        connection: Options of every Kafka client.
        settings: Settings with the name of the topic, the bounds and the deadlines.
        clock: Monotonic clock in seconds.

    Attributes:
        problem: Reason why nothing is published now; empty if nothing has failed.
        lost: Number of predictions that were not published, because of a problem.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        connection: Mapping[str, Any],
        settings: FoldSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._connection, self._settings = cluster, connection, settings
        self._clock = clock
        self._opening: asyncio.Task[AIOKafkaProducer] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._again_s = clock()
        self._is_wanted = False
        self.problem = ""
        self.lost = 0

    @property
    def is_open(self) -> bool:
        """Whether a producer is open, or about to be."""
        return self._opening is not None

    def publisher(self, partition: int) -> "ShadowPublisher":
        """Return the publisher of a candidate, and begin to open the producer."""
        self._is_wanted = True
        self._begin()
        return ShadowPublisher(self, partition)

    def _begin(self) -> None:
        """Open the producer, unless it rests, or was closed and no candidate has begun since."""
        if self._is_wanted and self._opening is None and self._clock() >= self._again_s:
            self._opening = asyncio.create_task(self._open(), name="the shadow topic")
            self._note_unexpected_end(self._opening)

    def _note_unexpected_end(self, opening: "asyncio.Task[AIOKafkaProducer]") -> None:
        """Note a failure at once: the candidate may warm for long before it publishes."""

        def ended(opening: "asyncio.Task[AIOKafkaProducer]") -> None:
            error = None if opening.cancelled() else opening.exception()
            if error is not None:
                self._rest(opening, error)

        opening.add_done_callback(ended)

    async def _open(self) -> AIOKafkaProducer:
        assert self._cluster.admin is not None, "the cluster was entered"
        await prepare_shadow_topic(self._cluster.admin, self._settings)
        producer = new_output_producer(self._connection, self._settings)
        try:
            async with asyncio.timeout(self._settings.kafka_timeout_s):
                await producer.start()
        except BaseException:
            await stop_producer(producer, CLOSE_WITHIN_S)
            raise
        return producer

    async def publish(self, partition: int, predictions: Sequence[Message]) -> None:
        """Publish predictions, until Kafka has acknowledged all or the deadline has passed.

        Args:
            partition: Number of the source partition, and of the topic's.
            predictions: Predictions of one micro-batch.
        """
        if not predictions:
            return
        self._begin()
        opening = self._opening
        if opening is None:  # it rests after a failure, or is closed
            self.lost += len(predictions)
            return
        output = TopicPartition(self._settings.shadow_topic, partition)
        try:
            # The task has deadlines of its own.  It is not cancelled with one of its candidates.
            await asyncio.wait({opening})
            if opening.cancelled():
                return
            async with asyncio.timeout(SEND_WITHIN_S):
                await send_messages(opening.result(), output, predictions, self._settings)
        except (StreamRNNError, *PRODUCER_FAILURES) as error:
            self.lost += len(predictions)
            self._rest(opening, error)
        else:
            if self.problem and self._opening is opening:
                logger.info("the shadow topic %s gets predictions again", output.topic)
                self.problem = ""

    def _rest(self, opening: "asyncio.Task[AIOKafkaProducer]", error: BaseException) -> None:
        """Close the producer, and log the error unless it is the last one again."""
        if self._opening is not opening:
            return  # it was closed meanwhile, which makes all other publishes fail
        topic, app = self._settings.shadow_topic, self._settings.app
        refused = authorization_error(error, app, f"Write on topic {topic}")
        problem = str(refused) if refused else reason(error, SEND_WITHIN_S)
        if problem != self.problem:
            logger.warning(
                "candidates publish no predictions to the shadow topic %s, and fold on: %s",
                *(topic, problem),
            )
        self.problem = problem
        self._opening, self._again_s = None, self._clock() + REST_S
        self._close_later(opening)

    def _close_later(self, opening: "asyncio.Task[AIOKafkaProducer]") -> None:
        closing = asyncio.create_task(_close(opening), name="closing the shadow topic")
        report_unexpected_end(closing, lambda: True, lambda _: None)
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close the producer, and forget the last problem; the next candidate opens it again.

        Candidates that have not ended yet do not open it: the topic may just be deleted.
        """
        opening, self._opening = self._opening, None
        self._is_wanted, self.problem, self._again_s = False, "", self._clock()
        if opening is not None:
            self._close_later(opening)
        if self._closing:
            await asyncio.wait(self._closing)


async def _close(opening: "asyncio.Task[AIOKafkaProducer]") -> None:
    opening.cancel()
    await asyncio.wait({opening})
    if not opening.cancelled() and opening.exception() is None:
        await stop_producer(opening.result(), CLOSE_WITHIN_S)


@dataclass(frozen=True, slots=True)
class ShadowPublisher:
    """The publisher of a candidate: predictions go to the shadow topic, all else goes nowhere."""

    topic: ShadowTopic
    partition: int

    async def start(self) -> None:
        """Do nothing: a candidate fences nobody."""

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],  # noqa: ARG002  # the signature of a publisher
        group_offset: GroupOffset,  # noqa: ARG002  # see above
    ) -> None:
        """Publish the predictions; the group offset belongs to the fold in charge."""
        await self.topic.publish(self.partition, predictions)

    async def close(self) -> None:
        """Do nothing: other candidates use the producer, too."""
