"""The membership of a reader in its consumer group, and commits in a given generation.

The public ``commit`` of aiokafka sends the current generation, which may be later than the one in
which the records were read.  If another reader owned the partition in between, such a commit would
overwrite a later offset by an earlier one.
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

    def directly_follows(self, earlier: "Member") -> bool:
        """Return whether no other member can have owned its partitions since ``earlier``.

        A member that was evicted or has left comes back with another id.
        """
        is_same = self.member_id == earlier.member_id
        return is_same and self.generation - earlier.generation in (0, 1)


class Membership:
    """Access to the group coordinator of aiokafka's consumer.

    Args:
        consumer: Started consumer with a group.
        group_id: Name of the consumer group.
    """

    def __init__(self, consumer: AIOKafkaConsumer, group_id: str) -> None:
        self._consumer = consumer
        self._group_id = group_id

    @property
    def _coordinator(self) -> Any:
        return self._consumer._coordinator  # noqa: SLF001  # there is no public way to a generation

    def current_member(self) -> Member:
        """Return the member id and the generation that a request would contain now."""
        return Member(self._coordinator.member_id, self._coordinator.generation)

    def check(self) -> None:
        """Check that this reader can be a member of its group.

        Raises:
            FencedError: The coordination task of aiokafka was cancelled by aiokafka itself.
            StreamRNNError: The user lacks a right, or the coordinator failed.
        """
        # Otherwise check_errors would raise CancelledError in a caller that was not cancelled.
        if self._coordinator._coordination_task.cancelled():  # noqa: SLF001  # no public way
            raise FencedError(
                f"this reader has dropped out of group {self._group_id}; open a new reader, which "
                "yields again what was not committed"
            )
        try:
            self._coordinator.check_errors()
        except CLIENT_ERRORS as error:
            raise translate_error(error, f"joining group {self._group_id}") from error

    async def commit(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], member: Member
    ) -> None:
        """Commit offsets as a member of one generation; the caller sets a deadline.

        Args:
            offsets: Offset and metadata to commit for each partition.
            member: Member that has read the partitions.

        Raises:
            FencedError: The group has a later generation, or does not know the member.
            ConfigError: The commit is too large, or the user lacks a right.
            UnavailableError: Kafka refused the commit for another reason.
        """
        doing, coordinator = f"a commit of group {self._group_id}", self._coordinator

        async def send() -> None:
            await coordinator.ensure_coordinator_known()
            # No await from here to the request, in which aiokafka sends its current generation.
            if member.generation < 0 or self.current_member() != member:
                raise FencedError(f"{doing} failed: generation {member.generation} is over")
            await coordinator._do_commit_offsets(None, offsets)  # noqa: SLF001  # the public one awaits before it reads the generation

        try:
            await retry_while_unavailable(send, None, lambda error: bool(error.retriable))
        except CLIENT_ERRORS as error:
            raise translate_error(error, doing) from error
