"""Compares the outputs of one partition with a replay, offset by offset, without any I/O.

All findings are counted at once.  Findings that may become examples, and predictions that must be
compared by value, remain in lists for the caller.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.audit.dead_letters import DeadLetters, expected_letter
from stream_rnn.audit.digests import content_of, digest_of, memoryless_digest, source_offset_of
from stream_rnn.audit.duty import Duty
from stream_rnn.audit.findings import FindingCounter, ValueComparison
from stream_rnn.audit.missing_outputs import MissingOutputs
from stream_rnn.audit.published_predictions import (
    BROKER_TIME,
    COLD_IS_FALSE,
    NO_ORIGIN,
    ORIGIN_IS_FALSE,
    UNLIKE,
    PublishedPredictions,
)
from stream_rnn.audit.result import AuditOptions, AuditResult
from stream_rnn.audit.segments import Segment, assign_origins
from stream_rnn.audit.steps_check import StepsChecker, Verdict
from stream_rnn.audit.surplus import find_surplus_letter, find_surplus_predictions
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.output_batches import Message
from stream_rnn.predictions.decoder import body_of

STEP_NOT_FINITE = "step_not_finite"


class Comparison:
    """Compares the outputs of one partition.

    Args:
        published: The published predictions.
        dead_letters: The published dead letters.
        options: The keys to compare.
        result: The result that counts the findings.
        ttl_ms: ``state_ttl`` in milliseconds; ``None`` if it is not set.
        is_forget: Returns whether a record forgets its key.
        duty: Offsets of which the fold must have published the outputs.

    Attributes:
        origin_numbers: (N,) origin number of each offset; see :func:`assign_origins`.
        findings: Findings that may become examples.
        value_comparisons: Predictions that must be compared by value.
        letter_comparisons: Dead letters whose copies must be compared.
        missing: Predictions that were not read yet.
        missing_letters: Dead letters that were not read yet.
    """

    def __init__(
        self,
        published: PublishedPredictions,
        dead_letters: DeadLetters,
        options: AuditOptions,
        result: AuditResult,
        ttl_ms: float | None,
        is_forget: Callable[[Record], bool],
        duty: Duty,
    ) -> None:
        self._published, self._dead_letters = published, dead_letters
        self._options, self._result, self._ttl_ms = options, result, ttl_ms
        self._is_forget, self._duty = is_forget, duty
        count = published.end - published.start
        self._is_replayed: NDArray[np.bool_] = np.zeros(count, bool)
        self._has_event: NDArray[np.bool_] = np.zeros(count, bool)  # has key and value
        self._is_letter_replayed: NDArray[np.bool_] = np.zeros(count, bool)
        self._first_folded = published.end
        self._memory_starts: dict[bytes, int] = {}
        self._checker: StepsChecker | None = None
        self._segment = Segment(0, published.start, published.end, None)
        self.origin_numbers = assign_origins(published.origin_number)
        self._output_indices: NDArray[np.int64] = np.zeros(0, np.int64)
        self.findings = FindingCounter(result, options.examples)
        self.value_comparisons: list[ValueComparison] = []
        self.letter_comparisons: list[ValueComparison] = []
        self.missing, self.missing_letters = MissingOutputs(), MissingOutputs()

    def begin(self, segment: Segment) -> None:
        """Begin a segment: the next outputs come from a replay that starts at its first offset."""
        self._segment = segment
        self._first_folded = min(self._first_folded, segment.begin)
        self._memory_starts.clear()
        published = self._published
        published.note_other_numerics()
        has_output = (published.count > 0) | (published.other_fold_count > 0)
        self._output_indices = np.flatnonzero(has_output)
        is_part = segment.offsets_before is None or segment.offsets_before > 0
        offsets_before = segment.begin if segment.offsets_before is None else segment.offsets_before
        self._checker = StepsChecker(offsets_before, self._ttl_ms) if is_part else None

    def compare(
        self,
        records: Sequence[Record],
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
    ) -> None:
        """Compare the replay's outputs for the next records with the published ones."""
        self._mark_possible_events(records)
        items: list[tuple[int, bytes | None, Message | None]] = [
            (record.offset, record.key, None)
            for record in (records if self._checker is not None else ())
            if self._is_forget(record)
        ]
        dead_letter_offsets = {source_offset_of(message) for message in dead_letters}
        items += [(source_offset_of(m), m.key, m) for m in (*predictions, *dead_letters)]
        for offset, key, message in sorted(items, key=lambda item: item[0]):
            if message is None:
                if self._checker is not None and key is not None:
                    self._checker.forget(key)
            elif offset not in dead_letter_offsets:
                self._compare_prediction(offset, message)
            elif self._options.includes_key(key) and self._belongs_to_segment(offset):
                self._compare_replayed_letter(offset, message)

    def _mark_possible_events(self, records: Sequence[Record]) -> None:
        """Mark the offsets of records that are events of some fold, and check what it published."""
        for record in records:
            if record.key is not None and record.value is not None:
                self._has_event[record.offset - self._published.start] = True
                self._check_other_folds(record)

    def _check_other_folds(self, record: Record) -> None:
        """Check the predictions of other folds against their record."""
        offset, output_offset = record.offset, self._published.other_folds.find_false(record)
        if output_offset is None or not self._options.includes_key(record.key):
            return
        if self._belongs_to_segment(offset):
            self.findings.add("different", offset, record.key, output_offsets=(output_offset,))

    def _belongs_to_segment(self, offset: int) -> bool:
        number = int(self.origin_numbers[offset - self._published.start])
        return self._segment.origin_number in (NO_ORIGIN, number)

    def _compare_prediction(self, offset: int, message: Message) -> None:
        content = content_of(message.value, self._published.decoder)
        time_ms, replayed_steps = int(content["event_time_ms"]), int(content["steps"])
        if self._checker is not None:
            self._checker.note_time(time_ms)
        key = message.key or b""
        if not self._options.includes_key(key):
            return
        if replayed_steps == 1:
            self._memory_starts[key] = offset
        if not self._belongs_to_segment(offset):
            if self._checker is not None:
                self._checker.note_unseen(key, replayed_steps, time_ms)
            return
        published, index = self._published, offset - self._published.start
        self._is_replayed[index] = True
        if not published.count[index]:
            self._count_missing(offset, message, replayed_steps, time_ms)
            return
        verdict = Verdict.SAME
        if self._checker is not None:
            steps = replayed_steps, int(published.steps[index])
            verdict = self._checker.judge(key, *steps, time_ms)
        self._compare_published(offset, message, verdict, self._memory_starts.get(key), content)

    def _compare_published(
        self,
        offset: int,
        message: Message,
        verdict: Verdict,
        begin: int | None,
        content: dict[str, object],
    ) -> None:
        """Compare a prediction that has been published."""
        published, index = self._published, offset - self._published.start
        flags = int(published.flags[index])
        timestamp = None if flags & BROKER_TIME else message.timestamp
        frame = memoryless_digest(content, message.key, timestamp, message.headers)
        is_wrong = verdict is Verdict.IMPOSSIBLE or int(published.frame[index]) != frame
        is_wrong = is_wrong or bool(flags & (UNLIKE | COLD_IS_FALSE | ORIGIN_IS_FALSE))
        first = int(published.output_offset[index])
        copies = tuple(published.copies.get(offset, {}).values())
        if verdict is Verdict.UNKNOWN and not is_wrong:
            self._result.count_not_comparable("began_before")
            if copies:
                pair = ValueComparison(offset, message, (first, *copies), has_same_memory=False)
                self.value_comparisons.append(pair)
            return
        self._result.counts["compared"] += 1
        is_same = int(published.digest[index]) == digest_of(body_of(message.value))
        if is_wrong or not (is_same or published.is_mixed(begin, offset)):
            self._add_different(offset, message.key, message)
        elif copies or not is_same:
            output_offsets = copies if is_same else (first, *copies)
            self.value_comparisons.append(ValueComparison(offset, message, output_offsets))

    def _count_missing(self, offset: int, message: Message, steps: int, time_ms: int) -> None:
        """Count an event that has no prediction of this fold, by the reason."""
        published, key = self._published, message.key or b""
        letter, checker = self._dead_letters.letters.get(offset), self._checker
        if not self._duty.is_mine[offset - published.start]:
            if checker:
                checker.note_unseen(key, steps, time_ms)
            return
        if letter and letter.code == STEP_NOT_FINITE and checker and checker.may_differ(key):
            checker.note_skipped(key)
            self._is_letter_replayed[offset - published.start] = True
            self._result.count_not_comparable("began_before")
            return
        if checker is not None:
            checker.note_unseen(key, steps, time_ms)
        if self._has_other_output(offset):
            self._count_not_comparable(offset, "other_fold")
        elif published.first_available is None or offset < published.first_available:
            self._count_not_comparable(offset, "removed")
        else:
            self.missing.add(offset, message, self._memory_starts.get(key))
            while (oldest := self.missing.first_excess()) is not None:
                self.add_missing(oldest)

    def _count_not_comparable(self, offset: int, reason: str) -> None:
        """Count an event, unless another audited fold counts it."""
        if self._duty.is_led[offset - self._published.start]:
            self._result.count_not_comparable(reason)

    def _has_other_output(self, offset: int) -> bool:
        """Return whether another fold has published an output for an event.

        Without transactions, a dead letter names no fold; it belongs to the fold of its neighbours.
        """
        index, letter = offset - self._published.start, self._dead_letters.letters.get(offset)
        if self._published.other_fold_count[index] or self._dead_letters.is_of_others(offset):
            return True
        is_unnamed = letter is not None and not letter.names_fold
        return is_unnamed and self._is_beside_other_fold(index)

    def _is_beside_other_fold(self, index: int) -> bool:
        if self._duty.is_shared[index]:
            return True
        after = int(np.searchsorted(self._output_indices, index))
        beside = self._output_indices[max(0, after - 1) : after + 1]
        return bool((self._published.other_fold_count[beside] > 0).any())

    def _compare_replayed_letter(self, offset: int, message: Message) -> None:
        code, key = dict(message.headers)["sr-error"].decode(), message.key or b""
        index, checker = offset - self._published.start, self._checker
        letter = self._dead_letters.letters.get(offset)
        duty = self._duty.is_mine if letter is None else self._duty.is_led
        if not (duty[index] or (letter is not None and letter.names_fold)):
            if code == STEP_NOT_FINITE and checker is not None:
                checker.note_skipped(key)
            return
        self._result.counts["dead_letters"] += 1
        if code == STEP_NOT_FINITE and checker is not None:
            if letter is None and self._published.count[index]:
                steps = int(self._published.steps[index])
                verdict = checker.judge(key, 0, steps, 0)
                checker.note_skipped(key)
                self._is_replayed[index] = True
                if verdict is Verdict.UNKNOWN:
                    self._result.count_not_comparable("began_before")
                else:
                    self._add_different(offset, key, None)
                return
            checker.note_skipped(key)
        self._is_letter_replayed[index] = True
        if letter is None:
            self._count_missing_letter(offset, message)
        else:
            self.compare_letter(offset, message)

    def compare_letter(self, offset: int, message: Message) -> None:
        """Compare a dead letter that has been published."""
        letter, index = self._dead_letters.letters[offset], offset - self._published.start
        is_same = letter.equals(expected_letter(message, letter))
        is_same = is_same and not letter.is_unlike
        if not (is_same or letter.names_fold) and self._is_beside_other_fold(index):
            self._result.count_not_comparable("other_fold")
            return
        self._result.dead_letters_compared += 1
        if is_same and (copies := self._dead_letters.copies.get(offset)):
            pair = ValueComparison(offset, message, tuple(copies.values()))
            self.letter_comparisons.append(pair)
        if not is_same:
            kind, offsets = "dead_letters_different", self._dead_letters.output_offsets_of(offset)
            self.findings.add(kind, offset, message.key, output_offsets=offsets, expected=message)

    def _count_missing_letter(self, offset: int, message: Message) -> None:
        index, first = offset - self._published.start, self._dead_letters.first_available
        if self._published.other_fold_count[index] or self._dead_letters.is_of_others(offset):
            self._count_not_comparable(offset, "other_fold")
        elif first is None or offset < first:
            self._count_not_comparable(offset, "removed")
        else:
            self.missing_letters.add(offset, message)
            while (oldest := self.missing_letters.first_excess()) is not None:
                self.add_missing_letter(oldest)

    def finish(self) -> None:
        """Find surplus outputs; call this after all segments."""
        start, is_founded = self._published.start, self._has_event.copy()
        is_founded[: self._first_folded - start] = True
        find_surplus_predictions(self._published, self._is_replayed, is_founded, self.findings)
        for offset, letter in self._dead_letters.letters.items():
            index = offset - start
            if letter.names_fold or self._duty.is_led[index]:
                is_replayed = bool(self._is_letter_replayed[index])
                is_of_others = offset < self._first_folded or self._has_other_output(offset)
                letters = self._dead_letters, offset, letter, self.findings
                find_surplus_letter(*letters, is_replayed=is_replayed, is_of_others=is_of_others)

    def compare_late(self) -> None:
        """Compare the outputs that seemed to be missing and have been read since."""
        published = self._published
        for offset in [o for o in self.missing if published.count[o - published.start]]:
            message, begin = self.missing.pop(offset)
            content = content_of(message.value, published.decoder)
            steps = int(published.steps[offset - published.start])
            is_same = self._checker is None or steps == content["steps"]
            verdict = Verdict.SAME if is_same else Verdict.UNKNOWN
            self._compare_published(offset, message, verdict, begin, content)
        for offset in [o for o in self.missing_letters if o in self._dead_letters.letters]:
            message, _ = self.missing_letters.pop(offset)
            self.compare_letter(offset, message)

    def may_be_late(self) -> bool:
        """Return whether the missing outputs follow all outputs read, so that they may be late."""
        is_late = any(offset > self._published.last for offset in self.missing)
        return is_late or any(offset > self._dead_letters.last for offset in self.missing_letters)

    def add_missing(self, offset: int) -> None:
        """Count a prediction as missing."""
        message, _ = self.missing.pop(offset)
        self.findings.add("missing", offset, message.key, message.value)

    def add_missing_letter(self, offset: int) -> None:
        """Count a dead letter as missing."""
        message, _ = self.missing_letters.pop(offset)
        code = dict(message.headers)["sr-error"]
        self.findings.add("dead_letters_missing", offset, message.key, code)

    def add_unequal(self, pair: ValueComparison, output_offset: int, kind: str) -> None:
        """Count an output whose values differ."""
        expected, key = pair.message if pair.has_same_memory else None, pair.message.key
        offsets = (output_offset,)
        self.findings.add(kind, pair.offset, key, output_offsets=offsets, expected=expected)

    def _add_different(self, offset: int, key: bytes | None, expected: Message | None) -> None:
        offsets = self._published.output_offsets_of(offset)
        self.findings.add("different", offset, key, output_offsets=offsets, expected=expected)
