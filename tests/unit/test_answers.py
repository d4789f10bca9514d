"""Every error code of an answer of Kafka's admin API is raised, on whatever level it stands."""

import ast
import asyncio
from pathlib import Path

import aiokafka.admin.client as admin_client
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    BrokerResponseError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    NoError,
    NotControllerError,
    UnknownError,
    UnknownTopicOrPartitionError,
    for_code,
    kafka_errors,
)
from aiokafka.protocol import admin, commit, coordination, metadata

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.admin_client import (
    CheckedAdminClient,
    answer_errors,
    is_transient,
    raise_first_error,
    retry_while_unavailable,
)

PACKAGE = Path(__file__).parents[2] / "stream_rnn"
PARTITIONS = [(0, 0, 1, [1], [1]), (9, 1, 1, [1], [1])]  # the second one's code is of a replica
GROUP = ("worker", "Stable", "consumer", "range", [("m-1", "c", "h", b"", b"")], 0)
ANSWERS = {  # a place for an error code: an answer with this code
    "offsets of a group": lambda code: commit.OffsetFetchResponse_v3(0, [], code),
    "offset of a partition": lambda code: commit.OffsetFetchResponse_v3(
        0, [("flights", [(0, 5, "", 0), (1, -1, "", code)])], 0
    ),
    "coordinator": lambda code: coordination.FindCoordinatorResponse_v1(0, code, None, -1, "", -1),
    "group": lambda code: admin.DescribeGroupsResponse_v3(0, [(0, *GROUP), (code, *GROUP)]),
    "groups of a broker": lambda code: admin.ListGroupsResponse_v2(0, code, []),
    "deleted group": lambda code: admin.DeleteGroupsResponse_v1(0, [("worker", code)]),
    "configuration": lambda code: admin.DescribeConfigsResponse_v2(
        0, [(0, None, 2, "flights", []), (code, "why", 2, "delays", [])]
    ),
    "changed configuration": lambda code: admin.AlterConfigsResponse_v1(
        0, [(code, None, 2, "flights")]
    ),
    "created topic": lambda code: admin.CreateTopicsResponse_v3(
        0, [("flights", 0, None), ("delays", code, "why")]
    ),
    "created partitions": lambda code: admin.CreatePartitionsResponse_v1(
        0, [("flights", code, None)]
    ),
    "deleted topic": lambda code: admin.DeleteTopicsResponse_v3(0, [("flights", code)]),
    "deleted records": lambda code: admin.DeleteRecordsResponse_v2(
        0, [("flights", [(0, 5, 0, {}), (1, -1, code, {})], {})], {}
    ),
    "topic": lambda code: metadata.MetadataResponse_v5(
        0, [(1, "h", 1, None)], "c", 1, [(0, "delays", False, []), (code, "flights", False, [])]
    ),
}
CODES = [*sorted(set(kafka_errors) - {0}), 88, 89, 120]
"""All that aiokafka knows, and some that it does not."""


def through_bytes(answer):
    """Return an answer as it comes from a broker."""
    return type(answer).decode(answer.encode())


@pytest.mark.parametrize("place", ANSWERS)
def test_every_error_code_is_raised_wherever_it_stands(place):
    """As aiokafka's class for it; a right that lacks as an error that a person must act upon."""
    for code in CODES:
        with pytest.raises((BrokerResponseError, ConfigError)) as raised:
            raise_first_error(through_bytes(ANSWERS[place](code)), "worker")
        error = raised.value
        if isinstance(error, ConfigError):
            assert "Authorization" in type(error.__cause__).__name__
        else:
            assert type(error) is for_code(code)
            assert not isinstance(error, NoError)


@pytest.mark.parametrize("place", ANSWERS)
def test_an_answer_without_an_error_passes(place):
    """Its other numbers are no error codes."""
    answer = through_bytes(ANSWERS[place](0))
    assert list(answer_errors(answer)) == []
    raise_first_error(answer, "worker")


def test_a_partition_without_a_leader_is_no_fault_of_metadata():
    """How many partitions and replicas there are is known all the same."""
    topics = [(0, "flights", False, [(*one, []) for one in PARTITIONS])]
    answer = through_bytes(metadata.MetadataResponse_v5(0, [], "c", 1, topics))
    raise_first_error(answer)
    assert [code for *_, partitions in answer.topics for code, *_ in partitions if code]


def test_topics_of_others_are_only_listed():
    """A topic that has no leader, or may not be seen, does not make the list unknown."""
    answer = ANSWERS["topic"](29)
    raise_first_error(answer, subject=None)
    with pytest.raises(ConfigError):
        raise_first_error(answer, subject="flights")


@pytest.mark.parametrize(
    ("place", "code", "right"),
    [
        ("offsets of a group", 30, "Read on group worker"),
        ("offset of a partition", 29, "Read on topic flights"),
        ("coordinator", 30, "Read on group worker"),
        ("coordinator", 53, "Write on transactional ids with the prefix worker/"),
        ("group", 30, "Read on group worker"),
        ("configuration", 29, "DescribeConfigs on topic delays"),
        ("configuration", 31, "DescribeConfigs on the cluster"),
        ("created topic", 29, "Create on topic delays"),
        ("deleted topic", 29, "Delete on topic flights"),
        ("topic", 29, "Describe on topic flights"),
    ],
)
def test_a_refusal_names_the_right_that_lacks(place, code, right):
    """Which operation, on which resource."""
    with pytest.raises(ConfigError, match=f"it needs {right};"):
        raise_first_error(ANSWERS[place](code), "worker")


def test_an_error_says_what_it_is_about_and_what_the_broker_said():
    """A code that aiokafka does not know is written as a number."""
    with pytest.raises(BrokerResponseError, match="delays: why"):
        raise_first_error(ANSWERS["created topic"](44))
    with pytest.raises(BrokerResponseError, match=r"flights\[1\]$"):
        raise_first_error(ANSWERS["offset of a partition"](3))
    with pytest.raises(UnknownError, match=r"flights\[1\]: error code 88"):
        raise_first_error(ANSWERS["offset of a partition"](88))


def test_what_passes_is_what_a_broker_says_of_itself():
    """Loading, moved, no leader; not what is wrong, nor a broker that says nothing."""
    passing = {code for code in CODES if is_transient(for_code(code)())}
    assert {5, 6, 7, 14, 15, 16, 41} <= passing
    assert not passing & {-1, 3, 17, 29, 30, 31, 36, 44, 53}
    assert not is_transient(KafkaConnectionError())


async def test_a_passing_error_is_asked_again_until_the_deadline():
    """Then what the broker said last is raised; another error is raised at once."""
    left = [GroupLoadInProgressError("worker")]

    async def answer():
        if left:
            raise left.pop()
        return 5

    async def never(error):
        raise error

    assert await retry_while_unavailable(answer, 5) == 5
    with pytest.raises(NotControllerError, match="flights"):
        await retry_while_unavailable(lambda: never(NotControllerError("flights")), 0.05)
    with pytest.raises(UnknownTopicOrPartitionError):
        await retry_while_unavailable(lambda: never(UnknownTopicOrPartitionError()), 60)
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        await retry_while_unavailable(lambda: asyncio.sleep(60), 0.05)


def test_every_way_to_a_broker_is_checked():
    """The client of aiokafka sends by the two calls that are overridden, and by one that checks."""
    tree = ast.parse(Path(admin_client.__file__).read_text(encoding="utf-8"))
    senders = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.AsyncFunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "self._client.send"
    }
    overridden = {"_send_request", "_send_request_to_node"}
    assert senders == {*overridden, "delete_records"}
    assert overridden <= set(vars(CheckedAdminClient))


def test_the_package_has_no_other_admin_client():
    """What aiokafka's own one answers is not checked."""
    name = AIOKafkaAdminClient.__name__
    named = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if name in path.read_text("utf-8")
    ]
    assert named == ["kafka/admin_client.py"]
