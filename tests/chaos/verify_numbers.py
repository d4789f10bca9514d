"""Checks the numbers of cut-overs that predictions carry, and what a reader drops because of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from stream_rnn.kafka.group_offsets import GroupOffset
from tests.chaos.topics import Output


@dataclass(slots=True)
class Numbers:
    """The numbers of one partition, in the order of its predictions.

    A reader never goes back: it drops a prediction whose number is below the highest one so far.
    With ``at_least_once``, a worker that has lost the partition may still append such predictions.

    Attributes:
        add: Function that counts a difference of a kind at an offset.
        exactly_once: Whether no number may be below an earlier one.
        read: Offsets that a reader yields.
        changes: Number of times that the number changed together with the fold.
        folds: Fold of each number, and the highest source offset below which others may answer.
    """

    add: Callable[[str, int, str], None]
    exactly_once: bool
    read: set[int] = field(default_factory=set)
    changes: int = 0
    folds: dict[int, str] = field(default_factory=dict)
    _top: int = 0
    _fold: str = ""

    def see(self, output: Output, fold: str) -> None:
        """Take the next prediction of the topic."""
        offset, number = output.source_offset, output.number
        if number and self.folds.setdefault(number, fold) != fold:
            text = f"number {number} is of {self.folds[number]}, and now of {fold}"
            self.add("two folds", offset, text)
        if number < self._top:
            if self.exactly_once:
                self.add("went back", offset, f"number {number} after {self._top}")
            return
        self.changes += number > self._top and self._fold not in ("", fold)
        self._top, self._fold = number, fold
        self.read.add(offset)

    def end(self, known: GroupOffset) -> None:
        """Compare with the group offset at the end, which names the last cut-over."""
        if known.number < self._top:
            text = f"the group offset has number {known.number}, a prediction has {self._top}"
            self.add("went back", known.offset, text)
        last = self.folds.get(known.number)
        if last is not None and last != known.fold_id:
            text = f"the group offset names {known.fold_id}, predictions of its number {last}"
            self.add("two folds", known.offset, text)
