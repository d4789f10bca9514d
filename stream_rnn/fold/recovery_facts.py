"""Reads the facts that :func:`where_to_start` decides on, in the order that makes them safe.

The order is log start, Redis, group offset, log end.  A worker that has just lost the partition reads while
the new owner writes, so it can see a mixture; it may do no harm with it (every write it makes is
fenced or compared), but it must not stop for it.  So before stopping it looks again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol
from zlib import crc32

from stream_rnn.errors import RecoveryError
from stream_rnn.fold.crash_points import AtCrashPoint, Point, no_op
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.recovery import Choices, Facts, LastPrediction, Start, Stop, where_to_start
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.state import Anchor, Store

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.25
REASONS = {
    4: "a new fold",
    6: "Redis holds nothing of this fold, its states are built again from the log",
    8: "another fold was here before, this one's states are built from the log",
    9: "the group has no offset, it is written again",
}
"""What a row of the recovery table means, for the log."""


@dataclass(frozen=True, slots=True)
class Topics:
    """What the cluster says of the topics of a fold."""

    source_partitions: int
    predictions_partitions: int
    is_compacted: bool


class Log(Protocol):
    """What can be asked of a source partition, its group offset and its output.

    Asking consumes nothing.  Each call has a deadline of its own.
    """

    async def log_start(self) -> int:
        """Return the log start, the first available offset."""

    async def log_end(self) -> int:
        """Return the log end, the last stable offset."""

    async def group_offset(self) -> GroupOffset | None:
        """Return the group offset; it may be behind while a transaction's markers are being written."""

    async def last_prediction(self) -> LastPrediction | None:
        """Return the last committed output of this app in the partition's outputs."""

    async def record_at(self, offset: int) -> Record | None:
        """Return the record at an offset, ``None`` if the log holds none there."""

    async def topics(self) -> Topics:
        """Return the partition counts and the cleanup policy."""


def anchor_of(record: Record) -> Anchor:
    """Return what tells this record from another one at the same offset."""
    crc = crc32(record.value or b"", crc32(record.key or b""))
    return Anchor(record.offset, record.timestamp, crc)


@dataclass(slots=True)
class Recovery:
    """Finds where one partition starts, as often as an assignment needs it.

    Args:
        place: how messages name the partition, such as ``flights[3]``.
        fold_id: of the fold that starts.
        store: its hidden states.
        log: its records and offsets.
        choices: the settings that the decision depends on.
        patience_s: how long a group offset that is behind is read again.
        clock: monotonic seconds.
        at_crash_point: called at each :class:`Point`.
    """

    place: str
    fold_id: str
    store: Store
    log: Log
    choices: Choices
    patience_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    at_crash_point: AtCrashPoint = no_op
    _last_prediction: LastPrediction | None = None
    _looked_back: bool = False

    async def find(
        self, acknowledged: GroupOffset | None = None, *, is_corrupt: bool = False
    ) -> tuple[Facts, Start]:
        """Read the facts and decide.

        Args:
            acknowledged: the group offset that this assignment's own publish was acknowledged for.
            is_corrupt: a hidden state did not decode: what Redis holds counts as torn.

        Raises:
            RecoveryError: a person must act.
        """
        deadline = self.clock() + self.patience_s
        facts = await self.read(acknowledged)
        while True:
            facts = replace(facts, held=replace(facts.held, is_corrupt=is_corrupt))
            decision = where_to_start(facts, self.choices)
            if isinstance(decision, Start):
                return facts, decision
            again = await self._look_again(facts, decision, deadline)
            if again is None:
                raise RecoveryError(decision.message)
            facts = again

    def look_back(self) -> None:
        """Read the outputs again: a producer was started since, and has decided what they hold."""
        self._looked_back = False

    async def read(self, acknowledged: GroupOffset | None = None) -> Facts:
        """Read log start, position, group offset and log end in this order, then what tells one log from another."""
        log_start = await self.log.log_start()
        self.at_crash_point(Point.LOG_START_READ)
        held = await self.store.read()
        self.at_crash_point(Point.STATE_READ)
        group_offset = await self.log.group_offset()
        self.at_crash_point(Point.GROUP_OFFSET_READ)
        if not self._looked_back:
            self._last_prediction = await self.log.last_prediction()
            self._looked_back = True
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
            held=held,
            group_offset=group_offset,
            acknowledged=acknowledged,
            last_prediction=self._last_prediction,
            source_partitions=topics.source_partitions,
            predictions_partitions=topics.predictions_partitions,
            is_compacted=topics.is_compacted,
        )
        return replace(
            facts,
            anchor_fits=await self._anchor_fits(facts),
            prediction_fits=await self._prediction_fits(facts),
        )

    async def _look_again(self, facts: Facts, stop: Stop, deadline: float) -> Facts | None:
        """Return newer facts if what was read may have been a mixture."""
        if stop.row == 10 and self.clock() < deadline:
            await asyncio.sleep(LOOK_AGAIN_S)
            logger.info("group offset behind, reading it again partition=%s", self.place)
            group_offset = await self.log.group_offset()
            self.at_crash_point(Point.GROUP_OFFSET_READ)
            return replace(facts, group_offset=group_offset, log_end=await self.log.log_end())
        if stop.row in (5, 7) and await self.store.read() != replace(facts.held, is_corrupt=False):
            return await self.read(facts.acknowledged)
        return None

    async def _anchor_fits(self, facts: Facts) -> bool | None:
        anchor = facts.held.anchor
        if anchor is None or not facts.log_start <= anchor.offset < facts.log_end:
            return None
        record = await self._record_at(anchor.offset)
        return record if isinstance(record, bool | None) else anchor_of(record) == anchor

    async def _prediction_fits(self, facts: Facts) -> bool | None:
        last = facts.last_prediction
        if last is None or last.timestamp is None:
            return None
        if not facts.log_start <= last.offset < facts.log_end:
            return None
        record = await self._record_at(last.offset)
        return record if isinstance(record, bool | None) else record.timestamp == last.timestamp

    async def _record_at(self, offset: int) -> Record | bool | None:
        """Return the record; ``False`` if there is none though there must be; ``None`` if unknown."""
        record = await self.log.record_at(offset)
        self.at_crash_point(Point.RECORD_READ)
        if record is not None:
            return record
        if self.choices.allow_compacted or await self.log.log_start() > offset:
            return None
        return False


def tell_start(place: str, start: Start) -> None:
    """Say where a partition starts; what costs time or history is a warning, in plain words."""
    level = logging.WARNING if start.lost or start.row in (6, 9) else logging.INFO
    logger.log(
        level,
        "starting partition=%s row=%d position=%d origin=%d publish_from=%d",
        place,
        start.row,
        start.position,
        start.origin,
        start.publish_from,
    )
    words = f"history is given up: {start.lost}" if start.lost else REASONS.get(start.row)
    if words:
        logger.log(level, "%s partition=%s", words, place)
