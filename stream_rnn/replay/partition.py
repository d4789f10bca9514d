"""Replay: the worker's own processor over a bounded range, with states in memory.

Nothing real is written: predictions and dead letters go to whoever asked.  For the same records
and partitions they equal, byte for byte, what a worker publishes, where torch's build and the
CPU's type are the same.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from stream_rnn.fold.assemble import build_processor
from stream_rnn.fold.crash_points import Counts
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.outputs import Sink
from stream_rnn.fold.recovery import LastOutput, RecoveryOptions
from stream_rnn.fold.recovery_facts import Topics
from stream_rnn.fold.source import Fetch
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.store.memory_store import MemoryStore

CACHE_BYTES_MAX = 1_000_000_000
END = 1 << 62

Emit = Callable[[Sequence[Message], Sequence[Message]], None]


@dataclass(slots=True)
class _Range:
    """A log that begins where the range begins, and of which nothing was published."""

    start: int

    async def log_start(self) -> int:
        return self.start

    async def log_end(self) -> int:
        return END

    async def group_offset(self) -> GroupOffset | None:
        return None

    async def last_output(self) -> LastOutput | None:
        return None

    async def record_at(self, offset: int) -> Record | None:  # noqa: ARG002  # nothing is compared
        return None

    async def topics(self) -> Topics:
        return Topics(1, 1, is_compacted=False)


@dataclass(slots=True)
class _Batches:
    """A source of batches that somebody else reads."""

    batches: AsyncIterator[Sequence[Record]]

    async def seek(self, position: int) -> None:
        """Do nothing: the batches begin where the range begins."""

    async def take(self, timeout_s: float) -> Fetch | None:  # noqa: ARG002  # a range does not wait
        async for records in self.batches:
            if records:
                return Fetch(records, records[-1].offset + 1)
        return None


@dataclass(slots=True)
class _Emitter:
    """A publisher that hands everything on."""

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
    batches: AsyncIterator[Sequence[Record]],
    emit: Emit,
    *,
    sink: Sink | None = None,
    store: MemoryStore | None = None,
) -> Counts:
    """Fold one partition's records.

    Args:
        model: what is stepped.
        settings: names of app and source, and all that is in the fold id.
        partition: number of the source partition.
        start: offset at which the fold begins.
        batches: the records, in offset order, in batches of any size.
        emit: told the predictions and dead letters of each micro-batch.
        sink: takes what is predicted; ``None``: what a worker publishes is emitted.
        store: holds the states; ``None``: a new one in memory.

    Returns:
        What happened.
    """
    processor = build_processor(
        model=model,
        settings=settings.of_fold(needs=()),
        partition=partition,
        source=_Batches(batches),
        store=MemoryStore() if store is None else store,
        log=_Range(start),
        publisher=_Emitter(emit),
        cache_bytes=CACHE_BYTES_MAX,
        sink=sink,
        options=RecoveryOptions(),
    )
    await processor.run()
    return processor.counts


async def in_batches(
    records: Iterable[Record], size: int = 4096
) -> AsyncIterator[Sequence[Record]]:
    """Yield records in batches."""
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
