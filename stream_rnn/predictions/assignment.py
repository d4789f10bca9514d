"""The partitions that a reader owns, its progress in each of them, and its commits.

The guarantees of a group hold for every crash and rebalance: each prediction is yielded to one of
the readers, and again if no reader has committed it; no prediction is skipped; a committed
prediction is not yielded again.

*An assigned partition* continues at the offset that the group has committed.  The exception is a
partition that the reader owned in the previous generation as the same member.  No other reader can
have owned it since, so it continues at the reader's own position, and the reader may still commit
the predictions that it has yielded there.

*A commit* is sent only in the generation in which the reader owns the partitions.  It stores the
progress in all partitions or nothing.  If the reader has lost a partition with yielded and
uncommitted predictions, the commit is refused, and the reader returns to the committed offsets in
all of its partitions.

*A group that never committed* starts at the log start.  With ``latest`` it starts at the log end of
the time when its first reader was opened.  This offset is committed before any prediction is
yielded; otherwise the next owner of the partition would start at a later log end.
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
from stream_rnn.kafka.client_errors import RIGHTS_ERRORS, await_answer, translate_error
from stream_rnn.kafka.group_offsets import committed_offsets
from stream_rnn.predictions.membership import Member, Membership
from stream_rnn.predictions.progress import PartitionProgress

StartPolicy = Literal["committed", "earliest", "latest"]


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """The partitions of one reader; the rebalance listener of its consumer.

    Only one task at a time may use it; aiokafka calls the two listener methods concurrently.

    Args:
        consumer: Started consumer that does not reset positions by itself.
        admin: Started admin client.
        group_id: Name of the consumer group; ``None`` to read all partitions without a group.
        start: Where a group that has never committed starts.
        timeout_s: Deadline in seconds for one answer of Kafka, and for finding the positions.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        admin: CheckedAdminClient,
        group_id: str | None,
        start: StartPolicy,
        timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._admin = admin
        self._group_id = group_id
        self._start = start
        self._timeout_s = timeout_s
        self._membership = Membership(consumer, group_id or "")
        self._member = Member()
        self._is_assigned = False
        self._progress: dict[TopicPartition, PartitionProgress] = {}
        self._unpositioned: set[TopicPartition] = set()
        # Partitions that the reader lost with predictions that it has yielded and not committed.
        self._lost_progress: dict[TopicPartition, PartitionProgress] = {}
        self._ends: dict[TopicPartition, int] = {}

    async def begin(self, partitions: list[TopicPartition]) -> None:
        """Join the group, or take all partitions without a group.

        With ``latest``, this method returns after the group has committed an offset in every
        partition, so that the group yields every prediction that is published later.

        Raises:
            StreamRNNError: Kafka did not return the offsets at which to start.
        """
        if self._start == "latest":
            # Read the log ends before the commits: without a commit, this reader is the first one.
            self._ends = await self._offsets(partitions, "log end")
        if self._group_id is None:
            positions = await self._first_progress(partitions)
            self._consumer.assign(partitions)
            self._is_assigned = True
            self._set_positions(positions)
            return
        self._consumer.subscribe([partitions[0].topic], listener=self)
        if self._start == "latest":
            await self._wait_for_first_commits(partitions)

    def owned_progress(self, tp: TopicPartition) -> PartitionProgress | None:
        """Return the progress in a partition; ``None`` if the reader does not own it."""
        return self._progress.get(tp) if self._is_assigned else None

    # --- called by aiokafka, which sends no heartbeat meanwhile: these must not wait ---------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002  # always all partitions
        """Stop yielding until the next assignment shows which partitions come back."""
        self._is_assigned = False

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Keep the progress in partitions that no other reader can have owned meanwhile."""
        member = self._membership.current_member()
        may_continue = member.directly_follows(self._member)
        continued = {tp: p for tp, p in self._progress.items() if may_continue and tp in assigned}
        for tp, progress in self._progress.items():
            if tp not in continued and progress.has_uncommitted:
                self._lost_progress[tp] = progress
        for tp, progress in continued.items():
            self._consumer.seek(tp, progress.position)
        self._member, self._progress = member, continued
        self._unpositioned = set(assigned) - set(continued)
        self._is_assigned = True

    def check(self) -> None:
        """Check that this reader can be a member of its group, if it has one.

        Raises:
            StreamRNNError: It cannot; see ``Membership.check``.
        """
        if self._group_id is not None:
            self._membership.check()

    # --- positions ---------------------------------------------------------------------------------

    async def find_positions(self) -> None:
        """Find the positions in newly assigned partitions; may be cancelled and called again.

        Raises:
            ConfigError: The user lacks a right.
            UnavailableError: Kafka did not return the offsets within the deadline.
        """
        failure: UnavailableError | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                while self._is_assigned and self._unpositioned:
                    try:
                        await self._try_to_find_positions(sorted(self._unpositioned))
                    except FencedError:
                        return  # the group rebalances: the next assignment needs new positions
                    except UnavailableError as error:
                        if isinstance(error.__cause__, RIGHTS_ERRORS):
                            raise translate_error(
                                error.__cause__, "finding where to read"
                            ) from error
                        failure = error
                        await asyncio.sleep(BACK_OFF_S)
        except TimeoutError as error:
            raise UnavailableError(
                f"Kafka did not return within {self._timeout_s:g} s where to start in "
                f"{', '.join(f'{tp.topic}[{tp.partition}]' for tp in sorted(self._unpositioned))}"
                f"{f': {failure}' if failure else ''}"
            ) from failure or error

    async def _try_to_find_positions(self, partitions: Sequence[TopicPartition]) -> None:
        member = self._member
        positions = await self._first_progress(partitions)
        initial = {tp: progress for tp, progress in positions.items() if progress.is_initial}
        if initial and self._start == "latest" and self._group_id is not None:
            await self._membership.commit(_offsets_of(initial), member)
            for progress in initial.values():
                progress.is_initial = False
        if self._is_assigned and self._member is member:
            self._set_positions(positions)

    async def _first_progress(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, PartitionProgress]:
        committed: dict[TopicPartition, OffsetAndMetadata] = {}
        if self._group_id is not None:
            committed = await committed_offsets(
                self._admin, self._group_id, partitions, self._timeout_s
            )
        uncommitted = [tp for tp in partitions if tp not in committed]
        unknown = [tp for tp in uncommitted if tp not in self._ends]
        starts = {**self._ends, **await self._offsets(unknown, "log start")}
        return {
            **{
                tp: PartitionProgress.parse(commit.offset, commit.metadata)
                for tp, commit in committed.items()
            },
            **{tp: PartitionProgress(starts[tp], is_initial=True) for tp in uncommitted},
        }

    async def _offsets(
        self, partitions: Sequence[TopicPartition], which: Literal["log start", "log end"]
    ) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        consumer = self._consumer
        request = consumer.end_offsets if which == "log end" else consumer.beginning_offsets
        doing = f"reading the {which} of {partitions[0].topic}"
        offsets = await await_answer(request(list(partitions)), doing, self._timeout_s)
        return {tp: int(offset) for tp, offset in offsets.items()}

    def _set_positions(self, positions: dict[TopicPartition, PartitionProgress]) -> None:
        for tp, progress in positions.items():
            self._consumer.seek(tp, progress.position)
        self._progress |= positions
        self._unpositioned -= set(positions)

    async def _wait_for_first_commits(self, partitions: Sequence[TopicPartition]) -> None:
        """Wait until the readers of the group have committed its first offset in all partitions."""
        assert self._group_id is not None, "only a group commits"
        missing = set(partitions)
        try:
            async with asyncio.timeout(self._timeout_s):
                while missing:
                    self._membership.check()
                    await self.find_positions()
                    if not self._unpositioned:
                        missing -= set(
                            await committed_offsets(
                                self._admin, self._group_id, partitions, self._timeout_s
                            )
                        )
                    if missing:
                        await asyncio.sleep(BACK_OFF_S)
        except TimeoutError as error:
            raise UnavailableError(
                f"group {self._group_id} has no committed offset in "
                f"{', '.join(f'{tp.topic}[{tp.partition}]' for tp in sorted(missing))} after "
                f"{self._timeout_s:g} s: another reader may hang; close it and open this one again"
            ) from error

    async def reposition(self, error: OffsetOutOfRangeError) -> None:
        """Seek to the log start after an out-of-range error, if no prediction was lost.

        Raises:
            ConfigError: Retention removed predictions that were not read.
            UnavailableError: Kafka did not return the log start.
        """
        for tp in error.args[0]:
            progress = self.owned_progress(tp)
            if progress is None:
                continue  # it has no position yet, or this reader no longer owns it
            first = (await self._offsets([tp], "log start"))[tp]
            if self.owned_progress(tp) is not progress:
                continue
            if not progress.is_initial:
                raise ConfigError(
                    f"{tp.topic}[{tp.partition}]: position {progress.position} is outside of the log, "
                    f"which begins at {first}: retention removed predictions that were not read, or "
                    "the topic was deleted and created again; start with another group_id"
                ) from error
            progress.position = first
            self._consumer.seek(tp, first)

    # --- commits -----------------------------------------------------------------------------------

    async def commit(self) -> None:
        """Commit the progress of this reader in all of its partitions, or nothing.

        Raises:
            FencedError: The reader has lost a partition with yielded and uncommitted predictions,
                and returns to the committed offsets.
            ConfigError: The commit is too large, or the user lacks a right.
            UnavailableError: Kafka did not acknowledge; the method may be called again.
        """
        moved: dict[TopicPartition, PartitionProgress] = {}
        try:
            async with asyncio.timeout(self._timeout_s):
                moved = await self._progress_to_commit()
                if moved:
                    await self._membership.commit(_offsets_of(moved), self._member)
        except FencedError as error:
            self._reset()
            raise FencedError(
                f"commit of group {self._group_id} refused: {error}; nothing was stored, and every "
                "prediction since the last commit will be yielded again, to this or another reader"
            ) from error
        except TimeoutError as error:
            message = f"Kafka did not acknowledge a commit within {self._timeout_s:g} s"
            raise UnavailableError(message) from error
        for progress in moved.values():
            progress.has_moved = progress.has_uncommitted = False

    async def _progress_to_commit(self) -> dict[TopicPartition, PartitionProgress]:
        """Wait for the end of a rebalance, which refuses commits; return the progress to commit."""
        if not any(p.has_moved for p in (*self._progress.values(), *self._lost_progress.values())):
            return {}
        while not self._is_assigned:
            self._membership.check()
            if self._membership.current_member().generation < 0:
                raise FencedError("this reader is no longer a member of the group")
            await asyncio.sleep(BACK_OFF_S)
        if any(progress.has_uncommitted for progress in self._lost_progress.values()):
            raise FencedError("partitions were assigned to another reader")
        self._lost_progress.clear()
        return {tp: progress for tp, progress in self._progress.items() if progress.has_moved}

    def _reset(self) -> None:
        self._unpositioned |= set(self._progress)
        self._progress.clear()
        self._lost_progress.clear()


def _offsets_of(
    positions: dict[TopicPartition, PartitionProgress],
) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        tp: OffsetAndMetadata(progress.position, progress.metadata())
        for tp, progress in positions.items()
    }
