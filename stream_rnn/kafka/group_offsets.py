"""What consumer groups committed, with the metadata that aiokafka's consumer leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import UnavailableError, reason
from stream_rnn.kafka.answers import CheckedAdminClient, asking


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """A group offset: everything below ``offset`` is published, by a fold if it names one."""

    offset: int
    fold_id: str | None = None
    origin: int | None = None

    @property
    def metadata(self) -> str:
        """The text that is committed beside the offset."""
        return f"v1 {self.fold_id} {self.origin}"

    @classmethod
    def parse(cls, offset: int, metadata: str | None) -> Self:
        """Read an offset that anybody may have committed."""
        match (metadata or "").split():
            case ["v1", fold_id, origin] if origin.isdecimal():
                return cls(offset, fold_id, int(origin))
        return cls(offset)


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
        UnavailableError: there is no answer within the deadline, or it lacks a partition.
    """
    ask = partial(admin.list_consumer_group_offsets, group, partitions=partitions)
    try:
        found: dict[TopicPartition, OffsetAndMetadata] = await asking(ask, timeout_s)
    except (KafkaError, TimeoutError, OSError) as error:
        said = reason(error, timeout_s)
        message = f"Kafka did not say what group {group} committed: {said}"
        raise UnavailableError(message) from error
    if missing := set(partitions or ()) - set(found):
        raise UnavailableError(f"Kafka's answer about group {group} lacks {min(missing)}")
    return {tp: offset for tp, offset in found.items() if offset.offset >= 0}
