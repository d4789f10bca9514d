"""Which members of a group are no workers."""

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from stream_rnn.kafka.group_members import MARK, GroupMember, GroupMembers, _classic_member

EVENTS = frozenset({"events"})


def member(client_id="report-job", *, is_marked=False, topics=EVENTS) -> GroupMember:
    return GroupMember(f"{client_id}-1", client_id, "/10.0.0.7", is_marked, topics)


@pytest.mark.parametrize(
    ("own", "other", "is_stranger"),
    [
        ("faust-0.15.3", member(), True),
        ("faust-0.15.3", member(is_marked=True), False),
        ("faust-0.15.3", member(is_marked=None), False),  # the group rebalances
        ("faust-0.15.3", member("faust-0.14.1"), False),  # a worker of an earlier version
        ("pod-1", member("pod-2"), True),  # without the mark, no worker of this version
        ("pod-1", member("pod-2", is_marked=True), False),
        ("mine", member("mine"), False),
        ("mine", member("faust-0.15.3"), False),  # an upgrade that also sets client.id
        ("mine", member("faust-0.15.3", topics=None), True),  # Faust names its topics
        ("", member(), True),
        ("", member("faust-0.15.3"), False),
        ("faust-0.15.3", member(topics=frozenset({"delays"})), False),  # a reader
        ("faust-0.15.3", member(topics=None), True),  # a pattern
    ],
)
def test_a_stranger_has_no_mark_and_another_client_id_and_takes_partitions(own, other, is_stranger):
    """Only what is certain is called a stranger."""
    members = GroupMembers("roundrobin", (member(is_marked=True), other))
    assert members.strangers("events", own) == ([other] if is_stranger else [])


def test_a_message_names_some_members_with_their_hosts():
    members = tuple(member(f"job-{i}") for i in range(5))
    text = GroupMembers("range", members).describe(members)
    assert text.startswith("client job-0 on 10.0.0.7 (member job-0-1); client job-1 on ")
    assert text.endswith("(member job-2-1); and 2 more")


SUBSCRIPTION = ConsumerProtocolMemberMetadata(0, ["events"], MARK).encode()


@pytest.mark.parametrize(
    ("protocol_type", "metadata", "is_marked", "topics"),
    [
        ("consumer", SUBSCRIPTION, True, EVENTS),
        ("consumer", b"", None, None),  # the group rebalances
        ("consumer", SUBSCRIPTION[:-3], False, None),
        ("consumer", b"\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", False, None),  # null topics
        ("consumer", b"\x00", False, None),
        ("connect", b"\x00\x01\x00\x0bhttp://a:808", False, None),
        ("connect", SUBSCRIPTION, False, None),
        ("connect", b"", False, None),
    ],
)
def test_a_member_of_another_kind_is_a_stranger(protocol_type, metadata, is_marked, topics):
    """Such as a worker of Kafka Connect, whose metadata is no subscription; also with our name."""
    given = {"member_id": "m-1", "client_id": "mine", "client_host": "/10.0.0.7"}
    made = _classic_member({**given, "member_metadata": metadata}, protocol_type)
    assert (made.is_marked, made.topics) == (is_marked, topics)
    is_stranger = is_marked is False
    assert GroupMembers("", (made,)).strangers("events", "mine") == ([made] if is_stranger else [])
