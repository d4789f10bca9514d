"""The partitions that a worker owns, each with a task, a producer and a source.

    assign ──► STARTING ──► FOLDING ──► ENDING ──► gone
                  │            │           ▲
                  └────────────┴─ release ─┘      the micro-batch in progress is finished, or
                                                  abandoned after revoke_timeout_s

Each assignment has its own task and producer.  Errors of a task that was released are ignored; a
task that ends before its release brings the worker down.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from stream_rnn.errors import FencedError
from stream_rnn.fold.processor import Processor
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.worker.partition_source import PartitionSource
from stream_rnn.worker.service_tasks import report_unexpected_end

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class OwnedPartition:
    """A partition during one assignment."""

    folds: PartitionFolds | Processor
    source: PartitionSource
    task: "asyncio.Task[None]"
    is_ending: bool = False

    @property
    def processor(self) -> Processor:
        """Processor of the fold in charge."""
        return self.folds if isinstance(self.folds, Processor) else self.folds.processor


class Partitions:
    """The partitions of the current assignment.

    Args:
        make_folds: Function that makes the folds, or the only processor, and the source of a
            partition for a generation of the group.
        fail: Callback that receives the error of a partition that was not released, and brings
            the worker down.
        revoke_timeout_s: Seconds to finish the micro-batch in progress.
    """

    def __init__(
        self,
        make_folds: Callable[[int, int], tuple[PartitionFolds | Processor, PartitionSource]],
        fail: Callable[[BaseException], None],
        revoke_timeout_s: float,
    ) -> None:
        self._make_folds = make_folds
        self._fail = fail
        self._revoke_timeout_s = revoke_timeout_s
        self._owned: dict[int, OwnedPartition] = {}

    def __iter__(self):  # type: ignore[no-untyped-def]  # iterates over OwnedPartition
        return iter(list(self._owned.values()))

    def get(self, partition: int) -> OwnedPartition | None:
        """Return an owned partition; ``None`` if the worker does not own it."""
        return self._owned.get(partition)

    def assign(self, partitions: frozenset[int], generation: int) -> None:
        """Start a task for each partition; it first determines the partition's position."""
        for partition in sorted(partitions):
            assert partition not in self._owned, "a partition is released before it is assigned"
            folds, source = self._make_folds(partition, generation)
            task = asyncio.create_task(folds.run(), name=f"fold {folds.place}")
            owned = self._owned[partition] = OwnedPartition(folds, source, task)
            report_unexpected_end(task, partial(getattr, owned, "is_ending"), self._fail)

    async def positioned(self, timeout_s: float) -> None:
        """Wait until every partition has its position, and move the consumer there.

        Raises:
            FencedError: The timeout has passed.
        """
        partitions = list(self._owned.values())
        waits = [asyncio.ensure_future(owned.source.positioned.wait()) for owned in partitions]
        try:
            async with asyncio.timeout(timeout_s):
                for owned, wait in zip(partitions, waits, strict=True):
                    await asyncio.wait({wait, owned.task}, return_when=asyncio.FIRST_COMPLETED)
                for owned in partitions:
                    if owned.source.positioned.is_set() and not owned.task.done():
                        await owned.source.seek_again()
        except TimeoutError:
            places = ", ".join(
                p.processor.place for p in partitions if not p.source.positioned.is_set()
            )
            raise FencedError(
                f"no position for {places} within {timeout_s:g} s: raise --recovery-timeout-s, and, "
                "as it may take 80 % of Faust's broker_request_timeout, that one (an argument of an "
                "app, or BROKER_REQUEST_TIMEOUT in the environment), too"
            ) from None
        finally:
            for wait in waits:
                wait.cancel()

    async def release(self, partitions: frozenset[int]) -> None:
        """Finish the micro-batches in progress, end the tasks and close the producers."""
        released = [self._owned.pop(p) for p in sorted(partitions) if p in self._owned]
        for owned in released:
            owned.is_ending = True
            owned.source.end()
        if not released:
            return
        tasks = {owned.task for owned in released}
        _, unfinished = await asyncio.wait(tasks, timeout=self._revoke_timeout_s)
        for task in unfinished:
            logger.warning("micro-batch abandoned task=%s", task.get_name())
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished, timeout=self._revoke_timeout_s)
        await asyncio.gather(*(owned.folds.publisher.close() for owned in released))
        for owned in released:
            logger.info(
                "partition released partition=%s position=%d events=%d %s",
                owned.processor.place,
                owned.processor.position,
                owned.processor.times.events,
                owned.processor.times,
            )

    async def release_all(self) -> None:
        """Release every partition."""
        await self.release(frozenset(self._owned))
