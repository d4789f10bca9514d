"""What an evaluation samples while it folds a log: hidden states, and fields of the events."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stream_rnn.evaluation.feature_sample import FeatureSample
from stream_rnn.evaluation.hidden_state_health import (
    HiddenStateSample,
    SamplingStore,
    cut_slices,
    slice_number,
)
from stream_rnn.fold.decoder import Record
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import Range


@dataclass(slots=True)
class PartitionSamples:
    """The samples of one partition while it is folded.

    Attributes:
        store: Store of the hidden states.
        features: Sample of the fields.
        start: First offset of the partition.
    """

    store: SamplingStore
    features: FeatureSample
    start: int
    _slice: tuple[int, int] | None = None
    _is_last_alone: bool = False

    def cut(self, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        """Yield pieces of records; each must be committed before the next one is taken."""
        for piece in cut_slices(records, self.start):
            number = slice_number(piece[0].offset, self.start)
            if self._slice is not None and number != self._slice:
                self.end()
            self._slice = number
            if slice_number(piece[-1].offset + 1, self.start) == number:
                yield piece
                continue
            if len(piece) > 1:
                yield piece[:-1]
            self.store.begin_last()
            self._is_last_alone = True
            yield piece[-1:]

    def end(self) -> None:
        """End the slice of the log."""
        self.store.end_slice(is_last_alone=self._is_last_alone)
        self._is_last_alone = False


@dataclass(slots=True)
class FoldSamples:
    """The samples of all partitions of a log.

    Attributes:
        hidden: Sample of hidden states.
        features: Sample of the fields of each partition, in the order of the folds.
    """

    hidden: HiddenStateSample
    features: list[FeatureSample] = field(default_factory=list)

    @classmethod
    def of(cls, model: Model) -> "FoldSamples":
        """Return empty samples for a model."""
        return cls(HiddenStateSample(model.hidden_size_floats, model.tail_size_floats))

    def begin(self, log_range: Range) -> PartitionSamples:
        """Begin the fold of one partition."""
        self.features.append(FeatureSample())
        return PartitionSamples(SamplingStore(self.hidden), self.features[-1], log_range.start)
