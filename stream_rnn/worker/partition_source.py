"""The source of a partition's records: a queue of the fetches that Faust has delivered."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from stream_rnn.fold.decoder import Record
from stream_rnn.fold.source import Fetch
from stream_rnn.worker.transport import UNSETTLED, ConsumerPosition, PartitionFetch

logger = logging.getLogger(__name__)


class Seeker(Protocol):
    """Access of a source to the consumer, for one partition."""

    async def seek(self, position: int) -> int:
        """Move the consumer to an offset, and return the new epoch."""

    async def consumer_position(self) -> ConsumerPosition:
        """Return the position of the consumer in the partition."""


class PartitionSource:
    """Records of one partition for one assignment; a :class:`stream_rnn.fold.processor.Source`.

    Args:
        seeker: Access to the consumer for this partition.
        pending_records_max: Limit of queued records.  At the limit ``offer`` waits, and then Faust
            fetches no more records.
    """

    def __init__(self, seeker: Seeker, pending_records_max: int) -> None:
        self._seeker = seeker
        self._pending_records_max = pending_records_max
        self._fetches: deque[PartitionFetch] = deque()
        self._pending = 0
        self._epoch = -1
        self._next_position = -1
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = False
        self._is_seeking = False
        self.is_busy = False  # whether the processor has records in hand
        self.positioned = asyncio.Event()

    @property
    def has_work(self) -> bool:
        """Whether records are being folded or wait; no longer after ``end``."""
        return not self._ended and (self.is_busy or self._pending > 0)

    @property
    def pending_records(self) -> int:
        """Number of records that have arrived and are not taken yet."""
        return self._pending

    async def seek(self, position: int) -> None:
        """Deliver records from this offset on, and drop all earlier fetches."""
        self._is_seeking = True  # a fetch that arrives meanwhile waits for the new epoch
        self._clear()
        self._next_position = position
        try:
            self._epoch = await self._seeker.seek(position)
        finally:
            self._is_seeking = False
            self._taken.set()
        self.positioned.set()

    async def seek_again(self) -> None:
        """Restore the consumer's position after Faust has moved it to the group offset."""
        await self.seek(self._next_position)

    async def offer(self, fetched: PartitionFetch) -> None:
        """Add a fetch to the queue; wait while too many records are pending."""
        while self._must_wait and not self._ended:
            self._taken.clear()
            await self._taken.wait()
        is_blocked = bool(self._fetches) and self._fetches[-1].unreadable is not None
        if fetched.epoch == self._epoch and not self._ended and not is_blocked:
            self._fetches.append(fetched)
            self._pending += len(fetched.records)
            self._arrived.set()

    @property
    def _must_wait(self) -> bool:
        return self._is_seeking or self._pending >= self._pending_records_max

    async def take(self, timeout_s: float) -> Fetch | None:
        """Return all contiguous records that have arrived.

        Args:
            timeout_s: Seconds to wait for a record.

        Returns:
            The records; after the timeout, a fetch without records, whose ``next_position`` is
            beyond the offsets without a record; ``None`` after ``end``.

        Raises:
            UnreadableError: The log cannot be read at the position; all earlier records are taken.
        """
        self.is_busy = False
        if not self._fetches and not self._ended:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
            except TimeoutError:
                return await self._idle()
        if self._ended:
            return None
        if (error := self._fetches[0].unreadable) is not None:
            raise error
        records: list[Record] = []
        while self._fetches and (not records or _follows(self._fetches[0].records, records)):
            records.extend(self._fetches.popleft().records)
        self._pending -= len(records)
        self._taken.set()
        self._next_position = records[-1].offset + 1
        self.is_busy = True
        return Fetch(records, self._next_position)

    def end(self) -> None:
        """Stop delivering; the micro-batch in progress is the last one."""
        self._ended = True
        self._clear()
        self._arrived.set()

    async def _idle(self) -> Fetch | None:
        """Return a fetch without records; cross offsets without a record if all fetches are taken."""
        consumer = await self._seeker.consumer_position()
        if self._ended:
            return None
        if consumer.epoch not in (self._epoch, UNSETTLED) and not self._is_seeking:
            # A seek of Faust was interrupted: without another seek, every fetch would be dropped.
            logger.warning("the consumer was moved: seeking again position=%d", self._next_position)
            await self.seek_again()
            return Fetch([], self._next_position)
        is_current = not self._fetches and consumer.epoch == self._epoch
        all_taken = is_current and (
            consumer.delivered is None or consumer.delivered <= self._next_position
        )
        if all_taken and consumer.position is not None:
            self._next_position = max(self._next_position, consumer.position)
        return Fetch([], self._next_position)

    def _clear(self) -> None:
        self._fetches.clear()
        self._pending = 0
        self._taken.set()


def _follows(later: Sequence[Record], earlier: Sequence[Record]) -> bool:
    return bool(later) and later[0].offset == earlier[-1].offset + 1
