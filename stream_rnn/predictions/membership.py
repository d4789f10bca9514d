"""A reader's membership in its consumer group, and commits in the generation of an assignment.

The public ``commit`` of aiokafka is stamped with the generation of the moment in which it is sent,
which may be a later one than that in which the records were read: another reader may have had the
partition in between, and its commit would be set back.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import FencedError
from stream_rnn.kafka.admin_client import retry_while_unavailable
from stream_rnn.kafka.client_errors import CLIENT_ERRORS, translate_error


class Member(NamedTuple):
    """A member of a group in one generation."""

    member_id: str = ""
    generation: int = -1

    def comes_right_after(self, earlier: "Member") -> bool:
        """Tell whether no other member can have owned, in between, what both of them own.

        A member that was evicted, or left, comes back with another id.
        """
        is_same, passed = self.member_id == earlier.member_id, self.generation - earlier.generation
        return is_same and passed in (0, 1)


class Membership:
    """What aiokafka's coordinator knows about this reader.

    Args:
        consumer: started, with a group.
        group_id: of the group.
    """

    def __init__(self, consumer: AIOKafkaConsumer, group_id: str) -> None:
        self._consumer = consumer
        self._group_id = group_id

    @property
    def _coordinator(self) -> Any:
        return self._consumer._coordinator  # noqa: SLF001  # there is no public way to a generation

    def now(self) -> Member:
        """Return the member as which a request would be sent now."""
        return Member(self._coordinator.member_id, self._coordinator.generation)

    def check(self) -> None:
        """Raise what keeps this reader out of its group.

        Raises:
            FencedError: aiokafka has stopped to be a member, by a cancellation of its own.
            StreamRNNError: rights are missing, or the coordinator gave up.
        """
        # Its result would be a CancelledError, in a task that nobody has cancelled.
        if self._coordinator._coordination_task.cancelled():  # noqa: SLF001  # no public way
            raise FencedError(
                f"this reader has fallen out of group {self._group_id}; open another one, which is "
                "yielded again what was not committed"
            )
        try:
            self._coordinator.check_errors()
        except CLIENT_ERRORS as error:
            raise translate_error(error, f"joining group {self._group_id}") from error

    async def commit(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], held: Member
    ) -> None:
        """Commit as a member, unless the group has gone on without it; the caller has a deadline.

        Args:
            offsets: how far partitions were read.
            held: the member that read them.

        Raises:
            FencedError: the group has a later generation, or does not know the member.
            ConfigError: the commit is too large, or a right is missing.
            UnavailableError: Kafka refused for another reason.
        """
        doing, coordinator = f"a commit of group {self._group_id}", self._coordinator

        async def send() -> None:
            await coordinator.ensure_coordinator_known()
            # From here until the request is made nothing is awaited.
            if held.generation < 0 or self.now() != held:
                raise FencedError(f"{doing} failed: generation {held.generation} is over")
            await coordinator._do_commit_offsets(None, offsets)  # noqa: SLF001  # the public one awaits before it reads the generation

        try:
            await retry_while_unavailable(send, None, lambda error: bool(error.retriable))
        except CLIENT_ERRORS as error:
            raise translate_error(error, doing) from error
