"""A sample of the fields that a fold decodes, to compare them with those of the training part."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.fold.observer import FoldedBatch, NullObserver

EVENTS_MAX = 40_000
VALUES_MAX = 2_000_000


class FeatureSample(NullObserver):
    """The fields of every n-th event of a partition; n grows with the log.

    The sample depends on the events alone, not on the micro-batches.

    Attributes:
        seen: Number of events of the partition that are predicted.
        number: Number of each sampled event among them.
        columns: Values for the path of each field.
    """

    def __init__(self) -> None:
        self.number: list[int] = []
        self.columns: dict[str, list[Any]] = {}
        self.seen, self._every = 0, 1

    def on_batch(self, folded: FoldedBatch) -> None:
        """Add the fields of some events that are predicted."""
        decoded, errors = folded.batch.decoded, folded.stepped.errors
        valid = [i for i in range(len(decoded.keys)) if i not in errors]
        first, self.seen = self.seen, self.seen + len(valid)
        chosen = range(-first % self._every, len(valid), self._every)
        self.number += [first + i for i in chosen]
        for path, values in decoded.columns.items():
            self.columns.setdefault(path, []).extend(values[valid[i]] for i in chosen)
        events_max = min(EVENTS_MAX, VALUES_MAX // max(len(decoded.columns), 1))
        while len(self.number) > events_max:
            self._every *= 2
            del self.number[1::2]
            for column in self.columns.values():
                del column[1::2]


def concatenate_samples(
    samples: Sequence[FeatureSample],
) -> tuple[NDArray[np.int64], dict[str, list[Any]]]:
    """Return the numbers of the sampled events among those of all partitions, and their fields."""
    begins = np.cumsum([0, *(sample.seen for sample in samples)])
    numbers = [np.array(s.number, np.int64) + b for s, b in zip(samples, begins, strict=False)]
    columns: dict[str, list[Any]] = {}
    for sample in samples:
        for path, values in sample.columns.items():
            columns.setdefault(path, []).extend(values)
    return np.concatenate([np.zeros(0, np.int64), *numbers]), columns
