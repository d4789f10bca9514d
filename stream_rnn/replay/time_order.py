"""The order of the rows of a file: a stable sort by event time, and a check of the order.

A network reads the events of a key in the order of the rows.  A file whose rows are in another
order than their times, such as the newest first, gives another memory than the topic had.
"""

import mmap
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError, reason
from stream_rnn.fold.event_times import NO_TIMESTAMP
from stream_rnn.replay.row_batch import RowBatch

LATE_MS = 3_600_000  # a row is late if it is earlier than its key's latest row by more
LATE_SHARE_MAX = 0.01
BACK_SHARE_MAX = 0.5  # of rows that are earlier by any time, as in a file with the newest row first
BACK_SPAN_MIN = 0.5  # of the time from the first to the last row, by which one of them is earlier
ROWS_MIN = 50_000  # rows after which the shares count before the end of the file
KEYS_MAX = 1_000_000  # bounds the memory of the check
RECORDS_PER_BATCH = 16_384
START_MS = -(1 << 62)


@dataclass(slots=True)
class OrderCheck:
    """Counts the rows whose time goes back within their key.

    Attributes:
        name: Name of the file, for the message.
        rows: Number of rows with a key and a time.
        back: Number of rows that are earlier than the latest row of their key.
        late: Number of those that are earlier by more than ``LATE_MS``.
        worst_ms: Largest time by which a row is earlier.
        worst_row: Number of that row, from 0.
        first_ms: Earliest time.
        last_ms: Latest time.
    """

    name: str
    rows: int = 0
    back: int = 0
    late: int = 0
    worst_ms: int = 0
    worst_row: int = 0
    first_ms: int = -START_MS
    last_ms: int = START_MS
    _latest: dict[bytes, int] = field(default_factory=dict)

    def add(self, batch: RowBatch, first_row: int) -> None:
        """Count a batch of rows.

        Raises:
            ConfigError: Too many rows go back.
        """
        latest = self._latest
        times = [time_ms for time_ms in batch.timestamps if time_ms != NO_TIMESTAMP]
        self.first_ms = min(self.first_ms, min(times, default=self.first_ms))
        self.last_ms = max(self.last_ms, max(times, default=self.last_ms))
        for row, (key, time_ms) in enumerate(
            zip(batch.keys, batch.timestamps, strict=True), first_row
        ):
            if key is None or time_ms == NO_TIMESTAMP:
                continue
            self.rows += 1
            before_ms = latest.get(key, START_MS)
            if time_ms >= before_ms:
                if before_ms != START_MS or len(latest) < KEYS_MAX:
                    latest[key] = time_ms
            else:
                self._count(before_ms - time_ms, row)
        if self.rows >= ROWS_MIN:
            self.finish()

    def finish(self) -> None:
        """Check the rows that were counted.

        Raises:
            ConfigError: Too many rows go back.
        """
        is_reversed = self.back > BACK_SHARE_MAX * self.rows and self.worst_ms >= BACK_SPAN_MIN * (
            self.last_ms - self.first_ms
        )
        if self.late <= LATE_SHARE_MAX * self.rows and not is_reversed:
            return
        raise ConfigError(
            f"{self.name}: its rows are not in the order of their times: {self.back} of "
            f"{self.rows} rows are earlier than a row of their key above them, {self.late} of them "
            f"by more than an hour; the worst is row {self.worst_row}, earlier by "
            f"{self.worst_ms / 1000:.0f} s.  Use --sort-by-time to read the rows in the order of "
            "their times, or --no-sort-by-time to take them as they stand"
        )

    def _count(self, by_ms: int, row: int) -> None:
        self.back += 1
        self.late += by_ms > LATE_MS
        if by_ms > self.worst_ms:
            self.worst_ms, self.worst_row = by_ms, row


def sort_rows(batches: Iterator[RowBatch], name: str) -> Iterator[RowBatch]:
    """Yield rows in the order of their times; rows with equal times keep their order.

    A row without a valid time stays behind the row before it.  The rows are written to a temporary
    file meanwhile, so that memory holds some 40 bytes a row.

    Raises:
        ConfigError: The temporary file cannot be written.
    """
    try:
        with tempfile.TemporaryFile() as file:
            spool = _spool(batches, file)
            if not spool.times:
                return
            file.flush()
            order = np.argsort(_filled(np.frombuffer(spool.times, np.int64)), kind="stable")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for first in range(0, len(order), RECORDS_PER_BATCH):
                    numbers = order[first : first + RECORDS_PER_BATCH].tolist()
                    yield spool.take(content, numbers)
    except OSError as error:
        raise ConfigError(
            f"cannot sort {name}: {reason(error)}; a temporary file takes its rows meanwhile, so "
            "free space, or set TMPDIR to a directory with space"
        ) from error


@dataclass(frozen=True, slots=True)
class _Spool:
    """Where the rows are in a file, which contains the key of each row, and its value behind it.

    Attributes:
        times: Event time of each row.
        bounds: Start of the first key, then the ends of the key and the value of each row.
        is_keyed: Whether each row has a key.
    """

    times: "array[int]" = field(default_factory=partial(array, "q"))
    bounds: "array[int]" = field(default_factory=partial(array, "q", [0]))
    is_keyed: "array[int]" = field(default_factory=partial(array, "b"))

    def take(self, content: mmap.mmap, rows: list[int]) -> RowBatch:
        """Return some rows."""
        bounds = self.bounds
        keys = [
            content[bounds[2 * row] : bounds[2 * row + 1]] if self.is_keyed[row] else None
            for row in rows
        ]
        values = [content[bounds[2 * row + 1] : bounds[2 * row + 2]] for row in rows]
        return RowBatch(values, keys, [self.times[row] for row in rows])


def _spool(batches: Iterator[RowBatch], file: IO[bytes]) -> _Spool:
    """Write the keys and values of all rows to a file."""
    spool, end = _Spool(), 0
    for batch in batches:
        spool.times.extend(batch.timestamps)
        spool.is_keyed.extend(key is not None for key in batch.keys)
        pieces = [p for pair in zip(batch.keys, batch.values, strict=True) for p in pair]
        for piece in pieces:
            end += len(piece or b"")
            spool.bounds.append(end)
        file.write(b"".join(piece or b"" for piece in pieces))
    return spool


def _filled(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the times, with that of the row before for rows without one."""
    rows = np.where(times == NO_TIMESTAMP, -1, np.arange(len(times)))
    last = np.maximum.accumulate(rows)
    return np.where(last < 0, START_MS, times[last])
