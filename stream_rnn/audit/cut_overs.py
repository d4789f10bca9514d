"""The cut-overs of one partition: which fold was in charge where, and outputs that contradict it.

Each output names its fold, and after a cut-over its number.  The fold in charge is that of the
highest number so far, in the order of the topic.  There are five kinds of findings:

    two_folds      an offset has outputs of two folds
    number_falls   an output of the fold in charge has a lower number than one before it
    not_in_charge  an output has a lower number than one before it, and is of another fold
    same_number    an output has the number of a cut-over that put another fold in charge
    unreadable     all outputs of an offset have a lower number than one before them

Readers drop predictions with a lower number than the highest one that they have read, so the first
three do no harm with ``at_least_once``; the last two do.

The arrays take 3 bytes for each offset.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.audit.audited_range import AuditedRange
from stream_rnn.audit.digests import is_cut_over
from stream_rnn.audit.findings import FindingCounter
from stream_rnn.audit.result import AuditResult, CutOver

NOBODY = 255
FOLDS_MAX = 200  # in one partition; outputs of further folds are not looked at
CUT_OVERS_MAX = 10_000  # in one partition
IS_DOUBLE, IS_DROPPED, IS_READABLE = 1, 2, 4


class NumberOrder:
    """The highest number so far in one topic, and the fold with it.

    Attributes:
        number: Highest number.
        fold: Fold of the last output with this number.
        last: Largest source offset; -1 before the first output.
    """

    def __init__(self) -> None:
        self.number, self.fold, self.last = 0, "", -1


class CutOvers:
    """Follows the numbers and folds of the outputs of one partition, in the order of their topics.

    Args:
        partition: Source partition.
        audited: Audited range.
        includes_key: Returns whether a key is compared.
        examples: Number of examples of each kind.

    Attributes:
        found: Cut-overs that predictions show, in order.
    """

    def __init__(
        self,
        partition: int,
        audited: AuditedRange,
        includes_key: Callable[[bytes | None], bool],
        examples: int,
    ) -> None:
        bounds = audited.bounds
        self._partition, self._audited, self._examples = partition, audited, examples
        self._includes_key = includes_key
        self._start, self._end = bounds.start, bounds.end
        count = max(0, bounds.end - bounds.start)
        self._owner: NDArray[np.uint8] = np.full(count, NOBODY, np.uint8)
        self._flags: NDArray[np.uint8] = np.zeros(count, np.uint8)
        self._folds: list[str] = []
        self._below = self._beyond = NOBODY  # folds of the nearest outputs outside of the range
        self._nearest = -1, bounds.log_end
        self._predictions, self._letters = NumberOrder(), NumberOrder()
        self._fold_of_number: dict[int, str] = {}
        self._counts: Counter[str] = Counter()
        self._pending: list[tuple[str, int, int]] = []
        self.found: list[CutOver] = []

    def add_prediction(self, record: ConsumerRecord, offset: int, fold: str) -> None:
        """Add the next prediction of the topic."""
        number, order = _number_of(record), self._predictions
        is_change = fold != order.fold and (number > order.number or offset > order.last)
        if number > order.number or (is_change and number == order.number == 0):
            before = order.fold or None
            last = None if order.last < 0 else order.last
            if (before or number) and len(self.found) < CUT_OVERS_MAX:
                self.found.append(self._cut_over(number, before, fold, last, offset))
        self._add(record, offset, fold, number, order)

    def _cut_over(
        self,
        number: int,
        before: str | None,
        fold: str,
        last: int | None,
        offset: int,
        *,
        has_output: bool = True,
    ) -> CutOver:
        return CutOver(
            partition=self._partition,
            number=number,
            before=before,
            fold=fold,
            last_before=last,
            offset=offset,
            has_output=has_output,
        )

    def add_letter(self, record: ConsumerRecord, offset: int, fold: str) -> None:
        """Add the next dead letter of its topic, which names its fold."""
        self._add(record, offset, fold, _number_of(record), self._letters)

    def _add(
        self, record: ConsumerRecord, offset: int, fold: str, number: int, order: NumberOrder
    ) -> None:
        if fold not in self._folds:
            if len(self._folds) >= FOLDS_MAX:
                return
            self._folds.append(fold)
        kind, expected = "", fold
        if number and (number in self._fold_of_number or len(self._fold_of_number) < CUT_OVERS_MAX):
            expected = self._fold_of_number.setdefault(number, fold)
        if number < order.number:
            kind = "number_falls" if fold == order.fold else "not_in_charge"
        elif fold != expected:
            kind = "same_number"
        else:
            order.number, order.fold = number, fold
        order.last = max(order.last, offset)
        self._place(record, offset, self._folds.index(fold), is_dropped=number < order.number)
        if kind:
            self._count(kind, record, offset)

    def _place(self, record: ConsumerRecord, offset: int, fold: int, *, is_dropped: bool) -> None:
        """Note the fold of an offset, and find an offset that two folds have answered."""
        index = offset - self._start
        if not 0 <= index < len(self._owner):
            self._place_outside(offset, fold)
            return
        first, flags = int(self._owner[index]), int(self._flags[index])
        if first not in (NOBODY, fold) and not flags & IS_DOUBLE:
            self._flags[index] |= IS_DOUBLE
            self._count("two_folds", record, offset)
        if first == NOBODY or (not is_dropped and not flags & IS_READABLE):
            self._owner[index] = fold
        if not is_dropped:
            self._flags[index] |= IS_READABLE
        elif self._includes_key(record.key):
            self._flags[index] |= IS_DROPPED

    def _place_outside(self, offset: int, fold: int) -> None:
        below, beyond = self._nearest
        if below < offset < self._start:
            self._below, self._nearest = fold, (offset, beyond)
        elif self._end <= offset < beyond:
            self._beyond, self._nearest = fold, (below, offset)

    def _count(self, kind: str, record: ConsumerRecord, offset: int) -> None:
        if self._start <= offset < self._end and self._includes_key(record.key):
            self._counts[kind] += 1
            if self._counts[kind] <= self._examples:
                self._pending.append((kind, offset, self._output_offset_of(record)))

    def _output_offset_of(self, record: ConsumerRecord) -> int:
        is_letter = any(name == "sr-error" for name, _ in record.headers)
        return -1 if is_letter else int(record.offset)

    def has_output(self, offset: int) -> bool:
        """Return whether a prediction, or a dead letter that names its fold, was read."""
        return bool(self._owner[offset - self._start] != NOBODY)

    def duties(self, folds: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Return (N,) for each audited fold whether it can have been in charge of an offset.

        Where neighbours are of two folds, the cut-over may be on either side of an offset without an
        output.  An offset beside no audited fold is every fold's.
        """
        numbers = [self._number_of_fold(fold, folds) for fold in folds]
        beyond, in_charge = self._beyond, self._audited.fold
        if beyond == NOBODY and in_charge is not None:
            beyond = self._number_of_fold(in_charge, folds)
        before, after = _neighbours(self._owner, self._below, beyond)
        near = [(before == number) | (after == number) for number in numbers]
        none = ~np.logical_or.reduce(near)
        return [mask | none for mask in near]

    def _number_of_fold(self, fold: str, audited: Sequence[str]) -> int:
        """Return the number that stands for a fold in the arrays, also for one without outputs."""
        if fold in self._folds:
            return self._folds.index(fold)
        return FOLDS_MAX + audited.index(fold) if fold in audited else NOBODY - 1

    def report(self, findings: FindingCounter, result: AuditResult) -> None:
        """Add the findings, and all cut-overs, with one that only the group offset shows."""
        dropped = (self._flags & (IS_DROPPED | IS_READABLE)) == IS_DROPPED
        for index in np.flatnonzero(dropped):
            findings.add("unreadable", self._start + int(index))
        for kind, offset, output_offset in self._pending:
            places = (output_offset,) if output_offset >= 0 else ()
            findings.add(kind, offset, output_offsets=places)
            self._counts[kind] -= 1
        for kind, count in self._counts.items():
            result.counts[kind] += count
        result.cut_overs += self.found
        known, order = self._audited.committed, self._predictions
        if known is None or known.fold_id is None or not known.number:
            return
        if known.number > order.number:
            last = None if order.last < 0 else order.last
            made = known.number, order.fold or None, known.fold_id, last, known.offset
            result.cut_overs.append(self._cut_over(*made, has_output=False))
        elif (fold := self._fold_of_number.get(known.number)) not in (None, known.fold_id):
            result.problems.append(
                f"{self._audited.name}: cut-over {known.number} has put fold {known.fold_id} in "
                f"charge, says the group offset, but outputs with this number are of fold {fold}: "
                "somebody has set the group offset, or written the outputs"
            )


def _neighbours(
    owner: NDArray[np.uint8], below: int, beyond: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return for each offset the fold of the nearest output up to it, and from it on.

    At an end without a neighbour, the other neighbour counts.
    """
    places = np.arange(len(owner))
    has_owner = owner != NOBODY
    last = np.maximum.accumulate(np.where(has_owner, places, -1)) if len(owner) else places
    following = np.where(has_owner, places, len(owner))[::-1]
    first = np.minimum.accumulate(following)[::-1] if len(owner) else places
    padded = np.append(owner, np.uint8(NOBODY))
    before = np.where(last < 0, np.uint8(below), padded[last])
    after = np.where(first == len(owner), np.uint8(beyond), padded[first])
    return np.where(before == NOBODY, after, before), np.where(after == NOBODY, before, after)


def _number_of(record: ConsumerRecord) -> int:
    """Return the number of an output; 0 if it has none, or one that no worker writes."""
    texts = (text for name, text in record.headers if is_cut_over(name, text))
    return int(next(texts, b"0"))
