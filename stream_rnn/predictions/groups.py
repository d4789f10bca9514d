"""What consumer groups committed, with the metadata that aiokafka's consumer leaves out."""

import asyncio
from collections.abc import Sequence
from typing import cast

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import UnavailableError

BACK_OFF_S = 0.25
PASSING = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)


async def committed_offsets(
    admin: AIOKafkaAdminClient,
    group: str,
    partitions: Sequence[TopicPartition] | None,
    timeout_s: float,
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return what a group committed; partitions without an offset are left out.

    Args:
        admin: a started client.
        group: the group's id.
        partitions: which; ``None`` for all.
        timeout_s: deadline; while a broker still loads the group, it is asked again.

    Raises:
        UnavailableError: there is no answer within the deadline.
    """
    try:
        async with asyncio.timeout(timeout_s):
            found = await _ask(admin, group, partitions)
    except (KafkaError, TimeoutError, OSError) as error:
        message = f"Kafka did not say what group {group} committed: {type(error).__name__} {error}"
        raise UnavailableError(message) from error
    return {tp: offset for tp, offset in found.items() if offset.offset >= 0}


async def _ask(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition] | None
) -> dict[TopicPartition, OffsetAndMetadata]:
    while True:  # until the caller's deadline
        try:
            return cast(
                "dict[TopicPartition, OffsetAndMetadata]",
                await admin.list_consumer_group_offsets(group, partitions=partitions),
            )
        except PASSING:
            await asyncio.sleep(BACK_OFF_S)
