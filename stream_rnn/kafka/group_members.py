"""The members of a consumer group, and those among them that are no workers.

Every client that knows the id of a group can join it, and then the group assigns partitions to it
that no worker folds.  Workers mark themselves in the user data of their subscription.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocol, ConsumerProtocolMemberMetadata
from aiokafka.errors import GroupIdNotFound, IncompatibleBrokerVersion, UnsupportedVersionError

from stream_rnn.kafka.admin_client import CheckedAdminClient
from stream_rnn.kafka.group_protocol import ConsumerGroupDescribe

FAUST_PREFIX = "faust-"
"""Begin of the client ids that Faust chooses."""
MARK = b"stream_rnn"
"""User data by which a worker marks its subscription."""
NAMED_MAX = 3


class WorkerAssignor(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka is not typed
    """The assignor of workers: round robin, with the mark in the subscription."""

    @classmethod
    def metadata(cls, topics: Sequence[str]) -> ConsumerProtocolMemberMetadata:
        """Return the subscription of this member."""
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), MARK)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a consumer group.

    Attributes:
        member_id: Id that the coordinator knows.
        client_id: Name that the client chose.
        host: Address of the client.
        is_marked: Whether it is a worker; ``None`` while the coordinator does not know it.
        topics: Topics of its subscription; ``None`` for a pattern, or for a member that is no
            consumer, such as one of Kafka Connect.
    """

    member_id: str
    client_id: str
    host: str
    is_marked: bool | None
    topics: frozenset[str] | None

    def __str__(self) -> str:
        return f"client {self.client_id} on {self.host.lstrip('/')} (member {self.member_id})"


@dataclass(frozen=True, slots=True)
class GroupMembers:
    """The members of a group at one time.

    Attributes:
        protocol: Assignor of a group of the classic protocol; ``consumer`` for one of KIP-848.
        members: All members.
    """

    protocol: str
    members: tuple[GroupMember, ...]

    def strangers(self, source: str, client_id: str) -> list[GroupMember]:
        """Return the members that take partitions of the source and are certainly no workers.

        A worker of an earlier version has no mark, so a member that names its topics counts as a
        worker if its client id begins as that of this worker, or as those that Faust chooses.

        Args:
            source: Source topic of the fold.
            client_id: Client id of this worker; empty if it has none.
        """
        prefixes = (client_id, FAUST_PREFIX) if client_id else (FAUST_PREFIX,)
        return [
            member
            for member in self.members
            if member.is_marked is False
            and (
                member.topics is None
                or (source in member.topics and not member.client_id.startswith(prefixes))
            )
        ]

    def describe(self, members: Sequence[GroupMember]) -> str:
        """Return the names of some members, for a message."""
        names = "; ".join(map(str, members[:NAMED_MAX]))
        more = len(members) - NAMED_MAX
        return f"{names}{f'; and {more} more' if more > 0 else ''}"


async def read_group_members(admin: CheckedAdminClient, group: str) -> GroupMembers:
    """Return the members of a group; none if the group does not exist.

    Raises:
        ConfigError: The user has no right to see the group.
        KafkaError: The coordinator cannot answer now.
    """
    node = await admin.find_coordinator(group)
    (response,) = await admin.describe_consumer_groups([group], node)
    (described,) = response.to_object()["groups"]
    if described["members"]:
        kind = described["protocol_type"]
        classic = (_classic_member(member, kind) for member in described["members"])
        return GroupMembers(described["protocol"], tuple(classic))
    try:
        response = await admin._send_request(ConsumerGroupDescribe(group), node)  # noqa: SLF001  # aiokafka lacks this request
    except (GroupIdNotFound, IncompatibleBrokerVersion, UnsupportedVersionError):
        # The group has no members, or the broker knows only the classic protocol.
        return GroupMembers("", ())
    (described,) = response.to_object()["groups"]
    return GroupMembers("consumer", tuple(map(_new_member, described["members"])))


def _classic_member(member: dict[str, Any], protocol_type: str) -> GroupMember:
    """Return a member of a group of the classic protocol.

    While the group rebalances, the coordinator returns no subscription.
    """
    is_marked, topics = None, None
    if protocol_type != ConsumerProtocol.PROTOCOL_TYPE:
        is_marked = False
    elif member["member_metadata"]:
        is_marked = False
        with suppress(ValueError, TypeError):  # what aiokafka raises for bytes of another format
            metadata = ConsumerProtocolMemberMetadata.decode(member["member_metadata"])
            topics = frozenset(metadata.subscription)
            is_marked = metadata.user_data == MARK
    return GroupMember(
        member["member_id"], member["client_id"], member["client_host"], is_marked, topics
    )


def _new_member(member: dict[str, Any]) -> GroupMember:
    """Return a member of a group of the protocol of KIP-848."""
    names = member["subscribed_topic_names"] or []
    topics = None if member["subscribed_topic_regex"] else frozenset(names)
    return GroupMember(
        member["member_id"], member["client_id"], member["client_host"], False, topics
    )
