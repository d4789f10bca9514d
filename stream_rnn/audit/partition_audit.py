"""The audit of one source partition.

1  read the group offset, at which the range ends: everything below it has been published
2  read the outputs of the range, wherever they are in their topics
3  fold the range by the worker's own processor, from each origin that the predictions name, and
   compare offset by offset: predictions and dead letters that are missing, duplicated or different
4  find outputs that the replay does not have
5  read the ends of the output topics again, for outputs that seem to be missing: the marker of a
   transaction can be a little late
6  report what was not compared

If several folds are audited, each goes through these steps, and is compared with the outputs that
name it; ``audit/cut_overs.py`` finds which of them was in charge of an offset.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from stream_rnn.audit.audited_keys import AuditedKeys
from stream_rnn.audit.audited_range import AuditedRange
from stream_rnn.audit.comparison import Comparison
from stream_rnn.audit.cut_overs import CutOvers
from stream_rnn.audit.dead_letters import DeadLetters
from stream_rnn.audit.duty import Duty
from stream_rnn.audit.framed_values import PublishedSchemas, check_schema_ids
from stream_rnn.audit.notes import (
    note_missing_range,
    note_uncompared_dead_letters,
    note_uncompared_predictions,
    note_unfolded_partition,
)
from stream_rnn.audit.output_owner import OutputOwner
from stream_rnn.audit.published_predictions import PublishedPredictions, ignore_output
from stream_rnn.audit.result import AuditOptions, AuditResult
from stream_rnn.audit.second_look import SecondLook
from stream_rnn.audit.segments import Segment, segments_of
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.envelope import Envelope
from stream_rnn.fold.framed import open_framed
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.model.network import Model
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.replay.logs import Range, TopicLog
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import FoldSettings

UNCUT = {"dead_letter_bytes_max": 1 << 40, "output_batch_bytes_max": 1 << 40}
"""Limits with which the replay cuts no dead letter, because production's limits are unknown."""

REREAD_INTERVAL_S = 0.25

ProgressCallback = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContext:
    """What all folds and partitions of an audit share.

    Attributes:
        log: The opened range of the source topic.
        settings: Settings of the folds.
        options: The keys to compare, and the number of examples.
        keys: The keys that the audit reads.
        registry: The schemas of predictions.
        on_progress: See :func:`stream_rnn.audit.audit.audit`.
    """

    log: TopicLog
    settings: FoldSettings
    options: AuditOptions
    keys: AuditedKeys
    registry: PublishedSchemas
    on_progress: ProgressCallback


class PartitionAudit:
    """Audits one fold of one partition and adds its findings to a result.

    Args:
        context: What all folds share.
        model: Bundle of the fold.
        owner: Fold and partition.
        audited: Range to audit.
        result: Result to add to.
        cut_overs: Cut-overs to show all outputs to; ``None`` for none.
    """

    def __init__(
        self,
        context: AuditContext,
        model: Model,
        owner: OutputOwner,
        audited: AuditedRange,
        result: AuditResult,
        cut_overs: CutOvers | None,
    ) -> None:
        settings, options, self.context = context.settings, context.options, context
        self.log, self.model, self.settings, self.options = context.log, model, settings, options
        self.result, self.audited, self.owner = result, audited, owner
        self.partition = owner.partition
        self.kafka_log = KafkaLog(self.log.cluster, settings, self.partition)
        self.wire = Wire(settings.predictions_format, settings.predictions_schema_id or 0)
        self.envelope = Envelope(model.spec.event, settings, open_framed(model.spec, settings))
        cluster, bounds, includes_key = self.log.cluster, audited.bounds, options.includes_key
        self.published = PublishedPredictions(
            cluster,
            settings.predictions,
            owner,
            bounds,
            model.numerics(),
            includes_key,
            model_decoder(model, context.registry.schemas),
            ignore_output if cut_overs is None else cut_overs.add_prediction,
        )
        self.dead_letters = DeadLetters(
            cluster,
            settings.dead_letters_topic,
            owner,
            bounds,
            includes_key,
            ignore_output if cut_overs is None else cut_overs.add_letter,
        )
        self.look = SecondLook(
            self.published, self.dead_letters, model, result, self.options.examples
        )

    async def read_new_outputs(self) -> None:
        """Read the outputs that were added since the last call (step 2)."""
        async with aclosing(self.published.read()) as found:
            async for records in found:
                self.context.on_progress(self.published.name, records, None)
        await self.dead_letters.read()

    async def fold(self, duty: Duty) -> None:
        """Fold the range again, and compare its outputs (steps 3 and 4).

        Args:
            duty: Offsets of which the fold must have published the outputs.
        """
        bounds = self.audited.bounds
        self.comparison = Comparison(
            self.published,
            self.dead_letters,
            self.options,
            self.result,
            self.settings.state_ttl_ms,
            self.envelope.forgets,
            duty,
        )
        segments = self._segments() if bounds.end > bounds.start else ()
        filtered = [await self._fold(segment) for segment in segments]
        self.result.filtered += max(filtered, default=0)  # a record may be in several segments
        self.comparison.finish()

    def _segments(self) -> list[Segment]:
        origin, committed = self.dead_letters.origin, self.audited.committed
        if origin is None and committed is not None and committed.fold_id == self.owner.fold:
            origin = committed.origin
        return segments_of(self.published, self.comparison.origin_numbers, origin)

    async def _fold(self, segment: Segment) -> int:
        """Fold a segment, compare its outputs, and return the number of filtered records."""
        comparison, name = self.comparison, self.audited.name
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
                    self.context.keys.add(self.partition, records)
                    yield self._drop_unneeded(records)
                    comparison.compare(records, predictions, dead_letters)
                    predictions.clear()
                    dead_letters.clear()
                    await self.look.run(comparison)
                    self.context.on_progress(name, len(records), segment.end - segment.begin)

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

    def drop_missing(self, is_settled: Callable[[int], bool]) -> None:
        """Forget the missing outputs of offsets for which another fold is in charge."""
        self.comparison.missing.drop(is_settled)
        self.comparison.missing_letters.drop(is_settled)

    async def finish(self) -> None:
        """Count what is missing, and report what was not compared (step 6)."""
        comparison, where = self.comparison, (self.result, self.audited.name)
        for offset in sorted(comparison.missing):
            comparison.add_missing(offset)
        for offset in sorted(comparison.missing_letters):
            comparison.add_missing_letter(offset)
        await self._check_outside_range()
        await self.look.run(comparison)
        is_from_start = self.log.first is None
        note_uncompared_predictions(*where, self.owner, self.published, is_from_start=is_from_start)
        note_uncompared_dead_letters(self.result, self.dead_letters)
        check_schema_ids(*where, self.published, self.settings, self.context.registry)
        if self.owner.is_first:
            count = int(self.published.other_fold_count.sum(dtype=np.int64))
            self.result.add_other_folds(count, self.published.other_folds_by_id)

    def note_range(self) -> None:
        """Report which part of the requested range does not exist, or was never folded."""
        audited, where = self.audited, (self.result, self.audited.name)
        log_ends = audited.log_start, audited.bounds.log_end
        if audited.committed is None:
            note_unfolded_partition(*where, self.owner, self.published, *log_ends)
        else:
            requested = self.log.first, self.log.last
            end = audited.requested_end
            note_missing_range(*where, requested, end, log_ends, audited.bounds)

    async def _check_outside_range(self) -> None:
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
        is_exact = self.settings.delivery == "exactly_once"
        if ahead and self.audited.committed is not None and is_exact:
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
            f"{self.audited.name}: the group offset is {committed.offset}, but "
            f"{self.published.name} contains the prediction of offset {offset}: somebody set the "
            "group offset back, or wrote the prediction; offsets between the two were not compared"
        )


async def audit_partition(
    context: AuditContext,
    models: Sequence[Model],
    owners: Sequence[OutputOwner],
    audited: AuditedRange,
    results: Sequence[AuditResult],
) -> None:
    """Audit a partition, with one model, owner and result for each fold."""
    options, several = context.options, len(models) > 1
    place = owners[0].partition, audited, options.includes_key, options.examples
    cut_overs = CutOvers(*place) if several else None
    audits = [
        PartitionAudit(context, *one, cut_overs if one[1].is_first else None)
        for one in zip(models, owners, [audited] * len(models), results, strict=True)
    ]
    for one in audits:
        await one.read_new_outputs()
    audits[0].note_range()
    count = max(0, audited.bounds.end - audited.bounds.start)
    duties = [Duty.of_one_fold(count)]
    if cut_overs is not None:
        duties = Duty.of_folds(cut_overs.duties([owner.fold for owner in owners]))
    for one, duty in zip(audits, duties, strict=True):
        await one.fold(duty)
    context.keys.end_partition(owners[0].partition)
    if cut_overs is not None:
        _settle_shared(audits, duties)
    await _wait_for_late_outputs(audits)
    if cut_overs is not None:
        for one in audits:
            one.drop_missing(cut_overs.has_output)
        cut_overs.report(audits[0].comparison.findings, results[0])
    for one in audits:
        await one.finish()


def _settle_shared(audits: Sequence[PartitionAudit], duties: Sequence[Duty]) -> None:
    """Keep an output as missing only if every fold that can have been in charge would have one.

    The first of these folds counts it.
    """
    expected = [{*one.comparison.missing, *one.comparison.missing_letters} for one in audits]
    start = audits[0].published.start
    for one, own in zip(audits, duties, strict=True):

        def is_settled(offset: int, own: Duty = own) -> bool:
            index = offset - start
            can_be_silent = any(
                duty.is_mine[index] and offset not in theirs
                for duty, theirs in zip(duties, expected, strict=True)
            )
            return can_be_silent or not own.is_led[index]

        one.drop_missing(is_settled)


async def _wait_for_late_outputs(audits: Sequence[PartitionAudit]) -> None:
    """Read the ends of the outputs until nothing is missing, or no marker can still be late."""
    deadline = time.monotonic() + audits[0].settings.transaction_timeout_ms / 1000
    while any(one.comparison.may_be_late() for one in audits) and time.monotonic() < deadline:
        await asyncio.sleep(REREAD_INTERVAL_S)
        for one in audits:
            await one.read_new_outputs()
            one.comparison.compare_late()
