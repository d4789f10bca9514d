"""The request for the members of a group of the protocol of KIP-848, which aiokafka lacks."""

from io import BytesIO
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_TEXT = CompactString("utf-8")


class _Uuid:
    """A UUID of 16 bytes, which aiokafka's types lack."""

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        """Read the bytes."""
        return data.read(16)


def _flexible(**fields: Any) -> Schema:
    """Return a schema of a flexible version, whose last field has the tagged ones."""
    return Schema(*fields.items(), ("tags", TaggedFields))


_TOPIC = _flexible(topic_id=_Uuid, topic_name=_TEXT, partitions=CompactArray(Int32))
_ASSIGNMENT = _flexible(topic_partitions=CompactArray(_TOPIC))
_MEMBER = _flexible(
    member_id=_TEXT,
    instance_id=_TEXT,
    rack_id=_TEXT,
    member_epoch=Int32,
    client_id=_TEXT,
    client_host=_TEXT,
    subscribed_topic_names=CompactArray(_TEXT),
    subscribed_topic_regex=_TEXT,
    assignment=_ASSIGNMENT,
    target_assignment=_ASSIGNMENT,
)
_GROUP = _flexible(
    error_code=Int16,
    error_message=_TEXT,
    group_id=_TEXT,
    group_state=_TEXT,
    group_epoch=Int32,
    assignment_epoch=Int32,
    assignor_name=_TEXT,
    members=CompactArray(_MEMBER),
    authorized_operations=Int32,
)


class _ConsumerGroupDescribeResponse(Response):  # type: ignore[misc]  # aiokafka is not typed
    API_KEY = 69
    API_VERSION = 0
    SCHEMA = _flexible(throttle_time_ms=Int32, groups=CompactArray(_GROUP))


class _ConsumerGroupDescribeRequestV0(RequestStruct):  # type: ignore[misc]  # aiokafka is not typed
    API_KEY = 69
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ConsumerGroupDescribeResponse
    SCHEMA = _flexible(group_ids=CompactArray(_TEXT), include_authorized_operations=Boolean)


class ConsumerGroupDescribe(Request[_ConsumerGroupDescribeRequestV0]):  # type: ignore[misc]  # aiokafka is not typed
    """A request for the members of a group of the protocol of KIP-848."""

    API_KEY = 69

    def __init__(self, group: str) -> None:
        self._consumer_group = group  # the admin client names it in errors

    def build(
        self, request_struct_class: type[_ConsumerGroupDescribeRequestV0]
    ) -> _ConsumerGroupDescribeRequestV0:
        """Return the request as a version of the protocol writes it."""
        return request_struct_class([self._consumer_group], False, {})
