"""Which partitions a reader owns, where it stands in each, and what of it is committed.

What a group promises, whatever dies and whenever it rebalances: each prediction is yielded to some
reader, and again if nobody committed it; none is skipped; what was committed is not yielded again.

*A partition that is assigned* goes on at the place that the group has committed.  Only where the
reader owned it in the generation right before, as the same member, nobody else can have had it:
then it goes on where this reader stands, and what it yielded is still its own to commit.

*A commit* is sent in the generation in which the partitions are held, or not at all.  It stores all
that was yielded or nothing: if a partition was lost with predictions that were yielded and not
committed, the commit is refused, and the reader goes back to the committed place in all of its
partitions.

*A group that never committed* begins at the log start, or, if it starts at the latest, at the log
end of the moment in which its first reader was opened: that place is committed before anything is
yielded, or else the next owner of the partition would begin at a log end of its own.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import ConfigError, FencedError, UnavailableError
from stream_rnn.kafka.admin_client import BACK_OFF_S, CheckedAdminClient
from stream_rnn.kafka.client_errors import OF_RIGHTS, await_answer, translate_error
from stream_rnn.kafka.group_offsets import committed_offsets
from stream_rnn.predictions.membership import Member, Membership
from stream_rnn.predictions.places import Place

Beginning = Literal["committed", "earliest", "latest"]


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """The partitions of one reader; the listener of its consumer.

    One task uses it at a time; aiokafka calls the two methods of a listener meanwhile.

    Args:
        consumer: started; it resets no position by itself.
        admin: started.
        group_id: ``None`` for all partitions, without a group.
        start: where a group begins that never committed.
        timeout_s: deadline of one answer, and of finding where to go on.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        admin: CheckedAdminClient,
        group_id: str | None,
        start: Beginning,
        timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._admin = admin
        self._group_id = group_id
        self._start = start
        self._timeout_s = timeout_s
        self._membership = Membership(consumer, group_id or "")
        self._held = Member()
        self._is_assigned = False
        self._places: dict[TopicPartition, Place] = {}
        self._unplaced: set[TopicPartition] = set()
        self._lost: dict[TopicPartition, Place] = {}  # yielded and not committed, of another now
        self._ends: dict[TopicPartition, int] = {}

    async def begin(self, partitions: list[TopicPartition]) -> None:
        """Join the group; without one, take all partitions.

        A group that starts at the latest has a committed place in every partition afterwards: what
        is published from then on is yielded.

        Raises:
            StreamRNNError: Kafka did not say where to begin.
        """
        if self._start == "latest":
            # Before it is asked what is committed: if nothing is, no reader was opened before this.
            self._ends = await self._offsets(partitions, "log end")
        if self._group_id is None:
            places = await self._first_places(partitions)
            self._consumer.assign(partitions)
            self._is_assigned = True
            self._take(places)
            return
        self._consumer.subscribe([partitions[0].topic], listener=self)
        if self._start == "latest":
            await self._until_started(partitions)

    def owned_place(self, tp: TopicPartition) -> Place | None:
        """Return where the reader stands in a partition, ``None`` if it is not its own."""
        return self._places.get(tp) if self._is_assigned else None

    # --- what aiokafka calls; it must not wait here: no heartbeat is sent meanwhile ----------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002  # all of them are
        """Stop: what comes back, and to whom, is known with the next assignment."""
        self._is_assigned = False

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Keep the places of partitions that nobody else can have had; the others have none yet."""
        held = self._membership.now()
        stays = held.comes_right_after(self._held)
        kept = {tp: place for tp, place in self._places.items() if stays and tp in assigned}
        for tp, place in self._places.items():
            if tp not in kept and place.is_owed:
                self._lost[tp] = place
        for tp, place in kept.items():
            self._consumer.seek(tp, place.position)
        self._held, self._places = held, kept
        self._unplaced = set(assigned) - set(kept)
        self._is_assigned = True

    def check(self) -> None:
        """Raise what keeps this reader out of its group, if it has one.

        Raises:
            StreamRNNError: see ``Membership.check``.
        """
        if self._group_id is not None:
            self._membership.check()

    # --- where to go on ----------------------------------------------------------------------------

    async def place(self) -> None:
        """Find where to go on in partitions that were assigned; may be cancelled and called again.

        Raises:
            ConfigError: a right is missing.
            UnavailableError: Kafka did not say within the deadline.
        """
        failure: UnavailableError | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                while self._is_assigned and self._unplaced:
                    try:
                        await self._try_to_place(sorted(self._unplaced))
                    except FencedError:
                        return  # the group rebalances: what comes back is asked for again
                    except UnavailableError as error:
                        if isinstance(error.__cause__, OF_RIGHTS):
                            raise translate_error(
                                error.__cause__, "finding where to read"
                            ) from error
                        failure = error
                        await asyncio.sleep(BACK_OFF_S)
        except TimeoutError as error:
            raise UnavailableError(
                f"Kafka did not say within {self._timeout_s:g} s where to read "
                f"{', '.join(f'{tp.topic}[{tp.partition}]' for tp in sorted(self._unplaced))}"
                f"{f': {failure}' if failure else ''}"
            ) from failure or error

    async def _try_to_place(self, partitions: Sequence[TopicPartition]) -> None:
        held = self._held
        places = await self._first_places(partitions)
        begun = {tp: place for tp, place in places.items() if place.is_fresh}
        if begun and self._start == "latest" and self._group_id is not None:
            await self._membership.commit(_offsets_of(begun), held)
            for place in begun.values():
                place.is_fresh = False
        if self._is_assigned and self._held is held:
            self._take(places)

    async def _first_places(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Place]:
        committed: dict[TopicPartition, OffsetAndMetadata] = {}
        if self._group_id is not None:
            committed = await committed_offsets(
                self._admin, self._group_id, partitions, self._timeout_s
            )
        fresh = [tp for tp in partitions if tp not in committed]
        unknown = [tp for tp in fresh if tp not in self._ends]
        starts = {**self._ends, **await self._offsets(unknown, "log start")}
        return {
            **{tp: Place.parse(said.offset, said.metadata) for tp, said in committed.items()},
            **{tp: Place(starts[tp], is_fresh=True) for tp in fresh},
        }

    async def _offsets(
        self, partitions: Sequence[TopicPartition], which: Literal["log start", "log end"]
    ) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        consumer = self._consumer
        ask = consumer.end_offsets if which == "log end" else consumer.beginning_offsets
        doing = f"asking for the {which} of {partitions[0].topic}"
        found = await await_answer(ask(list(partitions)), doing, self._timeout_s)
        return {tp: int(offset) for tp, offset in found.items()}

    def _take(self, places: dict[TopicPartition, Place]) -> None:
        for tp, place in places.items():
            self._consumer.seek(tp, place.position)
        self._places |= places
        self._unplaced -= set(places)

    async def _until_started(self, partitions: Sequence[TopicPartition]) -> None:
        """Wait until this and the other readers have committed where the group begins."""
        assert self._group_id is not None, "only a group starts together"
        missing = set(partitions)
        try:
            async with asyncio.timeout(self._timeout_s):
                while missing:
                    self._membership.check()
                    await self.place()
                    if not self._unplaced:
                        missing -= set(
                            await committed_offsets(
                                self._admin, self._group_id, partitions, self._timeout_s
                            )
                        )
                    if missing:
                        await asyncio.sleep(BACK_OFF_S)
        except TimeoutError as error:
            raise UnavailableError(
                f"group {self._group_id} has no committed place in "
                f"{', '.join(f'{tp.topic}[{tp.partition}]' for tp in sorted(missing))} after "
                f"{self._timeout_s:g} s: is there a reader that hangs?  Open it again"
            ) from error

    async def reposition(self, error: OffsetOutOfRangeError) -> None:
        """Go to the log start if nothing was read yet; else predictions were lost.

        Raises:
            ConfigError: retention removed predictions that were not read.
            UnavailableError: Kafka did not say where the log begins.
        """
        for tp in error.args[0]:
            place = self.owned_place(tp)
            if place is None:
                continue  # it has no place yet, or is not this reader's any more
            first = (await self._offsets([tp], "log start"))[tp]
            if self.owned_place(tp) is not place:
                continue
            if not place.is_fresh:
                raise ConfigError(
                    f"{tp.topic}[{tp.partition}]: position {place.position} is outside of the log, "
                    f"which begins at {first}: retention removed predictions that were not read, "
                    "or the topic was made anew; start again with another group_id"
                ) from error
            place.position = first
            self._consumer.seek(tp, first)

    # --- what is committed -------------------------------------------------------------------------

    async def commit(self) -> None:
        """Store how far this reader has yielded; all of it, or nothing.

        Raises:
            FencedError: a partition was lost with what was yielded; the reader goes back.
            ConfigError: the commit is too large, or a right is missing.
            UnavailableError: Kafka did not acknowledge; it may be called again.
        """
        moved: dict[TopicPartition, Place] = {}
        try:
            async with asyncio.timeout(self._timeout_s):
                moved = await self._to_commit()
                if moved:
                    await self._membership.commit(_offsets_of(moved), self._held)
        except FencedError as error:
            self._go_back()
            raise FencedError(
                f"commit of group {self._group_id} refused: {error}; nothing was stored, and all "
                "that was yielded since the last commit is yielded again, to this or another reader"
            ) from error
        except TimeoutError as error:
            message = f"Kafka did not acknowledge a commit within {self._timeout_s:g} s"
            raise UnavailableError(message) from error
        for place in moved.values():
            place.is_moved = place.is_owed = False

    async def _to_commit(self) -> dict[TopicPartition, Place]:
        """Return the places to store, after the end of a rebalance: within it, none would be taken."""
        if not any(place.is_moved for place in (*self._places.values(), *self._lost.values())):
            return {}
        while not self._is_assigned:
            self._membership.check()
            if self._membership.now().generation < 0:
                raise FencedError("this reader is no member of the group any more")
            await asyncio.sleep(BACK_OFF_S)
        if any(place.is_owed for place in self._lost.values()):
            raise FencedError("partitions were given to another reader")
        self._lost.clear()
        return {tp: place for tp, place in self._places.items() if place.is_moved}

    def _go_back(self) -> None:
        self._unplaced |= set(self._places)
        self._places.clear()
        self._lost.clear()


def _offsets_of(places: dict[TopicPartition, Place]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {tp: OffsetAndMetadata(place.position, place.metadata()) for tp, place in places.items()}
