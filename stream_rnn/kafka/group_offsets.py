"""Committed offsets of consumer groups, with the metadata that aiokafka's consumer leaves out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from stream_rnn.errors import UnavailableError, reason
from stream_rnn.kafka.admin_client import CheckedAdminClient, retry_while_unavailable

NUMBER_MAX = 10**18 - 1  # of a cut-over: the metadata has at most 18 digits
METADATA = re.compile(
    r"v1 (?P<fold_id>[0-9a-f]{12}) (?P<origin>[0-9]{1,19})( (?P<number>[1-9][0-9]{0,17}))?"
)


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """A group offset: the outputs of all records below it are published.

    Attributes:
        offset: Committed offset.
        fold_id: Id of the fold that committed it; ``None`` if anything else did.
        origin: Origin of that fold.
        number: Number of the last cut-over, which put this fold in charge; 0 before the first one.
    """

    offset: int
    fold_id: str | None = None
    origin: int | None = None
    number: int = 0

    @property
    def is_foreign(self) -> bool:
        """Whether no fold has committed the offset, so that it does not prove what is published."""
        return self.fold_id is None

    @property
    def metadata(self) -> str:
        """Text to commit as metadata of the offset."""
        cut_over = f" {self.number}" if self.number else ""
        return f"v1 {self.fold_id} {self.origin}{cut_over}"

    @classmethod
    def parse(cls, offset: int, metadata: str | None) -> Self:
        """Parse a committed offset and its metadata, which may come from any client.

        A fold id has twelve hexadecimal digits, and a fold never commits an offset below its
        origin: other metadata are not of a fold.
        """
        if (written := METADATA.fullmatch(metadata or "")) is None:
            return cls(offset)
        origin = int(written["origin"])
        if origin > offset:
            return cls(offset)
        return cls(offset, written["fold_id"], origin, int(written["number"] or 0))


async def committed_offsets(
    admin: CheckedAdminClient,
    group: str,
    partitions: Sequence[TopicPartition] | None,
    timeout_s: float,
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the committed offsets of a group, without the partitions that have none.

    Args:
        admin: Started admin client.
        group: Id of the group.
        partitions: Partitions to return; ``None`` for all.
        timeout_s: Deadline in seconds, for all attempts while a broker loads the group.

    Raises:
        ConfigError: The user has no right to read the group.
        UnavailableError: Kafka does not answer within the deadline, or leaves out a partition.
    """
    list_offsets = partial(admin.list_consumer_group_offsets, group, partitions=partitions)
    try:
        offsets: dict[TopicPartition, OffsetAndMetadata]
        offsets = await retry_while_unavailable(list_offsets, timeout_s)
    except (KafkaError, TimeoutError, OSError) as error:
        message = f"cannot read the offsets of group {group}: {reason(error, timeout_s)}"
        raise UnavailableError(message) from error
    if missing := set(partitions or ()) - set(offsets):
        raise UnavailableError(f"Kafka's answer about group {group} lacks {min(missing)}")
    return {tp: offset for tp, offset in offsets.items() if offset.offset >= 0}
