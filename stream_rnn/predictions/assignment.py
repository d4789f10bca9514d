"""Which partitions a reader owns, and where it stands in each.

A partition that comes back after a rebalance goes on where the group stopped or where this reader
did, whichever is further: what it has yielded it does not yield again.
"""

import asyncio
from collections.abc import Collection
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.answers import CheckedAdminClient
from stream_rnn.errors import ConfigError, StreamRNNError, UnavailableError, reason
from stream_rnn.predictions.groups import committed_offsets
from stream_rnn.predictions.places import Place

Beginning = Literal["committed", "earliest", "latest"]


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """The partitions of one reader; the listener of its consumer.

    Args:
        consumer: started; it resets no position by itself.
        admin: started.
        group_id: ``None`` for all partitions, without a group.
        start: where to begin.
        timeout_s: deadline of one answer.

    Attributes:
        positioned: set while every owned partition has its place.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        admin: CheckedAdminClient,
        group_id: str | None,
        start: Beginning,
        timeout_s: float,
    ) -> None:
        self.positioned = asyncio.Event()
        self._consumer = consumer
        self._admin = admin
        self._group_id = group_id
        self._start = start
        self._timeout_s = timeout_s
        self._places: dict[TopicPartition, Place] = {}  # of partitions lost, too
        self._owned: set[TopicPartition] = set()
        self._failure: StreamRNNError | None = None

    async def begin(self, partitions: list[TopicPartition]) -> None:
        """Join the group; without one, take all partitions."""
        if self._group_id is not None:
            self._consumer.subscribe([partitions[0].topic], listener=self)
            return
        places = await self._first_places(partitions)
        self._consumer.assign(partitions)
        self._take(places)

    def owned_place(self, tp: TopicPartition) -> Place | None:
        """Return where the reader stands in a partition, ``None`` if it is not its own."""
        return self._places[tp] if tp in self._owned else None

    def to_commit(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what is to be committed: how far each owned partition was yielded."""
        return {
            tp: OffsetAndMetadata(place.position, place.metadata())
            for tp, place in self._places.items()
            if tp in self._owned and not place.is_fresh
        }

    def check(self) -> None:
        """Raise what went wrong while partitions were positioned; aiokafka would only log it."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Stop; how far the partitions were read stays known."""
        self.positioned.clear()
        self._owned -= set(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Go on where the group stopped, or where this reader did, whichever is further."""
        try:
            places = await self._first_places(sorted(assigned))
        except StreamRNNError as error:
            self._failure = error
        except (KafkaError, TimeoutError, OSError) as error:
            self._failure = UnavailableError(f"Kafka did not say where to read: {reason(error)}")
        else:
            self._take({tp: self._further(tp, place) for tp, place in places.items()})

    async def reposition(self, error: OffsetOutOfRangeError) -> None:
        """Go to the log start if nothing was read yet; else predictions were lost.

        Raises:
            ConfigError: retention removed predictions that were not read.
        """
        for tp in set(error.args[0]) & self._owned:
            place = self._places[tp]
            async with asyncio.timeout(self._timeout_s):
                first = (await self._consumer.beginning_offsets([tp]))[tp]
            if not place.is_fresh:
                raise ConfigError(
                    f"{tp.topic}[{tp.partition}]: position {place.position} is outside of the log, "
                    f"which begins at {first}: retention removed predictions that were not read, "
                    "or the topic was made anew; start again with another group_id"
                ) from error
            place.position = first
            self._consumer.seek(tp, first)

    def _further(self, tp: TopicPartition, place: Place) -> Place:
        own = self._places.get(tp)
        return own if own is not None and own.position >= place.position else place

    def _take(self, places: dict[TopicPartition, Place]) -> None:
        for tp, place in places.items():
            self._consumer.seek(tp, place.position)
        self._places.update(places)
        self._owned |= set(places)
        self.positioned.set()

    async def _first_places(self, partitions: list[TopicPartition]) -> dict[TopicPartition, Place]:
        committed: dict[TopicPartition, OffsetAndMetadata] = {}
        if self._group_id is not None and self._start != "earliest":
            committed = await committed_offsets(
                self._admin, self._group_id, partitions, self._timeout_s
            )
        places = {tp: Place.parse(said.offset, said.metadata) for tp, said in committed.items()}
        fresh = [tp for tp in partitions if tp not in places]
        if fresh:
            consumer = self._consumer
            ask = consumer.end_offsets if self._start == "latest" else consumer.beginning_offsets
            async with asyncio.timeout(self._timeout_s):
                offsets = await ask(fresh)
            places.update({tp: Place(offsets[tp], is_fresh=True) for tp in fresh})
        return places
