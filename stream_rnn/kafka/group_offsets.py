"""What consumer groups committed, with the metadata that aiokafka's consumer leaves out."""

from collections.abc import Sequence
from functools import partial

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import UnavailableError, reason
from stream_rnn.kafka.answers import CheckedAdminClient, asking


async def committed_offsets(
    admin: CheckedAdminClient,
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
        ConfigError: the user has no right to ask.
        UnavailableError: there is no answer within the deadline.
    """
    ask = partial(admin.list_consumer_group_offsets, group, partitions=partitions)
    try:
        found: dict[TopicPartition, OffsetAndMetadata] = await asking(ask, timeout_s)
    except (KafkaError, TimeoutError, OSError) as error:
        said = reason(error, timeout_s)
        message = f"Kafka did not say what group {group} committed: {said}"
        raise UnavailableError(message) from error
    return {tp: offset for tp, offset in found.items() if offset.offset >= 0}
