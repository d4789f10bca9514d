"""Ranked classes: outputs of a multi-class head as four numbers for each event instead of C.

The probabilities of a million events and three thousand classes take twelve gigabytes.  All metrics
need only the most probable class, its probability, and the probability and the rank of the target.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

FLOATS_MAX = 1 << 22  # probabilities in memory while they are ranked


@dataclass(frozen=True, slots=True)
class RankedClasses:
    """Outputs of a multi-class head for N events.

    Attributes:
        top_class: (N,) class with the highest probability; the first one if several are equal.
        confidence: (N,) its probability.
        target_probability: (N,) probability of the target class; NaN without a target.
        rank: (N,) rank of the target class, 1 for the highest probability; 0 without a target.  Of
            classes with the same probability, the first one in the spec ranks higher, as in ``top``
            of a prediction.
        classes: Number of classes, C.
    """

    top_class: NDArray[np.int64]
    confidence: NDArray[np.float32]
    target_probability: NDArray[np.float32]
    rank: NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], target: NDArray[np.float64]) -> Self:
        """Rank probabilities (N, C) against targets (N,), which are NaN where there is none."""
        count, classes = probabilities.shape
        has_target = np.isfinite(target)
        label = np.where(has_target, target, 0).astype(np.int64)
        rows = np.arange(count)
        top_class = probabilities.argmax(axis=1) if count else np.zeros(0, np.int64)
        target_probability = probabilities[rows, label]
        own = target_probability[:, None]
        before = np.arange(classes)[None] < label[:, None]
        rank = 1 + ((probabilities > own) | ((probabilities == own) & before)).sum(axis=1)
        return cls(
            top_class,
            probabilities[rows, top_class],
            np.where(has_target, target_probability, np.float32(np.nan)),
            np.where(has_target, rank, 0),
            classes,
        )

    @classmethod
    def concatenate(cls, parts: Sequence["RankedClasses"], classes: int) -> Self:
        """Concatenate outputs; without any parts the result is empty."""
        empty = cls.of(np.zeros((0, classes), np.float32), np.zeros(0))
        parts = [empty, *parts]
        return cls(
            np.concatenate([part.top_class for part in parts]),
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.target_probability for part in parts]),
            np.concatenate([part.rank for part in parts]),
            classes,
        )

    @classmethod
    def in_chunks(
        cls,
        predict: Callable[[slice], NDArray[np.float32]],
        target: NDArray[np.float64],
        classes: int,
    ) -> Self:
        """Rank the outputs of a function without storing all of its probabilities.

        Args:
            predict: Returns the probabilities (n, C) of a slice of the events.
            target: (N,) targets; NaN where there is none.
            classes: Number of classes, C.
        """
        size = max(1, FLOATS_MAX // classes)
        chunks = [slice(first, first + size) for first in range(0, len(target), size)]
        return cls.concatenate([cls.of(predict(chunk), target[chunk]) for chunk in chunks], classes)

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.rank)

    def __getitem__(self, events: slice | NDArray[np.generic]) -> "RankedClasses":
        """Return the outputs of a part of the events."""
        return RankedClasses(
            self.top_class[events],
            self.confidence[events],
            self.target_probability[events],
            self.rank[events],
            self.classes,
        )
