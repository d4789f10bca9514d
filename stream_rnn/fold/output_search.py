"""A backward search for the last output in one partition of an output topic."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from stream_rnn.errors import FencedError
from stream_rnn.fold.recovery import LastOutput

FIRST_SPAN = 16  # offsets
GROWTH_MAX = 8

ReadRange = Callable[[int, int, int], AsyncGenerator[list[ConsumerRecord]]]
Parse = Callable[[ConsumerRecord], LastOutput | None]


@dataclass(slots=True)
class OutputSearch:
    """A search among the last committed records of an output partition.

    Offsets do not count, because aborted transactions may have used millions of them.  So the
    search reads windows of offsets from the end backwards, each in its order.  A window grows while
    the log has few committed records.  If it has more than the search may still examine, the search
    leaves it early, because the last records of the partition are not in its first part, and
    halves what is left.

    In ``at_least_once``, the last outputs may be those of a worker that has lost the partition, and
    whose fold a cut-over has replaced.  The search passes over these: it ends at an output with the
    number that the group offset has.

    Args:
        place: Name of the output partition in messages, such as ``delays[3]``.
        read: Yields the committed records of [first, end), at most a number of them at a time.
        parse: Returns the output in a record; ``None`` if it is not an output of the app.
        start: First offset that may have the output.
        end: Offset after the last one that may have it.
        records_max: Number of committed records to examine.
        number_min: Number of a cut-over at which the search ends; outputs with a lower one count
            only if it finds no other.
    """

    place: str
    read: ReadRange
    parse: Parse
    start: int
    end: int
    records_max: int
    number_min: int = 0
    _best: LastOutput | None = None

    async def run(self, timeout_s: float) -> LastOutput | None:
        """Return the last output among the last ``records_max`` committed records.

        Args:
            timeout_s: Deadline in seconds.

        Raises:
            FencedError: Kafka does not answer, or the search does not end within its deadline.
        """
        log_end, records_max = self.end, self.records_max
        try:
            async with asyncio.timeout(timeout_s):
                return await self._search()
        except TimeoutError as error:
            examined = "nothing yet"
            if self.end < log_end:
                count = records_max - self.records_max
                examined = f"offsets {self.end} to {log_end - 1} with {count} committed records"
            message = (
                f"{self.place}: the search for the last output did not end within {timeout_s:g} s: "
                f"it has examined {examined}, and offsets {self.start} to {self.end - 1} are left. "
                "Raise --lookback-timeout-s (and, for a worker, "
                "--recovery-timeout-s). If most offsets belong to aborted transactions, stop the "
                "producer that aborts them"
            )
            raise FencedError(message) from error

    async def _search(self) -> LastOutput | None:
        span, was_full = FIRST_SPAN, False
        while self.start < self.end and self.records_max > 0:
            first = max(self.start, self.end - span)
            count, found, second = await self._read_window(first)
            if count > self.records_max:
                # More records follow the window's first one than the search examines.
                self.start, was_full = second, True
            else:
                if found is not None and (self._best is None or found.number > self._best.number):
                    self._best = found
                if self._best is not None and self._best.number >= self.number_min:
                    return self._best
                self.records_max -= count
                self.end = first
                span = self._next_span(span, count)
            if was_full:
                span = max((self.end - self.start) // 2, self.records_max)
        return self._best

    def _next_span(self, span: int, count: int) -> int:
        """Return the offsets that hold the records to examine, by the density of a window."""
        grown = GROWTH_MAX * span
        if not count:
            return grown
        return max(FIRST_SPAN, min(grown, self.records_max * span // count))

    async def _read_window(self, first: int) -> tuple[int, LastOutput | None, int]:
        """Read [first, end), or leave it once it has too many records.

        Returns:
            The number of records; the last output among those with their greatest number; and the
            offset after the first record.
        """
        count, found, second = 0, None, first
        async with aclosing(self.read(first, self.end, self.records_max + 1)) as batches:
            async for records in batches:
                second = second if count else records[0].offset + 1
                count += len(records)
                if count > self.records_max:
                    break
                for record in records:
                    output = self.parse(record)
                    if output is not None and (found is None or output.number >= found.number):
                        found = output
        return count, found, second
