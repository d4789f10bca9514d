"""Public test helpers: an in-memory log, source, publisher and store, and crashes.

The store and the publisher keep the contracts of the real ones (``tests/integration`` runs the
same contract tests over both), so a fold can be tested without any server:

    log = MemoryLog([record(0, b"UA", {"delay": 3}), record(1, b"AA", {"delay": 40})])
    store = MemoryStore()
    await memory_processor(model, log, store).run()
    log.predictions, store.states

``check_cell`` checks a cell of your own, see ``cells.py``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_rnn.errors import FencedError
from stream_rnn.fold.assemble import build_processor
from stream_rnn.fold.crash_points import AtCrashPoint, Point, no_op
from stream_rnn.fold.decoder import LogRecord, Record
from stream_rnn.fold.facts import LastOutput, last_of
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.recovery_facts import Topics
from stream_rnn.fold.source import Fetch
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.network import Model
from stream_rnn.predictions.cut_over import parse_number
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.predictions.writer import JSON
from stream_rnn.settings import Settings
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.testing.cells import CellReport, check_cell

__all__ = [
    "CellReport",
    "Crash",
    "MemoryLog",
    "MemoryPublisher",
    "MemorySource",
    "MemoryStore",
    "check_cell",
    "memory_processor",
    "record",
]


class Crash(BaseException):
    """Simulates the death of the process; no code may catch it."""


def record(
    offset: int, key: bytes | None, event: Mapping[str, Any] | bytes | None, timestamp: int = 0
) -> LogRecord:
    """Return a record; a mapping is encoded as JSON, and ``None`` makes a forget."""
    value = event if isinstance(event, bytes | None) else json.dumps(event).encode()
    return LogRecord(offset, timestamp, key, value)


@dataclass(slots=True)
class MemoryLog:
    """A :class:`fold.recovery_facts.Log` in memory: a source partition and its outputs.

    Attributes:
        records: Records in offset order; offsets may be missing.
        log_start_offset: Log start; earlier records are no longer available.
        end_offset: Minimum log end; ``None`` for the offset after the last record.
        group: Group offset.
        predictions: Committed predictions, in order.
        dead_letters: Committed dead letters, in order.
        source_partitions: See :class:`fold.recovery_facts.Topics`.
        predictions_partitions: See :class:`fold.recovery_facts.Topics`.
        is_compacted: See :class:`fold.recovery_facts.Topics`.
        epoch: Producer epoch of the partition's transactional id.
    """

    records: list[LogRecord]
    log_start_offset: int = 0
    end_offset: int | None = None
    group: GroupOffset | None = None
    predictions: list[Message] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    source_partitions: int = 1
    predictions_partitions: int = 1
    is_compacted: bool = False
    epoch: int = 0

    async def log_start(self) -> int:
        """Return the log start."""
        return self.log_start_offset

    async def log_end(self) -> int:
        """Return the log end."""
        after = self.records[-1].offset + 1 if self.records else self.log_start_offset
        return max(after, self.end_offset or 0, self.log_start_offset)

    async def group_offset(self) -> GroupOffset | None:
        """Return the group offset."""
        return self.group

    async def last_output(self, number_min: int = 0) -> LastOutput | None:
        """Return the last committed output: a prediction, or a dead letter that names its fold."""
        last = (
            self._last_output_in(topic, number_min)
            for topic in (self.predictions, self.dead_letters)
        )
        return last_of(filter(None, last))

    def _last_output_in(self, messages: list[Message], number_min: int) -> LastOutput | None:
        best: LastOutput | None = None
        for message in reversed(messages):
            headers, number = dict(message.headers), parse_number(message.headers)
            if "sr-fold" not in headers or (best is not None and number <= best.number):
                continue
            fold, origin = headers["sr-fold"].decode(), int(headers["sr-origin"])
            best = LastOutput(int(headers["sr-offset"]), fold, origin, message.timestamp, number)
            if number >= number_min:
                break
        return best

    async def record_at(self, offset: int) -> Record | None:
        """Return the record at an offset; ``None`` if there is none."""
        return next((r for r in self.available() if r.offset == offset), None)

    async def topics(self) -> Topics:
        """Return the partition counts and the cleanup policy."""
        return Topics(self.source_partitions, self.predictions_partitions, self.is_compacted)

    def available(self) -> Iterator[LogRecord]:
        """Yield the records from the log start on."""
        return (r for r in self.records if r.offset >= self.log_start_offset)


@dataclass(slots=True)
class MemoryPublisher:
    """A :class:`fold.publisher.Publisher` that publishes to a :class:`MemoryLog`.

    Attributes:
        log: Log to publish to.
        is_transactional: Whether to publish in transactions (``exactly_once``), which the next
            start of a publisher fences.
        crash_after: Number of messages after which a publisher without transactions raises
            :class:`Crash`; ``None``: never.
        at_crash_point: Function to call at each :class:`fold.crash_points.Point`.
    """

    log: MemoryLog
    is_transactional: bool = True
    crash_after: int | None = None
    at_crash_point: AtCrashPoint = no_op
    _epoch: int = 0

    async def start(self) -> None:
        """Fence the previous owner."""
        if self.is_transactional:
            self.at_crash_point(Point.CONNECTED)
            self.at_crash_point(Point.EARLIER_FENCED)
            self.log.epoch += 1
            self.at_crash_point(Point.CLOSING)
        self._epoch = self.log.epoch

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,
    ) -> None:
        """Publish outputs and group offset."""
        if self.is_transactional and self._epoch != self.log.epoch:
            raise FencedError(f"epoch {self._epoch} is fenced by {self.log.epoch}")
        log = self.log
        sent: tuple[list[Message], list[Message]] | None
        sent = ([], []) if self.is_transactional else None
        self.at_crash_point(Point.BEGUN)
        self._send(sent[0] if sent else log.dead_letters, dead_letters)
        self.at_crash_point(Point.DEAD_LETTERS_SENT)
        self._send(sent[1] if sent else log.predictions, predictions)
        self.at_crash_point(Point.PREDICTIONS_SENT)
        self._die_when_due()
        if not sent:
            log.group = group_offset
        self.at_crash_point(Point.OFFSET_SENT)
        if sent:  # all or nothing
            log.dead_letters.extend(sent[0])
            log.predictions.extend(sent[1])
            log.group = group_offset

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    def _send(self, out: list[Message], messages: Sequence[Message]) -> None:
        for message in messages:
            self._die_when_due()
            out.append(message)
            self.at_crash_point(Point.BATCH_SENT)

    def _die_when_due(self) -> None:
        if self.crash_after is not None and not self.is_transactional:
            if self.crash_after == 0:
                raise Crash
            self.crash_after -= 1


class MemorySource:
    """A :class:`fold.source.Source` that reads a :class:`MemoryLog` in fetches of given sizes.

    Args:
        log: Log to read.
        sizes: Number of records of each fetch; the fetch after the last size has all the rest.
    """

    def __init__(self, log: MemoryLog, sizes: Iterable[int] = ()) -> None:
        self._log = log
        self._sizes = iter(sizes)
        self._position = 0

    async def seek(self, position: int) -> None:
        """Deliver records from this offset on."""
        self._position = position

    async def take(self, timeout_s: float) -> Fetch | None:  # noqa: ARG002  # nothing to wait for
        """Return the next records; ``None`` at the log end."""
        left = [r for r in self._log.available() if r.offset >= self._position]
        end = await self._log.log_end()
        if not left:
            moved, self._position = end > self._position, max(end, self._position)
            return Fetch([], end) if moved else None
        records = left[: max(1, next(self._sizes, len(left)))]
        self._position = records[-1].offset + 1
        return Fetch(records, self._position)


def memory_processor(
    model: Model,
    log: MemoryLog,
    store: MemoryStore,
    settings: Settings | None = None,
    *,
    sizes: Iterable[int] = (),
    partition: int = 0,
    publisher: MemoryPublisher | None = None,
    wire: Wire = JSON,
    cache_bytes_max: int = 1_000_000,
    at_crash_point: AtCrashPoint = no_op,
) -> Processor:
    """Return a real processor whose log, source, store and publisher are in memory.

    Args:
        model: Network that steps the events.
        log: Log to fold, which also receives the outputs.
        store: Store of the hidden states.
        settings: Settings of the fold; ``None`` for defaults.
        sizes: Number of records of each fetch; see :class:`MemorySource`.
        partition: Number of the source partition.
        publisher: Publisher of the outputs; ``None`` for a transactional one.
        wire: Format of the predictions.
        cache_bytes_max: Bytes of hidden states to cache.
        at_crash_point: Function to call at each :class:`fold.crash_points.Point`.
    """
    settings = settings or Settings.build(app="app", source="events", predictions="predictions")
    return build_processor(
        model=model,
        settings=settings.of_fold(needs=()),
        partition=partition,
        source=MemorySource(log, sizes),
        store=store,
        log=log,
        wire=wire,
        publisher=publisher or MemoryPublisher(log, at_crash_point=at_crash_point),
        cache_bytes=cache_bytes_max,
        at_crash_point=at_crash_point,
    )
