"""Replay of one partition: the worker's processor on a range of records, with states in memory.

It writes nothing to Kafka or Redis; the caller gets predictions and dead letters.  For the same
records, torch build and CPU type, they equal byte for byte what a worker publishes.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from stream_rnn.fold.assemble import build_processor
from stream_rnn.fold.crash_points import Counts
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.observer import Observer
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.outputs import Sink
from stream_rnn.fold.recovery import LastOutput, RecoveryOptions
from stream_rnn.fold.recovery_facts import Topics
from stream_rnn.fold.source import Fetch
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.network import Model
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.predictions.writer import JSON
from stream_rnn.settings import Settings
from stream_rnn.store.memory_store import MemoryStore

CACHE_BYTES_MAX = 1_000_000_000
END = 1 << 62
OTHER_FOLD = "0" * 12

Emit = Callable[[Sequence[Message], Sequence[Message]], None]


@dataclass(slots=True)
class _RangeLog:
    """A log that starts at the start of the range.

    Attributes:
        start: First offset of the range.
        is_published: Whether another fold has published everything, so that this one is silent.
    """

    start: int
    is_published: bool = False

    async def log_start(self) -> int:
        return self.start

    async def log_end(self) -> int:
        return END

    async def group_offset(self) -> GroupOffset | None:
        return GroupOffset(END, OTHER_FOLD, 0) if self.is_published else None

    async def last_output(self, number_min: int = 0) -> LastOutput | None:  # noqa: ARG002  # see above
        return None

    async def record_at(self, offset: int) -> Record | None:  # noqa: ARG002  # nothing is compared
        return None

    async def topics(self) -> Topics:
        return Topics(1, 1, is_compacted=False)


@dataclass(slots=True)
class _BatchSource:
    """A source that reads from an iterator of batches."""

    batches: AsyncGenerator[Sequence[Record]]

    async def seek(self, position: int) -> None:
        """Do nothing: the batches begin at the start of the range."""

    async def take(self, timeout_s: float) -> Fetch | None:  # noqa: ARG002  # a range does not wait
        async for records in self.batches:
            if records:
                return Fetch(records, records[-1].offset + 1)
        return None


@dataclass(slots=True)
class _EmittingPublisher:
    """A publisher that passes all records to a callback."""

    emit: Emit

    async def start(self) -> None:
        """Do nothing."""

    async def publish(
        self,
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
        group_offset: GroupOffset,  # noqa: ARG002  # there is no group
    ) -> None:
        self.emit(predictions, dead_letters)

    async def close(self) -> None:
        """Do nothing."""


async def replay_partition(
    model: Model,
    settings: Settings,
    partition: int,
    start: int,
    batches: AsyncGenerator[Sequence[Record]],
    emit: Emit,
    *,
    sink: Sink | None = None,
    wire: Wire = JSON,
    store: MemoryStore | None = None,
    observer: Observer | None = None,
    is_silent: bool = False,
) -> Counts:
    """Fold the records of one partition.

    Args:
        model: The model.
        settings: Settings with app, source, and everything that is part of the fold id.
        partition: Number of the source partition.
        start: Offset at which the fold begins.
        batches: Records in offset order, in batches of any size.
        emit: Called with the predictions and dead letters of each micro-batch.
        sink: Receiver of the outputs; ``None`` to emit the records that a worker publishes.
        wire: Format of the emitted predictions.
        store: Store of the hidden states; ``None`` for a new one in memory.
        observer: Observer of each micro-batch; ``None`` to observe nothing.
        is_silent: Whether to make no outputs, as a fold that is behind another one's group offset.

    Returns:
        Counts of events, predictions and skips.
    """
    processor = build_processor(
        model=model,
        settings=settings.of_fold(needs=()),
        partition=partition,
        source=_BatchSource(batches),
        store=MemoryStore() if store is None else store,
        log=_RangeLog(start, is_silent),
        publisher=_EmittingPublisher(emit),
        cache_bytes=CACHE_BYTES_MAX,
        sink=sink,
        wire=wire,
        options=RecoveryOptions(),
        observer=observer,
    )
    async with aclosing(batches):  # the reader must end before the loop that it needs
        await processor.run()
    return processor.counts


async def in_batches(
    records: Iterable[Record], size: int = 4096
) -> AsyncGenerator[Sequence[Record]]:
    """Yield records in batches of at most ``size``."""
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
