"""How one partition's log becomes hidden states and predictions.  Start reading here.

:meth:`Processor.process` takes a micro-batch through five numbered steps:

    1  decode and validate the records; bad records become dead letters
    2  load the hidden states of the batch's keys: from the local cache, or from Redis in one
       atomic read with the position; if the position is not the expected one, nothing is folded
    3  encode, then step round by round: x (B, F), h (B, L, H) -> y (B, O), h
    4  publish predictions, dead letters and the group offset, unless the batch is silent
    5  commit position and hidden states to Redis atomically, if Redis still has the old position

If the process dies between any two lines:

    before 4   nothing has happened; the next start folds the batch again
    within 4   the next start aborts an open transaction and folds the batch again; if the
               transaction is committed, it folds the batch silently
    4 to 5     the batch is published and not folded; the next start folds it silently
    after 5    nothing is left to do

Only :meth:`Processor.run` acts on an error's reaction.  REPOSITION finds the start again, RETRY
repeats the call with a bounded back-off, and an error with any other reaction ends ``run``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from stream_rnn.errors import CorruptStateError, FencedError, StateError
from stream_rnn.fold import micro_batch
from stream_rnn.fold.crash_points import AtCrashPoint, Counts, Point, no_op
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.loop_yield import LoopYield
from stream_rnn.fold.micro_batch import DecodedBatch, SteppedBatch
from stream_rnn.fold.observer import FoldedBatch, NullObserver, Observer
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.outputs import Sink, make_outputs
from stream_rnn.fold.publish_pace import PublishPace
from stream_rnn.fold.publisher import Publisher
from stream_rnn.fold.recovery_facts import FindStart, anchor_of, log_decision
from stream_rnn.fold.schema_calls import KeptSchemas, SchemaCalls
from stream_rnn.fold.slices import count_silent, slice_records
from stream_rnn.fold.source import Fetch, Source
from stream_rnn.fold.step_times import StepTimes
from stream_rnn.fold.store_calls import StoreCalls
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.network import Model
from stream_rnn.settings import FoldSettings
from stream_rnn.store.cache import StateCache, load_states
from stream_rnn.store.retry import RETRY_FIRST_S, RETRY_LAST_S
from stream_rnn.store.state import (
    Anchor,
    Commit,
    FirstPosition,
    StateCodec,
    Store,
    StoredPosition,
)
from stream_rnn.store.sweep import Sweep

logger = logging.getLogger(__name__)

REPOSITIONS_MAX = 20
At = tuple[int, Anchor | None, int | None]  # position, anchor and stream time of a commit


@dataclass(slots=True, kw_only=True)
class Processor:
    """Folds one partition for one assignment.

    Args:
        model: Network that steps the events.
        settings: Limits and names of the fold.
        partition: Number of the source partition.
        fold_id: Fold id of this model and these settings.
        source: Source of the partition's records.
        store: Store of the fold's hidden states.
        publisher: Publisher of the outputs and the group offset.
        recovery: Recovery that decides where the partition starts.
        sink: Sink of predictions and skipped records.
        cache: Cache of hidden states in this process.
        clock: Monotonic clock in seconds, for yields and sweeps; no output depends on it.
        sleep: Function that waits for some seconds between repetitions.
        at_crash_point: Function to call at each :class:`Point`.
        observer: Observer of each micro-batch.
        schemas: Where the schemas of framed records are kept.
    """

    model: Model
    settings: FoldSettings
    partition: int
    fold_id: str
    source: Source
    store: Store
    publisher: Publisher
    recovery: FindStart
    sink: Sink
    cache: StateCache
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = field(default_factory=lambda: asyncio.sleep)
    at_crash_point: AtCrashPoint = no_op
    observer: Observer = NullObserver()  # noqa: RUF009  # it has no state
    schemas: KeptSchemas | None = None
    position: int = -1
    origin: int = -1
    publish_from: int = -1
    number: int = 0
    counts: Counts = field(default_factory=Counts)
    times: StepTimes = field(init=False)
    pace: PublishPace = field(init=False)
    stream_time_ms: int | None = None
    anchor: Anchor | None = None
    is_positioned: bool = False
    acknowledged: GroupOffset | None = None
    is_publisher_started: bool = False
    _yield_to_loop: LoopYield = field(init=False)
    _sweep: Sweep = field(init=False)
    _schemas: SchemaCalls = field(init=False)
    _codec: StateCodec = field(init=False)
    _calls: StoreCalls = field(init=False)

    def __post_init__(self) -> None:
        self.times = StepTimes(self.clock)
        self.pace = PublishPace(self.settings, self.clock)
        self._yield_to_loop = LoopYield(self.clock, self.settings.yield_ms / 1000)
        model = self.model
        codec = self._codec = StateCodec(model.hidden_size_floats, model.tail_size_floats)
        bounds = self.settings, self.place, codec.state_bytes
        self._calls = StoreCalls(self.store, *bounds, clock=self.clock, sleep=self.sleep)
        waits = self.settings, self.place, self.clock, self.sleep, self.schemas, self._calls
        self._schemas = SchemaCalls(model.spec, *waits)
        self._sweep = Sweep(self.settings, codec, self.store, clock=self.clock)

    @property
    def store_error(self) -> str:
        """Why a call of the store or the registry is being repeated; empty if both answer."""
        return self._calls.error or self._schemas.error

    @property
    def place(self) -> str:
        """Name of the partition in messages."""
        return f"{self.settings.source}[{self.partition}]"

    async def run(self) -> None:
        """Start the publisher, then fold until the source ends or the partition is lost.

        Raises:
            StreamRNNError: This worker cannot continue with the partition.
        """
        batches, repeats, is_corrupt = -1, 0, False
        must_start_publisher = not self.is_publisher_started
        while True:
            try:
                if must_start_publisher:
                    await self.publisher.start()  # this decides the outcome of earlier publishes
                    self.recovery.read_outputs_again()
                    self.at_crash_point(Point.FENCED)
                if not self.is_positioned:  # a candidate that is now in charge stands already
                    await self._begin(is_corrupt=is_corrupt)
                take, wait_s = self.source.take, self._sweep.wait_s
                while (fetch := await take(wait_s(self.position))) is not None:
                    await self.fold(fetch)
            except StateError as error:
                repeats = repeats + 1 if batches == self.counts.batches else 0
                batches = self.counts.batches
                is_corrupt = isinstance(error, CorruptStateError)
                must_start_publisher = error.restarts_producer
                self.is_positioned = False
                self.observer.on_reposition(error)
                logger.warning("repositioning: %s partition=%s", error, self.place)
                if repeats >= REPOSITIONS_MAX:
                    message = f"no progress after positioning {repeats} times: {error}"
                    raise FencedError(f"{self.place}: {message}") from error
                await self.sleep(min(RETRY_FIRST_S * 2**repeats, RETRY_LAST_S))
            else:
                return

    async def _begin(self, *, is_corrupt: bool = False) -> None:
        """Decide where to start, write the offsets that the decision demands, and seek."""
        self.cache.clear()
        self._sweep.restart()
        facts, start = await self._calls.retry(
            lambda: self.recovery.find(self.acknowledged, is_corrupt=is_corrupt),
            "read the position",
        )
        self.at_crash_point(Point.POSITIONED)
        log_decision(self.place, self.fold_id, start)
        if start.write_group_offset is not None:
            fold = self.fold_id, start.origin, start.number
            await self._publish([], [], GroupOffset(start.write_group_offset, *fold))
            self.at_crash_point(Point.GROUP_OFFSET_WRITTEN)
        stored = facts.stored
        if start.write_first_position:
            numbers = start.position, start.origin, facts.source_partitions
            first = FirstPosition(*numbers, self.model.numerics(), start.lost)
            await self._calls.retry(
                lambda: self.store.start(facts.stored, first), "write the first position"
            )
            stored = StoredPosition()
            self.at_crash_point(Point.FIRST_POSITION_WRITTEN)
        self.position, self.origin, self.number = start.position, start.origin, start.number
        self.publish_from = start.publish_from
        self.stream_time_ms, self.anchor = stored.stream_time_ms, stored.anchor
        await self._schemas.keep_known()
        self.counts.positioned += 1
        self.observer.on_start(start)
        await self.source.seek(start.position)
        self.is_positioned = True

    async def fold(self, fetch: Fetch) -> None:
        """Fold the records of a fetch in micro-batches.

        Raises:
            StateError: The partition must be repositioned.
        """
        if fetch.records:
            await self.recovery.check_first_offset(self.position, fetch.records[0].offset)
        bounds = *self._calls.bounds, self.publish_from, self.pace
        for records in slice_records(fetch.records, self.settings, *bounds):
            is_last = records[-1] is fetch.records[-1]
            end = records[-1].offset + 1
            await self.process(records, max(fetch.next_position, end) if is_last else end)
        if not fetch.records:
            await self._calls.load(self.position, self.origin, [])
            if fetch.next_position > self.position:
                await self.recovery.check_first_offset(self.position, fetch.next_position)
                await self.process([], fetch.next_position)
            expired = await self._sweep.expired_while_idle(self.position, self.stream_time_ms)
            self.at_crash_point(Point.SWEPT)
            await self._delete(expired)

    async def process(self, records: Sequence[Record], next_position: int) -> None:
        """Take one micro-batch through the five steps.

        Args:
            records: Next records in offset order; empty to cross offsets without a record.
            next_position: Offset at which the next micro-batch begins.

        Raises:
            StateError: The partition must be repositioned.
            FencedError: The outcome of the publish is unknown.
        """
        assert next_position > self.position, "a micro-batch advances the position"
        times = self.times
        times.begin()
        # 1 decode and validate
        batch = await self._schemas.decode(self.model, records, self.stream_time_ms)
        await self._yield_to_loop()
        self.at_crash_point(Point.DECODED)
        times.end("decode")
        # 2 load
        has_state, states = await load_states(
            *(self.cache, self._codec, batch.keys),
            read=lambda keys: self._calls.load(self.position, self.origin, keys),
        )
        self.at_crash_point(Point.LOADED)
        times.end("load")
        # 3 encode and step
        stepped = await micro_batch.step(
            self.model, batch, has_state, states, self.settings.state_ttl_ms, self._yield_to_loop
        )
        self.at_crash_point(Point.STEPPED)
        times.end("step")
        # 4 publish, unless silent
        published = 0
        if next_position > self.publish_from:
            folded = self.model, self.sink, records, batch, stepped
            predictions, dead_letters = make_outputs(
                *folded, origin=self.origin, publish_from=self.publish_from, number=self.number
            )
            offset = GroupOffset(next_position, self.fold_id, self.origin, self.number)
            publishing = len(records) - count_silent(records, self.publish_from)
            await self._publish(predictions, dead_letters, offset, publishing)
            published = len(predictions)
        self.at_crash_point(Point.PUBLISHED)
        times.end("publish")
        # 5 commit
        left = await self._commit(records, batch, stepped, next_position)
        self.at_crash_point(Point.COMMITTED)
        times.end("commit")
        self._count(batch, stepped, published)
        await self._delete(left)

    async def _publish(
        self,
        predictions: list[Message],
        dead_letters: list[Message],
        offset: GroupOffset,
        records: int = 0,
    ) -> None:
        with self.pace.measure(records, len(predictions) + len(dead_letters)):
            await self.publisher.publish(predictions, dead_letters, offset)
        self.acknowledged = offset

    async def _commit(
        self, records: Sequence[Record], batch: DecodedBatch, stepped: SteppedBatch, end: int
    ) -> list[bytes]:
        """Commit states and position, then update the cache; return what expired and is left."""
        keys, states, forgotten = stepped.changes(batch.keys)
        at = end, anchor_of(records[-1]) if records else self.anchor, batch.stream_time_ms
        facts = self.position, batch.stream_time_ms, batch.keys, stepped.created
        expired = await self._sweep.expired(*facts)
        self.at_crash_point(Point.SWEPT)
        writes = list(zip(keys, self._codec.encode(states), strict=True))
        deleted = await self._write(at, writes, forgotten, expired)
        self._calls.note_success(records)
        self.cache.drop(forgotten)
        self.cache.put(keys, states)
        if self.position < self.publish_from <= end:
            logger.info("publishing resumed partition=%s position=%d", self.place, end)
        self.position, self.anchor, self.stream_time_ms = at
        return expired[deleted:]

    async def _write(
        self, at: At, writes: list[tuple[bytes, bytes]], deletes: list[bytes], expired: list[bytes]
    ) -> int:
        """Commit, and delete those first expired states for which the commit has room."""
        position, anchor, stream_time_ms = at
        commit = Commit(
            expected_position=self.position,
            origin=self.origin,
            position=position,
            anchor=anchor,
            stream_time_ms=stream_time_ms,
            numerics=self.model.numerics(),
            writes=writes,
            deletes=deletes,
        )
        deleted = await self._calls.commit(commit, expired)
        self.cache.drop(expired[:deleted])
        return deleted

    async def _delete(self, expired: list[bytes]) -> None:
        """Delete expired states; position and predictions do not change."""
        while expired:
            at = self.position, self.anchor, self.stream_time_ms
            deleted = await self._write(at, [], [], expired)
            self.at_crash_point(Point.COMMITTED)
            if not deleted:  # the next scan finds them
                self._sweep.restart()
                return
            expired = expired[deleted:]

    def _count(self, batch: DecodedBatch, stepped: SteppedBatch, published: int) -> None:
        self.counts.add(batch.decoded, stepped.errors, published)
        self.times.events += len(batch.decoded.rows)
        hits, misses = self.cache.last_counts
        done = batch, stepped, self.times.last
        self.observer.on_batch(FoldedBatch(*done, published=published, hits=hits, misses=misses))
