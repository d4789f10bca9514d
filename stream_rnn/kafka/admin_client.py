"""An admin client that raises every error in Kafka's answers.

aiokafka's admin client returns most error codes instead of raising them.  It also drops the code
of a group that is still loading, so that an unknown offset looks like a missing one.  This client
raises every ``error_code`` at any level of an answer.
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
OPERATIONS = {  # the operation in Kafka's ACLs that each request needs
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


class AnswerError(NamedTuple):
    """An error in an answer.

    Attributes:
        code: Error code; never 0.
        name: Topic, group or resource of the error; empty if the answer names none.
        partition: Partition of the topic; ``None`` if the error is about the whole topic.
        message: Message of the broker, often empty.
    """

    code: int
    name: str
    partition: int | None
    message: str


class CheckedAdminClient(AIOKafkaAdminClient):  # type: ignore[misc]  # aiokafka is not typed
    """aiokafka's admin client, whose calls raise the errors in the broker's answers.

    A request for all topics raises no error of a single topic, which another app may own.
    """

    async def _send_request(self, request: Request[Any], node_id: int | None = None) -> Response:
        response = await super()._send_request(request, node_id)
        raise_first_error(response, _subject_of(request))
        return response

    async def _send_request_to_node(self, node_id: int, request: Request[Any]) -> Response:
        response = await super()._send_request_to_node(node_id, request)
        raise_first_error(response, _subject_of(request))
        return response


def raise_first_error(response: Response, subject: str | None = "") -> None:
    """Raise the first error of an answer.

    Args:
        response: Answer to an admin request.
        subject: Group or transactional id of the request, in case the answer does not repeat it;
            ``None`` for metadata of all topics, whose errors are ignored.

    Raises:
        ConfigError: The user lacks a right, which the message names.
        BrokerResponseError: Any other error, as aiokafka's class for its code.
    """
    if subject is None:
        return
    for answer_error in answer_errors(response):
        name = answer_error.name or subject
        error = for_code(answer_error.code)(_describe(answer_error, name))
        if (kind := RESOURCES.get(type(error))) is not None:
            operation = OPERATIONS.get(response.API_KEY, "more rights")
            resource = kind if kind == "the cluster" else f"{kind} {name}"
            if isinstance(error, TransactionalIdAuthorizationFailed):
                operation, prefix = "Write", name.partition("/")[0]
                resource = f"transactional ids with the prefix {prefix}/"
            raise ConfigError(
                f"Kafka refuses this user ({type(error).__name__}): it needs {operation} on "
                f"{resource}; deploy/README.md lists the rights of a worker"
            ) from error
        raise error


def answer_errors(response: Response) -> Iterator[AnswerError]:
    """Yield the errors of an answer: everything whose error code is not 0.

    Errors of single partitions in metadata are left out: a partition may be without a leader now.
    """
    is_metadata = response.API_KEY == MetadataRequest.API_KEY
    for answer_error in _answer_errors(response.to_object(), ""):
        if not (is_metadata and answer_error.partition is not None):
            yield answer_error


def _answer_errors(answer: Mapping[str, Any], outer: str) -> Iterator[AnswerError]:
    name = next((str(answer[key]) for key in _NAMES if answer.get(key)), outer)
    partition = next((answer[key] for key in _PARTITIONS if key in answer), None)
    if answer.get("error_code"):
        yield AnswerError(answer["error_code"], name, partition, answer.get("error_message") or "")
    for inner in answer.values():
        for element in inner if isinstance(inner, list) else ():
            if isinstance(element, Mapping):
                yield from _answer_errors(element, name)


def _describe(answer_error: AnswerError, name: str) -> str:
    place = name if answer_error.partition is None else f"{name}[{answer_error.partition}]"
    is_named = for_code(answer_error.code).errno == answer_error.code
    message = answer_error.message or ("" if is_named else f"error code {answer_error.code}")
    return ": ".join(part for part in (place, message) if part)


def _subject_of(request: Request[Any]) -> str | None:
    """Return the group or transactional id of a request; ``None`` for metadata of all topics."""
    if isinstance(request, MetadataRequest):
        return None if request._topics is None else ""  # noqa: SLF001  # no public name
    for name in ("_consumer_group", "_coordinator_key"):
        if (subject := getattr(request, name, None)) is not None:
            return str(subject)
    return ""


def is_transient(error: BaseException) -> bool:
    """Return whether a broker cannot answer now, for example because a group is loading.

    A missing topic is not transient here, although it is for aiokafka.
    """
    is_missing = isinstance(error, UnknownTopicOrPartitionError)
    return isinstance(error, BrokerResponseError) and bool(error.retriable) and not is_missing


async def retry_while_unavailable(
    call: Callable[[], Awaitable[T]],
    timeout_s: float | None,
    is_retriable: Callable[[KafkaError], bool] = is_transient,
) -> T:
    """Await an answer of Kafka, and repeat the request while a broker cannot answer.

    Args:
        call: Function that sends the request; called once for each attempt.
        timeout_s: Deadline of all attempts in seconds; ``None`` if the caller has a deadline.
        is_retriable: Function that returns whether to repeat the request after an error.

    Raises:
        ConfigError: The user lacks a right.
        KafkaError: Any other error, or at the deadline the broker's last error.
        TimeoutError: No answer came within the deadline.
    """
    last: KafkaError | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await call()
                except KafkaError as error:
                    if not is_retriable(error):
                        raise
                    last = error
                await asyncio.sleep(BACK_OFF_S)
    except TimeoutError as error:
        if last is not None:
            raise last from error
        raise TimeoutError(f"no answer within {timeout_s:g} s") from error
