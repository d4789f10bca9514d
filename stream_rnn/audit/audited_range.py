"""The range of one partition that is audited: it ends at the group offset."""

from dataclasses import dataclass

from stream_rnn.audit.notes import note_group_offset
from stream_rnn.audit.output_owner import Bounds, OutputOwner
from stream_rnn.audit.result import AuditResult
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.replay.logs import Range


@dataclass(frozen=True, slots=True)
class AuditedRange:
    """The offsets of one partition that are audited, for all folds alike.

    Attributes:
        name: Name of the source partition in messages.
        bounds: Offsets.
        committed: Group offset; without one, what the last output implies; ``None`` without both.
        log_start: Log start of the source.
        requested_end: Offset that ``--to`` means; the log end without ``--to``.
    """

    name: str
    bounds: Bounds
    committed: GroupOffset | None
    log_start: int
    requested_end: int

    @property
    def fold(self) -> str | None:
        """Id of the fold in charge; ``None`` if the group offset names none."""
        return None if self.committed is None else self.committed.fold_id


async def read_range(
    kafka_log: KafkaLog, owner: OutputOwner, requested: Range, result: AuditResult
) -> AuditedRange:
    """Return the part of a requested range that has been published.

    Args:
        kafka_log: Log of the partition.
        owner: App and source partition.
        requested: Requested range.
        result: Result that receives notes about the group offset.
    """
    name, range_end = f"{owner.topic}[{owner.partition}]", requested.end or 0
    log_start, log_end = await kafka_log.log_start(), await kafka_log.log_end()
    committed = effective = await kafka_log.group_offset()
    if committed is None and (last := await kafka_log.last_output()) is not None:
        effective = GroupOffset(last.offset + 1, last.fold_id, last.origin, last.number)
    note_group_offset(result, name, owner.app, committed, effective, log_start, log_end)
    published_end = effective.offset if effective else 0
    start = max(requested.start, log_start)
    end = max(start, min(range_end, published_end, log_end))
    result.ranges[owner.partition] = (start, end)
    bounds = Bounds(start, end, published_end, log_end)
    return AuditedRange(name, bounds, effective, log_start, range_end)
