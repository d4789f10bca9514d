"""Reads the facts from which :func:`where_to_start` decides, in a safe order.

The order is log start, Redis, group offset, log end.  A worker that has just lost the partition
reads while the new owner writes, so it can read a mixture of old and new.  A start from a mixture
does no harm, because Kafka fences and Redis compares whatever it writes.  But a mixture must not
stop the worker, so recovery rereads the facts before it stops.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol
from zlib import crc32

from stream_rnn.errors import JumpedError, RecoveryError
from stream_rnn.fold.crash_points import AtCrashPoint, Point, no_op
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.recovery import Facts, LastOutput, RecoveryOptions, Start, Stop, where_to_start
from stream_rnn.kafka.group_offsets import NUMBER_MAX, GroupOffset
from stream_rnn.store.state import Anchor, Store

logger = logging.getLogger(__name__)

REREAD_EVERY_S = 0.25
ROW_MEANINGS = {
    4: "the fold is new",
    6: "Redis has no states of this fold, so they are built again from the log",
    8: "the group offset is not of this fold, so the states are built from the log",
    9: "the group has no offset, so it is written again",
}
"""Meanings of rows of the recovery table, for the log."""
REMOVE_SETTING = (
    "remove the setting on_foreign_offset now, because it would accept the next foreign group "
    "offset, too"
)


@dataclass(frozen=True, slots=True)
class Topics:
    """The cluster's facts about the topics of a fold."""

    source_partitions: int
    predictions_partitions: int
    is_compacted: bool


class Log(Protocol):
    """Read access to a source partition, its group offset and its outputs.

    No method consumes anything.  Each call has its own deadline.
    """

    async def log_start(self) -> int:
        """Return the log start, the first available offset."""

    async def log_end(self) -> int:
        """Return the log end, the last stable offset."""

    async def group_offset(self) -> GroupOffset | None:
        """Return the group offset; it may be behind until a transaction's markers are written."""

    async def last_output(self, number_min: int = 0) -> LastOutput | None:
        """Return the last committed output of this app and source partition.

        Outputs with a lower number than ``number_min`` count only if there are no others, and of
        these the greatest number counts first.
        """

    async def record_at(self, offset: int) -> Record | None:
        """Return the record at an offset, or ``None`` if the log has no record there."""

    async def topics(self) -> Topics:
        """Return the partition counts and the cleanup policy."""


def anchor_of(record: Record) -> Anchor:
    """Return the anchor of a record, which identifies the record at its offset."""
    crc = crc32(record.value or b"", crc32(record.key or b""))
    return Anchor(record.offset, record.timestamp, crc)


class FindStart(Protocol):
    """Finds where a partition starts; a worker's is :class:`Recovery`."""

    async def find(
        self, acknowledged: GroupOffset | None = None, *, is_corrupt: bool = False
    ) -> tuple[Facts, Start]:
        """Read the facts and decide; see :meth:`Recovery.find`."""

    def read_outputs_again(self) -> None:
        """Search the outputs again at the next call of :meth:`find`."""

    async def check_first_offset(self, position: int, offset: int) -> None:
        """Check that the log has no record between a position and an offset.

        Raises:
            JumpedError: The log has such records, or retention has removed them.
        """


Consult = Callable[[Facts], Awaitable[Facts]]
"""Adds what a roll-out knows to the facts; raises if another fold is in charge, which starts instead."""


@dataclass(slots=True)
class Recovery:
    """Finds where one partition starts, each time that an assignment needs it.

    Args:
        place: Name of the partition in messages, such as ``flights[3]``.
        fold_id: Id of the fold that starts.
        store: Store of the fold's hidden states.
        log: Records and offsets of the partition.
        options: Settings on which the decision depends.
        patience_s: Seconds for which a group offset that would stop the worker is reread.
        clock: Monotonic clock in seconds.
        at_crash_point: Function to call at each :class:`Point`.
        consult: Function of a roll-out to call before each decision; ``None`` for none.
    """

    place: str
    fold_id: str
    store: Store
    log: Log
    options: RecoveryOptions
    patience_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    at_crash_point: AtCrashPoint = no_op
    consult: Consult | None = None
    _last_output: LastOutput | None = None
    _has_read_outputs: bool = False

    async def find(
        self, acknowledged: GroupOffset | None = None, *, is_corrupt: bool = False
    ) -> tuple[Facts, Start]:
        """Read the facts and decide.

        Args:
            acknowledged: Group offset of the last acknowledged publish of this assignment.
            is_corrupt: Whether a hidden state did not decode, so that the states count as torn.

        Raises:
            RecoveryError: A person must act.
        """
        deadline = self.clock() + self.patience_s
        facts = await self.read(acknowledged)
        while True:
            facts = replace(facts, stored=replace(facts.stored, is_corrupt=is_corrupt))
            if self.consult is not None:
                facts = await self.consult(facts)
            decision = where_to_start(facts, self.options)
            if isinstance(decision, Start):
                return facts, decision
            newer_facts = await self._reread(facts, decision, deadline)
            if newer_facts is None:
                raise RecoveryError(decision.message)
            facts = newer_facts

    def read_outputs_again(self) -> None:
        """Make the next :meth:`read` search the outputs again; called after a producer's start."""
        self._has_read_outputs = False

    async def read(self, acknowledged: GroupOffset | None = None) -> Facts:
        """Read log start, Redis, group offset and log end in this order, then compare records."""
        log_start = await self.log.log_start()
        self.at_crash_point(Point.LOG_START_READ)
        stored = await self.store.read()
        self.at_crash_point(Point.STATE_READ)
        group_offset = await self.log.group_offset()
        self.at_crash_point(Point.GROUP_OFFSET_READ)
        if not self._has_read_outputs:
            number_min = self._number_min(group_offset, acknowledged)
            self._last_output = await self.log.last_output(number_min)
            self._has_read_outputs = True
            self.at_crash_point(Point.LAST_PREDICTION_READ)
        topics = await self.log.topics()
        self.at_crash_point(Point.TOPICS_READ)
        log_end = await self.log.log_end()
        self.at_crash_point(Point.LOG_END_READ)
        facts = Facts(
            place=self.place,
            fold_id=self.fold_id,
            log_start=log_start,
            log_end=log_end,
            stored=stored,
            group_offset=group_offset,
            acknowledged=acknowledged,
            last_output=self._last_output,
            source_partitions=topics.source_partitions,
            predictions_partitions=topics.predictions_partitions,
            is_compacted=topics.is_compacted,
        )
        return replace(
            facts,
            anchor_fits=await self._anchor_fits(facts),
            output_fits=await self._output_fits(facts),
        )

    def _number_min(self, *offsets: GroupOffset | None) -> int:
        """Return the number of a cut-over below which outputs may be those of an earlier owner."""
        if not self.options.has_late_outputs:
            return 0
        if offsets[0] is None or offsets[0].is_foreign:
            return NUMBER_MAX
        return max(offset.number for offset in offsets if offset is not None)

    async def check_first_offset(self, position: int, offset: int) -> None:
        """Check that the log has no record between a position and the first offset of a fetch.

        Raises:
            JumpedError: The log has such records, or retention has removed them.
        """
        if offset == position:
            return
        if offset < position:
            raise JumpedError(f"received offset {offset} below the position {position}")
        log_start = await self.log.log_start()
        if log_start > position:
            raise JumpedError(f"log start {log_start} has passed the position {position}")

    async def _reread(self, facts: Facts, stop: Stop, deadline: float) -> Facts | None:
        """Return newer facts if ``facts`` may be a mixture of old and new, else ``None``."""
        if stop.row == 10 and self.clock() < deadline:
            await asyncio.sleep(REREAD_EVERY_S)
            logger.info("group offset is behind or foreign, rereading it partition=%s", self.place)
            group_offset = await self.log.group_offset()
            self.at_crash_point(Point.GROUP_OFFSET_READ)
            return replace(facts, group_offset=group_offset, log_end=await self.log.log_end())
        depends_on_redis = stop.row in (5, 7) or (stop.row == 10 and not facts.has_states)
        if not depends_on_redis:
            return None
        has_moved = await self.store.read() != replace(facts.stored, is_corrupt=False)
        self.at_crash_point(Point.STATE_READ)
        if has_moved or await self.log.group_offset() != facts.group_offset:
            return await self.read(facts.acknowledged)
        return None

    async def _anchor_fits(self, facts: Facts) -> bool | None:
        anchor = facts.stored.anchor
        if anchor is None or not facts.log_start <= anchor.offset < facts.log_end:
            return None
        record = await self._record_at(anchor.offset)
        return record if isinstance(record, bool | None) else anchor_of(record) == anchor

    async def _output_fits(self, facts: Facts) -> bool | None:
        last = facts.last_output
        if last is None or last.timestamp is None:
            return None
        if not facts.log_start <= last.offset < facts.log_end:
            return None
        record = await self._record_at(last.offset)
        return record if isinstance(record, bool | None) else record.timestamp == last.timestamp

    async def _record_at(self, offset: int) -> Record | bool | None:
        """Return the record, ``False`` if it is gone, or ``None`` if its absence proves nothing."""
        record = await self.log.record_at(offset)
        self.at_crash_point(Point.RECORD_READ)
        if record is not None:
            return record
        if self.options.allow_compacted or await self.log.log_start() > offset:
            return None
        return False


def log_decision(place: str, fold_id: str, start: Start) -> None:
    """Log where a partition starts, as a warning if the start costs time or history."""
    level = logging.WARNING if start.lost or start.row in (6, 9) else logging.INFO
    logger.log(
        level,
        "starting partition=%s row=%d position=%d origin=%d publish_from=%d fold=%s",
        place,
        start.row,
        start.position,
        start.origin,
        start.publish_from,
        fold_id,
    )
    meaning = ROW_MEANINGS.get(start.row)
    if start.lost and start.row == 8:
        meaning = f"predictions are left out: {start.lost}; {REMOVE_SETTING}"
    elif start.lost:
        meaning = f"history is given up: {start.lost}"
    if meaning:
        logger.log(level, "%s partition=%s", meaning, place)
