"""One partition during one assignment, whose fold in charge may change.

:meth:`PartitionFolds.run` runs the processor of the fold in charge.  While a roll-out is open, it
also runs the candidate.  A cut-over goes through these numbered steps:

    1  the source pauses, and the fold in charge finishes its micro-batch
    2  the candidate reaches the group offset C, which stands still
    3  an empty micro-batch is published: the same C, with the candidate's fold id and origin, and
       the number of the request
    4  the candidate, which stands exactly at C, takes over source, publisher and the next records;
       if the fold in charge was silent below C, the ordinary recovery starts the candidate's fold

If the process dies between any two lines:

    before 3   nothing has happened; the request stands, and the next owner carries it out
    within 3   the next start aborts an open transaction; if it is committed, C names the new fold
    after 3    C names the new fold, and recovery starts it

The group offset alone decides which fold is in charge: see ``in_charge.py``.  The take-over in step
4 is exact for the reason for which a processor may go on after its own commit: what it has in memory
is what it has committed to Redis, and the next commit fails if Redis has another position or origin.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from stream_rnn.errors import StateError, reason
from stream_rnn.fold.crash_points import Counts, Point
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.publisher import Publisher
from stream_rnn.fold.source import Source
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.rollout.candidate import FreeTurn, InChargeUpTo, Turn
from stream_rnn.rollout.in_charge import Folds, InCharge, OtherFold
from stream_rnn.rollout.pausable_source import LOOK_EVERY_S, PausableSource
from stream_rnn.rollout.plan import Plan, Request
from stream_rnn.rollout.running_candidate import RunningCandidate

logger = logging.getLogger(__name__)

IDLE_LOOK_EVERY_S = 1.0  # while no roll-out is open
RETRY_AFTER_S = 1.0  # after a candidate has failed, and for each cut-over that could not be done
TRIES_COUNTED_MAX = 10  # because predictions pause during each of them


@dataclass(slots=True, kw_only=True)
class PartitionFolds:
    """The folds of one partition during one assignment.

    Args:
        folds: Folds that this worker can run.
        partition: Number of the source partition.
        source: Source of the partition's records, for the fold in charge.
        publisher: Publisher of the outputs and the group offset, for the fold in charge.
        pause_max_s: Seconds for which a cut-over waits for the candidate; then the fold in charge
            goes on, and the cut-over is tried again.
        turn: Turn of the candidates, which they await before each read.
        sleep: Function that waits for some seconds.
        on_cut_over: Function to call after each cut-over.
        on_failure: Function to call when a candidate has failed.

    Attributes:
        pending_s: Seconds for which a request has been pending here; ``None`` if there is none.
    """

    folds: Folds
    partition: int
    source: Source
    publisher: Publisher
    pause_max_s: float = 0.5
    turn: Turn = field(default_factory=FreeTurn)
    sleep: Callable[[float], Awaitable[None]] = field(default_factory=lambda: asyncio.sleep)
    on_cut_over: Callable[[], None] = field(default_factory=lambda: _no_call)
    on_failure: Callable[[], None] = field(default_factory=lambda: _no_call)
    processor: Processor = field(init=False)
    pending_s: float | None = None
    cut_overs: int = 0
    _since: int | None = None
    _tries: int = 0
    _counts: Counts = field(default_factory=Counts)
    _source: PausableSource = field(init=False)
    _candidate: RunningCandidate | None = None
    _closing: "set[asyncio.Task[None]]" = field(default_factory=set)

    def __post_init__(self) -> None:
        self._source = PausableSource(self.source)
        self._make(self.folds.own, None)

    def _make(
        self, fold_id: str, acknowledged: GroupOffset | None, *, is_started: bool = False
    ) -> None:
        consult = InCharge(self.folds, self.partition).consult
        given = self.partition, self._source, self.publisher, consult
        self.processor = self.folds.active(fold_id, *given)
        self.processor.counts = self._counts  # they are those of the assignment
        self.processor.acknowledged = acknowledged
        self.processor.is_publisher_started = is_started

    async def run(self) -> None:
        """Fold until the source ends or the partition is lost.

        Raises:
            StreamRNNError: This worker cannot continue with the partition.
        """
        try:
            while await self._run_one():
                pass
        finally:
            await self._end_candidate()
            await self._close_ended()

    async def _run_one(self) -> bool:
        """Run the fold in charge until a cut-over; return ``False`` at the end of the source."""
        processor, is_started = self.processor, True
        self._source.is_pausing = False
        try:
            await self._run_active(processor)
            if self._source.has_ended:
                return False
            self._tries += 1
            offset = await self._cut_over(processor)
            processor.is_publisher_started = True
            if offset is None:
                return True  # the fold in charge goes on where it stands
            self._tries, fold_id = 0, offset.fold_id or processor.fold_id
            if await self._take_over(processor, offset):
                return True
        except OtherFold as other:
            fold_id = other.fold_id
        except StateError as error:  # the outcome of the cut-over is unknown
            fold_id, is_started = processor.fold_id, not error.restarts_producer
            logger.warning("positioning again: %s partition=%s", error, processor.place)
        await self._end_candidate()
        self._make(fold_id, processor.acknowledged, is_started=is_started)
        return True

    async def _take_over(self, processor: Processor, offset: GroupOffset) -> bool:
        """Let the fold of a cut-over go on where it stands; return whether that is possible."""
        candidate = self._candidate
        if offset.fold_id == processor.fold_id:
            for one in (processor, *([candidate.processor] if candidate else [])):
                one.number = offset.number
            return True
        await self._end_candidate(waits=False)  # readers of predictions wait
        if candidate is None or not candidate.has_ended_at(offset):
            return False
        if processor.position != offset.offset:
            return False  # it was silent, so its source is below the group offset
        self._make(candidate.fold_id, offset, is_started=True)
        candidate.continue_in(self.processor, offset)
        self.processor.pace = processor.pace
        return True

    @property
    def is_pausing(self) -> bool:
        """Whether the fold in charge waits for a cut-over."""
        return self._source.is_pausing

    @property
    def place(self) -> str:
        """Name of the partition in messages."""
        return self.processor.place

    # --- the candidate and the requests ------------------------------------------------------------

    @property
    def has_candidate(self) -> bool:
        """Whether a candidate is folding."""
        return self._candidate is not None

    @property
    def candidate(self) -> Processor | None:
        """Processor of the candidate, once it has its position; ``None`` before and without one."""
        candidate = self._candidate
        return candidate.processor if candidate is not None and candidate.is_positioned else None

    @property
    def candidate_lag(self) -> int | None:
        """Number of published offsets that the candidate has not folded."""
        candidate = self.candidate
        return None if candidate is None else max(self.published - candidate.position, 0)

    @property
    def published(self) -> int:
        """The group offset as this worker knows it; -1 before the partition is positioned."""
        processor = self.processor
        if not processor.is_positioned:
            return -1
        known = processor.acknowledged
        return max(processor.publish_from, known.offset if known is not None else 0)

    def _published_by(self, processor: Processor) -> InChargeUpTo:
        """Return the group offset, if it is still this processor that writes it."""
        if self.processor is not processor:
            return InChargeUpTo(-1)
        return InChargeUpTo(self.published, processor.number, self._since)

    async def _run_active(self, processor: Processor) -> None:
        attending = asyncio.create_task(self._attend(processor), name=f"roll-out {processor.place}")
        attending.add_done_callback(self._pause_after_error)
        try:
            await processor.run()
        finally:
            attending.cancel()
            with suppress(asyncio.CancelledError):
                await attending

    def _pause_after_error(self, attending: "asyncio.Task[None]") -> None:
        """End the fold in charge, too: a roll-out that nobody attends to would wait for ever."""
        if not attending.cancelled() and attending.exception() is not None:
            self._source.is_pausing = True

    async def _attend(self, processor: Processor) -> None:
        """Keep the candidate running, and pause the source when a request can be carried out."""
        await self._close_ended()
        failed_s, waits_s = 0.0, RETRY_AFTER_S * min(self._tries, TRIES_COUNTED_MAX)
        while True:
            plan = self.folds.plan
            is_open = plan is not None and plan.stage == "open"
            self._source.is_watched = is_open
            if plan is None or not is_open:
                self._since = None  # a later candidate begins below it
                await self._end_candidate()
            elif processor.is_positioned:
                if self._candidate is not None and self._candidate.task.done():
                    failed_s = RETRY_AFTER_S
                    await self._end_candidate()
                if failed_s <= 0:
                    self._keep_candidate(plan, processor)
                request = plan.pending(self.partition, processor.number) if waits_s <= 0 else None
                if request is not None and self._can_carry_out(request, processor, is_near=True):
                    self._source.is_pausing = True
                    return
            failed_s, waits_s = failed_s - LOOK_EVERY_S, waits_s - LOOK_EVERY_S
            look_s = LOOK_EVERY_S if is_open else IDLE_LOOK_EVERY_S
            self._note_pending(plan, processor, look_s)
            await self.sleep(look_s)

    def _note_pending(self, plan: Plan | None, processor: Processor, look_s: float) -> None:
        is_known = plan is not None and processor.is_positioned
        request = plan.pending(self.partition, processor.number) if plan and is_known else None
        self.pending_s = None if request is None else (self.pending_s or 0.0) + look_s

    def _keep_candidate(self, plan: Plan, processor: Processor) -> None:
        """Start the candidate unless it runs, or this worker cannot run it."""
        others = [fold_id for fold_id in plan.fold_ids if fold_id != processor.fold_id]
        if self._candidate is not None or len(others) != 1 or not self.folds.has(others[0]):
            return
        given = self.partition, partial(self._published_by, processor), self.turn
        candidate, source = self.folds.candidate(others[0], *given)
        task = asyncio.create_task(candidate.run(), name=f"candidate {candidate.place}")
        self._candidate = RunningCandidate(others[0], candidate, source, task)

    async def _end_candidate(self, *, waits: bool = True) -> None:
        """End the candidate after its micro-batch, and log the error with which it has failed.

        Args:
            waits: Whether to wait until its source is closed, too.
        """
        candidate, self._candidate = self._candidate, None
        if candidate is None:
            return
        try:
            error = await candidate.end(self._closing)
        finally:
            if waits:
                await self._close_ended()
        if error is not None:
            self.on_failure()
            logger.warning(
                "the candidate %s failed: %s partition=%s",
                *(candidate.fold_id, reason(error), candidate.processor.place),
            )

    async def _close_ended(self) -> None:
        """Wait until the sources of candidates that have ended are closed."""
        while self._closing:
            done, _ = await asyncio.wait(self._closing)
            self._closing -= done
            for closing in done:
                closing.result()

    def _can_carry_out(self, request: Request, processor: Processor, *, is_near: bool) -> bool:
        """Return whether a request can be carried out now.

        Args:
            request: Request with a number above that of the group offset.
            processor: Processor of the fold in charge.
            is_near: Whether it suffices that the candidate is within one micro-batch of the group
                offset, so that the pause is short.
        """
        if request.kind == "abandon":
            return False  # the own bundle takes over when recovery finds no other one
        if request.fold_id == processor.fold_id:
            return True
        candidate = self._candidate
        if request.kind != "promote" or candidate is None or not candidate.is_positioned:
            return False
        if candidate.fold_id != request.fold_id:
            return False
        if request.origin not in (None, candidate.processor.origin):
            return False
        lag = self.published - candidate.processor.position
        return lag <= (processor.settings.batch_events_max if is_near else 0)

    async def _cut_over(self, processor: Processor) -> GroupOffset | None:
        """Publish the group offset with the fold of the request; ``None`` if it cannot be done yet.

        Raises:
            FencedError: Another worker owns the partition, or the outcome is unknown.
            StateError: The outcome is unknown; a start of the producer decides it.
        """
        plan, left_s = self.folds.plan, self.pause_max_s
        request = plan.pending(self.partition, processor.number) if plan is not None else None
        if plan is None or plan.stage != "open" or request is None or self.published < 0:
            return None
        # 2 the candidate reaches the group offset
        if self._candidate is not None:
            self._candidate.source.wake()
        while not self._can_carry_out(request, processor, is_near=False):
            if left_s <= 0 or not self._can_carry_out(request, processor, is_near=True):
                return None
            left_s -= LOOK_EVERY_S / 10
            await self.sleep(LOOK_EVERY_S / 10)
        candidate, origin = self._candidate, processor.origin
        if request.fold_id != processor.fold_id:
            assert candidate is not None, "the request can be carried out"
            origin, self._since = candidate.processor.origin, self.published
        # 3 publish an empty micro-batch
        offset = GroupOffset(self.published, request.fold_id, origin, request.number)
        processor.at_crash_point(Point.PAUSED)
        await self.publisher.publish([], [], offset)
        processor.at_crash_point(Point.CUT_OVER)
        processor.acknowledged, self.cut_overs = offset, self.cut_overs + 1
        self.pending_s = None
        self.on_cut_over()
        logger.info(
            "cut-over partition=%s offset=%d fold=%s number=%d",
            *(processor.place, offset.offset, offset.fold_id, offset.number),
        )
        return offset


def _no_call() -> None:
    """Do nothing."""
