"""The audit of one source partition.

1  read the group offset, at which the range ends: everything below it has been published
2  read the outputs of the range, wherever they are in their topics
3  fold the range by the worker's own processor, from each origin that the predictions name, and
   compare offset by offset: predictions and dead letters that are missing, duplicated or different
4  find outputs that the replay does not have
5  read the ends of the output topics again, for outputs that seem to be missing: the marker of a
   transaction can be a little late
6  report what was not compared
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import numpy as np

from stream_rnn.audit.audited_keys import AuditedKeys
from stream_rnn.audit.comparison import Comparison
from stream_rnn.audit.dead_letters import DeadLetters
from stream_rnn.audit.differences import differences, printable_bytes
from stream_rnn.audit.findings import PendingExample, ValueComparison
from stream_rnn.audit.framed_values import PublishedSchemas, check_schema_ids, in_json
from stream_rnn.audit.notes import (
    note_group_offset,
    note_missing_range,
    note_uncompared_dead_letters,
    note_uncompared_predictions,
    note_unfolded_partition,
)
from stream_rnn.audit.published_predictions import Bounds, OutputOwner, PublishedPredictions
from stream_rnn.audit.result import AuditOptions, AuditResult, Finding, is_close
from stream_rnn.audit.segments import Segment, segments_of
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.envelope import Envelope
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.fold.framed import open_framed
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.keys import describe_key
from stream_rnn.model.heads import Multiclass
from stream_rnn.model.network import Model
from stream_rnn.predictions.decoder import as_json
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.replay.logs import Range, TopicLog
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import FoldSettings

VALUE_COMPARISONS_MAX = 1000  # in one read
SAME_COPIES = "the same, but another copy differs"
SAME_STEPS = (
    "the same, but these steps are impossible: the key's other predictions show that its memory "
    "began before the range"
)

UNCUT = {"dead_letter_bytes_max": 1 << 40, "output_batch_bytes_max": 1 << 40}
"""Limits with which the replay cuts no dead letter, because production's limits are unknown."""

REREAD_INTERVAL_S = 0.25

ProgressCallback = Callable[[str, int, int | None], None]


class PartitionAudit:
    """Audits one partition and adds its findings to a result.

    Args:
        log: The opened range of the source topic.
        model: The bundle that production uses.
        settings: Settings of the fold.
        options: The keys to compare, and the number of examples.
        result: The result to add to.
        keys: The keys that the audit reads.
        registry: The schemas of predictions.
        source_range: The range of the partition.
        on_progress: See :func:`stream_rnn.audit.audit.audit`.
    """

    def __init__(
        self,
        log: TopicLog,
        model: Model,
        settings: FoldSettings,
        options: AuditOptions,
        result: AuditResult,
        keys: AuditedKeys,
        registry: PublishedSchemas,
        source_range: Range,
        on_progress: ProgressCallback,
    ) -> None:
        self.log, self.model, self.settings, self.options = log, model, settings, options
        self.result, self.source_range, self.on_progress = result, source_range, on_progress
        self.keys, self.registry, self.partition = keys, registry, source_range.partition
        self.name = f"{log.topic}[{self.partition}]"
        identity = fold_id_of(model, settings)
        self.owner = OutputOwner(settings.app, identity, log.topic, self.partition)
        heads = (head for head in model.spec.heads if isinstance(head, Multiclass))
        self.labels = {head.name: frozenset(head.labels) for head in heads}
        self.example_counts: dict[str, int] = {}
        self.kafka_log = KafkaLog(log.cluster, settings, self.partition)
        self.decoder = model_decoder(model, registry.schemas)
        self.wire = Wire(settings.predictions_format, settings.predictions_schema_id or 0)
        self.envelope = Envelope(model.spec.event, settings, open_framed(model.spec, settings))

    async def audit(self) -> None:
        """Audit the partition; call this once."""
        # 1 the range ends at the group offset
        where, range_end = (self.result, self.name), self.source_range.end or 0
        log_start, log_end = await self.kafka_log.log_start(), await self.kafka_log.log_end()
        committed = await self._read_group_offset(log_start, log_end)
        published_end = committed.offset if committed else 0
        start = max(self.source_range.start, log_start)
        end = max(start, min(range_end, published_end, log_end))
        self.result.ranges[self.partition] = (start, end)
        # 2 read the outputs
        bounds = Bounds(start, end, published_end, log_end)
        await self._read_outputs(bounds)
        if committed is None:
            note_unfolded_partition(*where, self.owner, self.published, log_start, log_end)
        else:
            requested = self.log.first, self.log.last
            note_missing_range(*where, requested, range_end, (log_start, log_end), bounds)
        # 3 fold again, from each origin, and compare
        segments = self._segments(committed) if end > start else ()
        filtered = [await self._fold(segment) for segment in segments]
        self.result.filtered += max(filtered, default=0)  # a record may be in several segments
        self.keys.end_partition(self.partition)
        # 4 find outputs that the replay does not have
        self.comparison.finish()
        # 5 read the ends of the output topics again
        await self._wait_for_late_outputs()
        # 6 report what was not compared
        await self._check_outside_range(committed)
        await self._process_pending()
        is_from_start = self.log.first is None
        note_uncompared_predictions(*where, self.owner, self.published, is_from_start=is_from_start)
        note_uncompared_dead_letters(self.result, self.dead_letters)
        check_schema_ids(*where, self.published, self.settings, self.registry)
        count = int(self.published.other_fold_count.sum(dtype=np.int64))
        self.result.add_other_folds(count, self.published.other_folds_by_id)

    async def _read_group_offset(self, log_start: int, log_end: int) -> GroupOffset | None:
        """Return the group offset; without one, return what the last output implies."""
        committed = effective = await self.kafka_log.group_offset()
        if committed is None and (last := await self.kafka_log.last_output()) is not None:
            effective = GroupOffset(last.offset + 1, last.fold_id, last.origin)
        ends = log_start, log_end
        note_group_offset(self.result, self.name, self.owner, committed, effective, *ends)
        return effective

    async def _read_outputs(self, bounds: Bounds) -> None:
        cluster, settings, includes_key = self.log.cluster, self.settings, self.options.includes_key
        self.published = PublishedPredictions(
            cluster,
            settings.predictions,
            self.owner,
            bounds,
            self.model.numerics(),
            includes_key,
            self.decoder,
        )
        self.dead_letters = DeadLetters(
            cluster, settings.dead_letters_topic, self.owner, bounds, includes_key
        )
        await self._read_new_outputs()
        self.comparison = Comparison(
            self.published,
            self.dead_letters,
            self.options,
            self.result,
            settings.state_ttl_ms,
            self.envelope.forgets,
        )

    async def _read_new_outputs(self) -> None:
        async with aclosing(self.published.read()) as found:
            async for records in found:
                self.on_progress(self.published.name, records, None)
        await self.dead_letters.read()

    def _segments(self, committed: GroupOffset | None) -> list[Segment]:
        origin = self.dead_letters.origin
        if origin is None and committed is not None and committed.fold_id == self.owner.fold:
            origin = committed.origin
        return segments_of(self.published, self.comparison.origin_numbers, origin)

    async def _fold(self, segment: Segment) -> int:
        """Fold a segment, compare its outputs, and return the number of filtered records."""
        comparison = self.comparison
        comparison.begin(segment)
        predictions: list[Message] = []
        dead_letters: list[Message] = []

        def emit(new_predictions: Sequence[Message], new_dead_letters: Sequence[Message]) -> None:
            predictions.extend(new_predictions)
            dead_letters.extend(new_dead_letters)

        async def batches() -> AsyncGenerator[Sequence[Record]]:
            segment_range = Range(self.partition, segment.begin, segment.end)
            async with aclosing(self.log.batches(segment_range)) as found:
                async for records in found:
                    self.keys.add(self.partition, records)
                    yield self._drop_unneeded(records)
                    comparison.compare(records, predictions, dead_letters)
                    predictions.clear()
                    dead_letters.clear()
                    await self._process_pending()
                    self.on_progress(self.name, len(records), segment.end - segment.begin)

        settings = self.settings.model_copy(update=UNCUT)
        place = self.partition, segment.begin
        counts = await replay_partition(
            self.model, settings, *place, batches(), emit, wire=self.wire
        )
        return counts.filtered

    def _drop_unneeded(self, records: Sequence[Record]) -> Sequence[Record]:
        """Drop records of keys that are not compared, unless their times can expire another key."""
        if self.options.includes_all_keys or self.settings.state_ttl is not None:
            return records
        return [record for record in records if self.options.includes_key(record.key)]

    async def _wait_for_late_outputs(self) -> None:
        """Read the ends of the outputs until nothing is missing, or no marker can still be late."""
        comparison = self.comparison
        deadline = time.monotonic() + self.settings.transaction_timeout_ms / 1000
        while comparison.may_be_late() and time.monotonic() < deadline:
            await asyncio.sleep(REREAD_INTERVAL_S)
            await self._read_new_outputs()
            comparison.compare_late()
        for offset in sorted(comparison.missing):
            comparison.add_missing(offset)
        for offset in sorted(comparison.missing_letters):
            comparison.add_missing_letter(offset)

    async def _check_outside_range(self, committed: GroupOffset | None) -> None:
        """Find outputs of records that do not exist, and predictions beyond the group offset."""
        published, log_end = self.published, await self.kafka_log.log_end()
        add = self.comparison.findings.add
        for offset, output_offset in published.ahead:
            if not 0 <= offset < log_end:
                add("unexpected", offset, output_offsets=(output_offset,))
        for _, offset, output_offset in published.misplaced:
            add("unexpected", offset, output_offsets=(output_offset,))
        for offset in self.dead_letters.beyond:
            if not 0 <= offset < log_end:
                add("dead_letters_unexpected", offset)
        for _, offset in self.dead_letters.misplaced:
            add("dead_letters_unexpected", offset)
        ahead = [offset for offset, _ in published.ahead if 0 <= offset < log_end]
        if ahead and committed is not None and self.settings.delivery == "exactly_once":
            await self._wait_for_group_offset(max(ahead))

    async def _wait_for_group_offset(self, offset: int) -> None:
        """Report a problem if the group offset stays below a prediction of its transaction."""
        deadline = time.monotonic() + self.settings.transaction_timeout_ms / 1000
        while True:
            committed = await self.kafka_log.group_offset()
            if committed is None or committed.offset > offset:
                return
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(REREAD_INTERVAL_S)
        self.result.problems.append(
            f"{self.name}: the group offset is {committed.offset}, but {self.published.name} "
            f"contains the prediction of offset {offset}: somebody set the group offset back, or "
            "wrote the prediction; offsets between the two were not compared"
        )

    async def _process_pending(self) -> None:
        """Read again the outputs that the comparison needs for its values and examples."""
        pending = self.comparison.value_comparisons
        for first in range(0, len(pending), VALUE_COMPARISONS_MAX):
            await self._compare_values(pending[first : first + VALUE_COMPARISONS_MAX])
        pending.clear()
        await self._compare_dead_letters(self.comparison.letter_comparisons)
        self.comparison.letter_comparisons.clear()
        for example in self.comparison.findings.pending:
            await self._add_example(example)
        self.comparison.findings.pending.clear()

    async def _compare_values(self, pairs: Sequence[ValueComparison]) -> None:
        values = await self.published.values(
            output_offset for pair in pairs for output_offset in pair.output_offsets
        )
        self.result.other_numerics += len(pairs)
        values = {place: as_json(one, self.decoder) or b"" for place, one in values.items()}
        for pair in pairs:
            replayed = as_json(pair.message.value, self.decoder)
            expected = replayed if pair.has_same_memory else values.get(pair.output_offsets[0])
            for output_offset in pair.output_offsets:
                value = values.get(output_offset)
                if not is_close(value or b"", expected or b"", self.labels):
                    self.comparison.add_unequal(pair, output_offset, "different")
                    break

    async def _compare_dead_letters(self, pairs: Sequence[ValueComparison]) -> None:
        """Compare copies of dead letters that contain different shares of the same record."""
        expected = {offset: pair.message for pair in pairs for offset in pair.output_offsets}
        unequal = set(expected)
        async with aclosing(self.dead_letters.records(expected)) as found:
            async for record in found:
                if not differences(record, expected[record.offset], is_dead_letter=True):
                    unequal.discard(record.offset)
        for pair in pairs:
            first = next((offset for offset in pair.output_offsets if offset in unequal), None)
            if first is not None:
                self.comparison.add_unequal(pair, first, "dead_letters_different")

    async def _add_example(self, example: PendingExample) -> None:
        """Add an example to the result, unless the result has enough of its kind."""
        if self.example_counts.get(example.kind, 0) >= self.options.examples:
            return
        self.example_counts[example.kind] = self.example_counts.get(example.kind, 0) + 1
        key = "" if example.key is None else describe_key(example.key)
        published, replayed, parts = await self._describe_sides(example)
        place = example.kind, self.partition, example.offset
        finding = Finding(*place, key=key, published=published, replayed=replayed, parts=parts)
        self.result.examples.append(finding)

    async def _describe_sides(
        self, example: PendingExample
    ) -> tuple[str | None, str | None, tuple[str, ...]]:
        """Return the published output, the expected one, and the names of the parts that differ."""
        is_dead_letter = example.kind.startswith("dead_letters")
        output = self.dead_letters if is_dead_letter else self.published
        reads = [await output.record(offset) for offset in example.output_offsets]
        records = [record for record in reads if record]
        if not is_dead_letter:
            example, records = in_json(self.decoder, example, records)
        first = records[0].value if records else example.published
        if example.expected is None or not records:
            expected = example.expected.value if example.expected else example.replayed
            return printable_bytes(first), printable_bytes(expected), ()
        for record in records:
            if parts := differences(record, example.expected, is_dead_letter=is_dead_letter):
                published = "; ".join(f"{part.name} {part.published}" for part in parts)
                replayed = "; ".join(f"{part.name} {part.replayed}" for part in parts)
                return published, replayed, tuple(part.name.split()[0] for part in parts)
        if output.is_unlike(example.offset):
            return printable_bytes(first), SAME_COPIES, ("copies",)
        return printable_bytes(first), SAME_STEPS, ("steps",)
