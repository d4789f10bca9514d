"""The partitions that a worker owns: one task, one producer and one source each.

    assign ──► STARTING ──► FOLDING ──► ENDING ──► gone
                  │            │           ▲
                  └────────────┴─ release ─┘      the batch in hand is finished, or abandoned
                                                  after revoke_timeout_s

Each assignment has its own task and producer; errors of a closed one are not acted upon.  A task
that ends before its release brings the worker down, however it ends.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from stream_rnn.errors import FencedError
from stream_rnn.fold.processor import Processor
from stream_rnn.worker.lasting import tell_end
from stream_rnn.worker.partition_source import PartitionSource

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Owned:
    """One partition for one assignment."""

    processor: Processor
    source: PartitionSource
    task: "asyncio.Task[None]"
    is_ending: bool = False


class Partitions:
    """The partitions of the current assignment.

    Args:
        make: makes the processor of a partition, for a generation of the group.
        fail: told what ended a partition that was not released; the worker goes down.
        revoke_timeout_s: for the batch in hand.
    """

    def __init__(
        self,
        make: Callable[[int, int], tuple[Processor, PartitionSource]],
        fail: Callable[[BaseException], None],
        revoke_timeout_s: float,
    ) -> None:
        self._make = make
        self._fail = fail
        self._revoke_timeout_s = revoke_timeout_s
        self._owned: dict[int, Owned] = {}

    def __iter__(self):  # type: ignore[no-untyped-def]  # an iterator of Owned
        return iter(list(self._owned.values()))

    def get(self, partition: int) -> Owned | None:
        """Return what is owned of a partition."""
        return self._owned.get(partition)

    def assign(self, partitions: frozenset[int], generation: int) -> None:
        """Start the task of each partition; the first thing it does is to find its position."""
        for partition in sorted(partitions):
            assert partition not in self._owned, "a partition is released before it is assigned"
            processor, source = self._make(partition, generation)
            task = asyncio.create_task(processor.run(), name=f"fold {processor.place}")
            owned = self._owned[partition] = Owned(processor, source, task)
            tell_end(task, partial(getattr, owned, "is_ending"), self._fail)

    async def positioned(self, timeout_s: float) -> None:
        """Return when every partition knows its position and the consumer stands there.

        Raises:
            FencedError: it took too long.
        """
        owned = list(self._owned.values())
        waiting = [asyncio.ensure_future(one.source.positioned.wait()) for one in owned]
        try:
            async with asyncio.timeout(timeout_s):
                for one, wait in zip(owned, waiting, strict=True):
                    await asyncio.wait({wait, one.task}, return_when=asyncio.FIRST_COMPLETED)
                for one in owned:
                    if one.source.positioned.is_set() and not one.task.done():
                        await one.source.seek_again()
        except TimeoutError:
            places = ", ".join(o.processor.place for o in owned if not o.source.positioned.is_set())
            raise FencedError(f"no position for {places} within {timeout_s:g} s") from None
        finally:
            for wait in waiting:
                wait.cancel()

    async def release(self, partitions: frozenset[int]) -> None:
        """Finish the batches in hand and close; afterwards nothing of these partitions runs."""
        released = [self._owned.pop(p) for p in sorted(partitions) if p in self._owned]
        for owned in released:
            owned.is_ending = True
            owned.source.end()
        if not released:
            return
        tasks = {owned.task for owned in released}
        _, unfinished = await asyncio.wait(tasks, timeout=self._revoke_timeout_s)
        for task in unfinished:
            logger.warning("batch in hand abandoned task=%s", task.get_name())
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished, timeout=self._revoke_timeout_s)
        await asyncio.gather(*(owned.processor.publisher.close() for owned in released))
        for owned in released:
            logger.info(
                "partition released partition=%s position=%d events=%d %s",
                owned.processor.place,
                owned.processor.position,
                owned.processor.times.events,
                owned.processor.times,
            )

    async def release_all(self) -> None:
        """Release everything."""
        await self.release(frozenset(self._owned))
