"""Answers of Kafka's admin API: the one place where their error codes are looked at.

aiokafka's admin client returns most error codes instead of raising them, and drops the one that
says that a group is still being loaded, so that "not known" would be read as "none".  Here every
``error_code`` of an answer, on whatever level, is raised.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteGroupsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
)
from aiokafka.protocol.api import Request, Response
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from stream_rnn.errors import ConfigError

BACK_OFF_S = 0.25
RESOURCES = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    ClusterAuthorizationFailedError: "the cluster",
    TransactionalIdAuthorizationFailed: "transactional id",
}
OPERATIONS = {  # by what is asked: the operation, in the words of Kafka's ACLs
    MetadataRequest.API_KEY: "Describe",
    OffsetFetchRequest.API_KEY: "Read",
    FindCoordinatorRequest.API_KEY: "Read",  # Describe is enough; a member needs Read
    DescribeGroupsRequest.API_KEY: "Read",
    DescribeConfigsRequest.API_KEY: "DescribeConfigs",
    CreateTopicsRequest.API_KEY: "Create",
    CreatePartitionsRequest.API_KEY: "Alter",
    DeleteTopicsRequest.API_KEY: "Delete",
    DeleteRecordsRequest.API_KEY: "Delete",
    DeleteGroupsRequest.API_KEY: "Delete",
    AlterConfigsRequest.API_KEY: "AlterConfigs",
}
_NAMES = ("topic", "name", "group", "group_id", "resource_name")
_PARTITIONS = ("partition", "partition_index")

T = TypeVar("T")


class Fault(NamedTuple):
    """An error code of an answer.

    Attributes:
        code: not 0.
        name: the topic, group or resource that it is about, empty if the answer names none.
        partition: of the topic, ``None`` if it is about all of them.
        message: of the broker, often empty.
    """

    code: int
    name: str
    partition: int | None
    message: str


class CheckedAdminClient(AIOKafkaAdminClient):  # type: ignore[misc]  # aiokafka is not typed
    """aiokafka's admin client; each of its calls raises what the broker's answer says.

    Asking for all topics raises no error of a topic: it may be somebody else's.
    """

    async def _send_request(self, request: Request[Any], node_id: int | None = None) -> Response:
        response = await super()._send_request(request, node_id)
        check(response, _asked_about(request))
        return response

    async def _send_request_to_node(self, node_id: int, request: Request[Any]) -> Response:
        response = await super()._send_request_to_node(node_id, request)
        check(response, _asked_about(request))
        return response


def check(response: Response, about: str | None = "") -> None:
    """Raise the first error of an answer.

    Args:
        response: of an admin request.
        about: the group or transactional id that was asked for, where the answer does not repeat
            it; ``None`` for metadata of all topics, which are only listed.

    Raises:
        ConfigError: the user lacks a right; the message names it.
        BrokerResponseError: every other error, as aiokafka's class for it.
    """
    if about is None:
        return
    for fault in faults(response):
        name = fault.name or about
        error = for_code(fault.code)(_describe(fault, name))
        if (kind := RESOURCES.get(type(error))) is not None:
            operation = OPERATIONS.get(response.API_KEY, "more rights")
            resource = kind if kind == "the cluster" else f"{kind} {name}"
            raise ConfigError(
                f"Kafka refuses this user ({type(error).__name__}): it needs {operation} on "
                f"{resource}; deploy/README.md lists the rights of a worker"
            ) from error
        raise error


def faults(response: Response) -> Iterator[Fault]:
    """Yield every error code of an answer that is not 0.

    A partition that has no leader now is no fault of metadata: how many there are is known.
    """
    is_metadata = response.API_KEY == MetadataRequest.API_KEY
    for fault in _faults(response.to_object(), ""):
        if not (is_metadata and fault.partition is not None):
            yield fault


def _faults(answer: Mapping[str, Any], outer: str) -> Iterator[Fault]:
    name = next((str(answer[key]) for key in _NAMES if answer.get(key)), outer)
    partition = next((answer[key] for key in _PARTITIONS if key in answer), None)
    if answer.get("error_code"):
        yield Fault(answer["error_code"], name, partition, answer.get("error_message") or "")
    for inner in answer.values():
        for one in inner if isinstance(inner, list) else ():
            if isinstance(one, Mapping):
                yield from _faults(one, name)


def _describe(fault: Fault, name: str) -> str:
    place = name if fault.partition is None else f"{name}[{fault.partition}]"
    is_named = for_code(fault.code).errno == fault.code
    said = fault.message or ("" if is_named else f"error code {fault.code}")
    return ": ".join(part for part in (place, said) if part)


def _asked_about(request: Request[Any]) -> str | None:
    """Return the group or transactional id of a request; ``None`` if it asks for all topics."""
    if isinstance(request, MetadataRequest):
        return None if request._topics is None else ""  # noqa: SLF001  # no public name
    for name in ("_consumer_group", "_coordinator_key"):
        if (about := getattr(request, name, None)) is not None:
            return str(about)
    return ""


def is_passing(error: BaseException) -> bool:
    """Return whether a broker says that it cannot answer now: its group is being loaded, has moved.

    A topic that is not there is none of these, though aiokafka would ask again.
    """
    is_gone = isinstance(error, UnknownTopicOrPartitionError)
    return isinstance(error, BrokerResponseError) and bool(error.retriable) and not is_gone


async def asking(
    call: Callable[[], Awaitable[T]],
    timeout_s: float | None,
    passes: Callable[[KafkaError], bool] = is_passing,
) -> T:
    """Await an answer of Kafka; while a broker cannot give it, ask again.

    Args:
        call: asks, anew for each try.
        timeout_s: deadline of all tries together; ``None``: the caller has one.
        passes: tells whether to ask again after an error.

    Raises:
        ConfigError: the user lacks a right.
        KafkaError: another error; after the deadline, what the broker said last.
        TimeoutError: there is no answer within the deadline.
    """
    last: KafkaError | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await call()
                except KafkaError as error:
                    if not passes(error):
                        raise
                    last = error
                await asyncio.sleep(BACK_OFF_S)
    except TimeoutError as error:
        if last is not None:
            raise last from error
        raise TimeoutError(f"no answer within {timeout_s:g} s") from error
