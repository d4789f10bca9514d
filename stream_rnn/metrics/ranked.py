"""Ranked: what a multi-class head said of each event, in four numbers instead of C.

A log of a million events and three thousand classes has twelve gigabytes of probabilities.  All
metrics need of them is the likeliest class, its probability, and the probability and the rank of
the class that came.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

FLOATS_AT_ONCE = 1 << 22  # of probabilities that are held while they are ranked


@dataclass(frozen=True, slots=True)
class Ranked:
    """Answers to N events.

    Attributes:
        likeliest: (N,) the class with the highest probability; of equals the first.
        confidence: (N,) its probability.
        likely: (N,) probability of the class that came; NaN where none did.
        rank: (N,) rank of the class that came, 1 for the likeliest; 0 where none did.  Of equals
            the one that the spec names first ranks higher, as in a prediction's ``top``.
        classes: C.
    """

    likeliest: NDArray[np.int64]
    confidence: NDArray[np.float32]
    likely: NDArray[np.float32]
    rank: NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], target: NDArray[np.float64]) -> Self:
        """Rank probabilities (N, C) against what came (N,), NaN where nothing did."""
        count, classes = probabilities.shape
        came = np.isfinite(target)
        label = np.where(came, target, 0).astype(np.int64)
        rows = np.arange(count)
        likeliest = probabilities.argmax(axis=1) if count else np.zeros(0, np.int64)
        likely = probabilities[rows, label]
        own = likely[:, None]
        before = np.arange(classes)[None] < label[:, None]
        rank = 1 + ((probabilities > own) | ((probabilities == own) & before)).sum(axis=1)
        return cls(
            likeliest,
            probabilities[rows, likeliest],
            np.where(came, likely, np.float32(np.nan)),
            np.where(came, rank, 0),
            classes,
        )

    @classmethod
    def joined(cls, parts: Sequence["Ranked"], classes: int) -> Self:
        """Put answers behind one another; there may be none."""
        empty = cls.of(np.zeros((0, classes), np.float32), np.zeros(0))
        whole: list[Ranked] = [empty, *parts]
        return cls(
            np.concatenate([part.likeliest for part in whole]),
            np.concatenate([part.confidence for part in whole]),
            np.concatenate([part.likely for part in whole]),
            np.concatenate([part.rank for part in whole]),
            classes,
        )

    @classmethod
    def piece_by_piece(
        cls,
        answer: Callable[[slice], NDArray[np.float32]],
        target: NDArray[np.float64],
        classes: int,
    ) -> Self:
        """Rank the probabilities (n, C) that ``answer`` gives for n of N events at a time."""
        size = max(1, FLOATS_AT_ONCE // classes)
        pieces = [slice(first, first + size) for first in range(0, len(target), size)]
        return cls.joined([cls.of(answer(p), target[p]) for p in pieces], classes)

    def __len__(self) -> int:
        """Return N."""
        return len(self.rank)

    def __getitem__(self, events: slice | NDArray[np.generic]) -> "Ranked":
        """Return the answers to some of the events."""
        return Ranked(
            self.likeliest[events],
            self.confidence[events],
            self.likely[events],
            self.rank[events],
            self.classes,
        )
