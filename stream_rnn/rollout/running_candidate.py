"""A candidate whose processor runs: how it ends, and how its fold goes on in charge."""

import asyncio
from dataclasses import dataclass

from stream_rnn.fold.processor import Processor
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.rollout.candidate import CandidateSource


@dataclass(slots=True)
class RunningCandidate:
    """A candidate, and the task that runs it.

    Attributes:
        fold_id: Id of its fold.
        processor: Its processor.
        source: Source of the records below the group offset.
        task: Task of :meth:`Processor.run`.
    """

    fold_id: str
    processor: Processor
    source: CandidateSource
    task: "asyncio.Task[None]"

    @property
    def is_positioned(self) -> bool:
        """Whether the candidate folds, and has a position."""
        return self.processor.is_positioned and not self.task.done()

    def has_ended_at(self, offset: GroupOffset) -> bool:
        """Return whether the task has ended without an error, at this offset."""
        task, processor = self.task, self.processor
        is_done = task.done() and not task.cancelled() and task.exception() is None
        at = processor.position, processor.origin
        return is_done and processor.is_positioned and at == (offset.offset, offset.origin)

    async def end(self, closing: "set[asyncio.Task[None]]") -> BaseException | None:
        """End after the micro-batch in progress; return the error with which the task has failed.

        Args:
            closing: Set to which the task that closes the source is added, also if the end is
                cancelled.
        """
        self.source.end()
        task, limit_s = self.task, self.processor.settings.revoke_timeout_s / 2
        try:
            await asyncio.wait({task}, timeout=limit_s)
        finally:
            task.cancel()
            try:
                await asyncio.wait({task}, timeout=limit_s)
            finally:
                closing.add(asyncio.create_task(self.source.close()))
        return task.exception() if task.done() and not task.cancelled() else None

    def continue_in(self, processor: Processor, offset: GroupOffset) -> None:
        """Let another processor of the same fold go on where this candidate has ended."""
        own = self.processor
        processor.position, processor.origin = own.position, own.origin
        processor.anchor, processor.stream_time_ms = own.anchor, own.stream_time_ms
        processor.cache.take_over(own.cache)
        processor.publish_from, processor.number = offset.offset, offset.number
        processor.is_positioned = True
