"""Audit: a range of the source is folded again and held against what production published.

For each partition

1  the range ends at the group offset, read first: all below it has been published
2  the outputs of the range are read, wherever they stand in their topics
3  the range is folded by the worker's own processor, from each origin that the predictions name
4  offset by offset: missing, duplicated, different, unexpected; and dead letters likewise
5  what seems missing at the end is looked for again: a transaction's marker can be a little late
6  what was not looked at is said

A prediction is compared byte for byte where its memory lies wholly in the range: production's
``steps`` equals the replay's.  Of the others it is checked that they can be right; see
``audit/memories.py``.

Memory, one partition after the other and however much is wrong: 43 bytes an offset of the range
and for a moment 24 more; as many where another fold published; 8 for each output, and for each
that another machine computed; 45 for each dead letter; and for each key its hidden state, as in
every replay, with a few hundred bytes.  Besides, what seems missing is kept whole until step 5: of
predictions and of dead letters at most ``ABSENT_MAX`` and ``ABSENT_BYTES_MAX``, which is some
200 MB for each of the two; beyond that the first ones are called missing at once.  A range of more
than ``OFFSETS_MAX`` offsets is refused.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from stream_rnn.audit.comparison import Comparison
from stream_rnn.audit.dead_letters import DeadLetters
from stream_rnn.audit.differences import differences, printable_bytes
from stream_rnn.audit.examples import Near, Told
from stream_rnn.audit.published import Bounds, OutputOwner, Published
from stream_rnn.audit.range_notes import (
    say_dead_letters,
    say_group_offset,
    say_nobody,
    say_outputs,
    say_range,
)
from stream_rnn.audit.result import Audit, Choice, Finding, is_close
from stream_rnn.audit.segments import Segment, segments_of
from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.keys import describe_key
from stream_rnn.model.heads import Multiclass
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import Range, TopicLog
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import FoldSettings

NEARLY_MAX = 1000
SAME_COPIES = "the same, but another copy of it is not"
SAME_STEPS = (
    "the same, but these steps are impossible: the key's other predictions show that its memory "
    "began before the range"
)

WHOLE = {"dead_letter_bytes_max": 1 << 40, "output_batch_bytes_max": 1 << 40}
"""How much production kept is unknown: compare what it did with the whole record."""

LOOK_AGAIN_S = 0.25

Telling = Callable[[str, int, int | None], None]


async def audit(
    log: TopicLog,
    model: Model,
    settings: FoldSettings,
    choice: Choice,
    partitions: Sequence[int] = (),
    told: Telling = lambda _name, _records, _total: None,
) -> Audit:
    """Audit a range of the source topic.

    Args:
        log: the range, opened.
        model: the bundle that production has.
        settings: app, source, predictions and all that is in the fold id.
        choice: which keys.
        partitions: these alone; all if there is none.
        told: what is read, how many records more, and how many there may be.

    Raises:
        ConfigError: a topic or a partition does not exist, or an output has another number of
            partitions than the source.
    """
    found = Audit()
    ranges = await log.ranges()
    await _check_partitions(log, settings, len(ranges), partitions)
    for wanted in ranges:
        if not partitions or wanted.partition in partitions:
            await _Partition(log, model, settings, choice, found, wanted, told).audit()
    if found.is_empty:
        why = "of the chosen keys " if not choice.is_all else ""
        found.problems.append(
            f"nothing was compared: no output {why}in the range is of a record that is still "
            "there, of this fold, and of a memory that began in the range; what was left out and "
            "why is said above"
        )
    return found


async def _check_partitions(
    log: TopicLog, settings: FoldSettings, count: int, partitions: Sequence[int]
) -> None:
    if unknown := [partition for partition in partitions if partition >= count]:
        raise ConfigError(
            f"topic {log.topic} has partitions 0 to {count - 1}, none with number {unknown[0]}; "
            "check --partition"
        )
    predictions, dead_letters = settings.predictions, settings.dead_letters_topic
    topics = await log.cluster.topics(log.topic, predictions, dead_letters)
    held = topics[predictions].partitions
    if held != count or topics[dead_letters].partitions < count:
        wrong = predictions if held != count else dead_letters
        raise ConfigError(
            f"topic {wrong} has {topics[wrong].partitions} partitions, {log.topic} has {count}: "
            "a worker answers in the partition that it read; check --predictions, --dead-letters "
            "and --source"
        )


class _Partition:
    """The audit of one partition."""

    def __init__(
        self,
        log: TopicLog,
        model: Model,
        settings: FoldSettings,
        choice: Choice,
        found: Audit,
        wanted: Range,
        told: Telling,
    ) -> None:
        self.log, self.model, self.settings, self.choice = log, model, settings, choice
        self.found, self.wanted, self.told = found, wanted, told
        self.name = f"{log.topic}[{wanted.partition}]"
        identity = fold_id(model.fingerprint, settings)
        self.who = OutputOwner(settings.app, identity, log.topic, wanted.partition)
        heads = (head for head in model.spec.heads if isinstance(head, Multiclass))
        self.labels = {head.name: frozenset(head.labels) for head in heads}
        self.shown: dict[str, int] = {}
        self.of_range = KafkaLog(log.cluster, settings, wanted.partition)

    async def audit(self) -> None:
        # 1 the range ends at the group offset
        wanted, say = self.wanted, (self.found, self.name)
        log_start, log_end = await self.of_range.log_start(), await self.of_range.log_end()
        c = await self._group_offset(log_start, log_end)
        start = max(wanted.start, log_start)
        end = max(start, min(wanted.end or 0, c.offset if c else 0, log_end))
        self.found.ranges[wanted.partition] = (start, end)
        # 2 what was published
        bounds = Bounds(start, end, c.offset if c else 0, log_end)
        await self._read(bounds)
        if c is None:
            say_nobody(*say, self.who, self.published, log_start, log_end)
        else:
            asked, ends = (self.log.first, self.log.last), (log_start, log_end)
            say_range(*say, asked, wanted.end or 0, ends, bounds)
        # 3 fold again, from each origin
        held = c.origin if c is not None and c.fold_id == self.who.fold else None
        named, owner = self.dead.origin, self.comparison.owner
        origin = held if named is None else named
        for segment in segments_of(self.published, owner, origin) if end > start else ():
            await self._fold(segment)
        # 4 what nobody should have published
        self.comparison.finish()
        # 5 what seems missing is looked for again
        await self._look_again()
        # 6 what was not looked at
        await self._check_ahead(c)
        await self._settle()
        say_outputs(*say, self.who, self.published, is_from_start=self.log.first is None)
        say_dead_letters(self.found, self.dead)
        self.found.other_folds += int(self.published.other_fold_count.sum(dtype=np.int64))
        for fold, count in self.published.folds.items():
            self.found.folds[fold] = self.found.folds.get(fold, 0) + count

    async def _group_offset(self, log_start: int, log_end: int) -> GroupOffset | None:
        """Return the group offset; where there is none, what the last output says."""
        c = await self.of_range.group_offset()
        said = c
        if c is None and (last := await self.of_range.last_prediction()) is not None:
            said = GroupOffset(last.offset + 1, last.fold_id, last.origin)
        say_group_offset(self.found, self.name, self.who, c, said, log_start, log_end)
        return said

    async def _read(self, bounds: Bounds) -> None:
        cluster, settings, takes = self.log.cluster, self.settings, self.choice.takes
        self.published = Published(
            cluster, settings.predictions, self.who, bounds, self.model.numerics(), takes
        )
        self.dead = DeadLetters(cluster, settings.dead_letters_topic, self.who, bounds, takes)
        await self._read_more()
        ttl_ms = settings.state_ttl_ms
        self.comparison = Comparison(self.published, self.dead, self.choice, self.found, ttl_ms)

    async def _read_more(self) -> None:
        async for records in self.published.read():
            self.told(f"{self.settings.predictions}[{self.wanted.partition}]", records, None)
        await self.dead.read()

    async def _fold(self, segment: Segment) -> None:
        comparison = self.comparison
        comparison.begin(segment)
        predictions: list[Message] = []
        dead_letters: list[Message] = []

        def emit(some: Sequence[Message], dead: Sequence[Message]) -> None:
            predictions.extend(some)
            dead_letters.extend(dead)

        async def batches() -> AsyncIterator[Sequence[Record]]:
            part = Range(segment_of, segment.begin, segment.end)
            async for records in self.log.batches(part):
                yield self._needed(records)
                comparison.take(records, predictions, dead_letters)
                predictions.clear()
                dead_letters.clear()
                await self._settle()
                self.told(self.name, len(records), segment.end - segment.begin)

        segment_of = self.wanted.partition
        place = segment_of, segment.begin
        settings = self.settings.model_copy(update=WHOLE)
        await replay_partition(self.model, settings, *place, batches(), emit)

    def _needed(self, records: Sequence[Record]) -> Sequence[Record]:
        """Leave out what changes nothing: other keys' records, where they expire nobody."""
        if self.choice.is_all or self.settings.state_ttl is not None:
            return records
        return [record for record in records if self.choice.takes(record.key)]

    async def _look_again(self) -> None:
        """Read the outputs' ends again until nothing is missing, or markers cannot be late."""
        comparison = self.comparison
        deadline = time.monotonic() + self.settings.transaction_timeout_ms / 1000
        while comparison.may_arrive() and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_AGAIN_S)
            await self._read_more()
            comparison.arrived()
        for offset in sorted(comparison.absent):
            comparison.tell_missing(offset)
        for offset in sorted(comparison.absent_dead):
            comparison.tell_missing_dead(offset)

    async def _check_ahead(self, c: GroupOffset | None) -> None:
        """Find predictions of no record, and such as the group offset does not know of."""
        published, log_end = self.published, await self.of_range.log_end()
        tell = self.comparison.telling.tell
        for offset, place in published.ahead:
            if not 0 <= offset < log_end:
                tell("unexpected", offset, places=(place,))
        for _, offset, place in published.misplaced:
            tell("unexpected", offset, places=(place,))
        for offset in self.dead.beyond:
            if not 0 <= offset < log_end:
                tell("dead_letters_unexpected", offset)
        for _, offset in self.dead.misplaced:
            tell("dead_letters_unexpected", offset)
        ahead = [o for o, _ in published.ahead if 0 <= o < log_end]
        if ahead and c is not None and self.settings.delivery == "exactly_once":
            await self._wait_for_group_offset(max(ahead))

    async def _wait_for_group_offset(self, offset: int) -> None:
        """Say that the group offset stays behind a prediction that left in its transaction."""
        deadline = time.monotonic() + self.settings.transaction_timeout_ms / 1000
        while True:
            c = await self.of_range.group_offset()
            if c is None or c.offset > offset:
                return
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
        self.found.problems.append(
            f"{self.name}: the group offset is {c.offset}, but {self.published.name} holds the "
            f"prediction of offset {offset}: somebody set the group offset back, or wrote the "
            "prediction; what lies between was not compared"
        )

    async def _settle(self) -> None:
        """Compare by value what must be, and keep the examples."""
        comparison = self.comparison
        nearly = comparison.nearly
        for first in range(0, len(nearly), NEARLY_MAX):
            some = nearly[first : first + NEARLY_MAX]
            values = await self.published.values(place for near in some for place in near.places)
            self.found.other_numerics += len(some)
            for near in some:
                right = near.message.value if near.is_known else values.get(near.places[0])
                for place in near.places:
                    if not is_close(values.get(place, b""), right or b"", self.labels):
                        comparison.tell_not_near(near, place)
                        break
        nearly.clear()
        await self._check_letters(comparison.unsure)
        comparison.unsure.clear()
        for told in comparison.telling.told:
            await self._tell(told)
        comparison.telling.told.clear()

    async def _check_letters(self, unsure: Sequence[Near]) -> None:
        """Hold copies of dead letters that keep another share of the record against it."""
        right = {place: near.message for near in unsure for place in near.places}
        wrong = set(right)
        async for record in self.dead.records(right):
            if not differences(record, right[record.offset], is_dead_letter=True):
                wrong.discard(record.offset)
        for near in unsure:
            if (place := next((p for p in near.places if p in wrong), None)) is not None:
                self.comparison.tell_not_near(near, place, "dead_letters_different")

    async def _tell(self, told: Told) -> None:
        """Keep a finding as an example, if there are not enough of its kind."""
        if self.shown.get(told.kind, 0) >= self.choice.examples:
            return
        self.shown[told.kind] = self.shown.get(told.kind, 0) + 1
        name = "" if told.key is None else describe_key(told.key)
        published, replayed, parts = await self._sides(told)
        place = told.kind, self.wanted.partition, told.offset
        finding = Finding(*place, key=name, published=published, replayed=replayed, parts=parts)
        self.found.examples.append(finding)

    async def _sides(self, told: Told) -> tuple[str | None, str | None, tuple[str, ...]]:
        """Return what is there, what should be there, and the names of the parts that differ."""
        is_dead_letter = told.kind.startswith("dead_letters")
        output = self.dead if is_dead_letter else self.published
        records = [record for place in told.places if (record := await output.record(place))]
        first = records[0].value if records else told.published
        if told.expected is None or not records:
            expected = told.expected.value if told.expected else told.replayed
            return printable_bytes(first), printable_bytes(expected), ()
        for record in records:
            if found := differences(record, told.expected, is_dead_letter=is_dead_letter):
                published = "; ".join(f"{one.part} {one.published}" for one in found)
                replayed = "; ".join(f"{one.part} {one.replayed}" for one in found)
                return published, replayed, tuple(one.part.split()[0] for one in found)
        if output.is_unlike(told.offset):
            return printable_bytes(first), SAME_COPIES, ("copies",)
        return printable_bytes(first), SAME_STEPS, ("steps",)
