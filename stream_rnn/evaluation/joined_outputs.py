"""The joined predictions of two folds as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.model.heads import AnyHead, Multiclass
from stream_rnn.rollout.fold_predictions import JoinedPartition


@dataclass(frozen=True, slots=True)
class NamedClasses:
    """Outputs of a multi-class head as published: only the likeliest K of C classes have a name.

    Attributes:
        ids: (N, K) classes, the likeliest first; -1 where a prediction names fewer.
        probabilities: (N, K) their probabilities; NaN where there is no class.
        classes: Number of all classes, C.
    """

    ids: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    classes: int

    @property
    def top_class(self) -> NDArray[np.int64]:
        """(N,) likeliest class."""
        return self.ids[:, 0]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N,) probability of the likeliest class."""
        return self.probabilities[:, 0]

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.ids)

    def __getitem__(self, events: NDArray[np.generic]) -> "NamedClasses":
        """Return the outputs of some events."""
        return NamedClasses(self.ids[events], self.probabilities[events], self.classes)

    def probability_of(self, wanted: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability (N,) of a class (N,).

        A class without a name counts with the least probability that is named, so that a difference
        from it is never overstated.
        """
        is_wanted = self.ids == wanted[:, None]
        least = np.nanmin(self.probabilities, axis=1)
        place = is_wanted.argmax(axis=1)
        found = self.probabilities[np.arange(len(self)), place]
        return np.asarray(np.where(is_wanted.any(axis=1), found, least), np.float64)

    def ranked(self, target: NDArray[np.float64]) -> RankedClasses:
        """Rank the targets (N,), which all are classes.

        A target without a name has no probability (NaN), and the rank after the named classes.
        """
        is_target = self.ids == target.astype(np.int64)[:, None]
        place, has_name = is_target.argmax(axis=1), is_target.any(axis=1)
        found = self.probabilities[np.arange(len(self)), place]
        return RankedClasses(
            top_class=self.top_class,
            confidence=self.confidence,
            target_probability=np.where(has_name, found, np.float32(np.nan)),
            rank=np.where(has_name, place, (self.ids >= 0).sum(axis=1)) + 1,
            classes=self.classes,
        )

    @property
    def named_min(self) -> int:
        """Smallest number of classes that a prediction names."""
        return int((self.ids >= 0).sum(axis=1).min(initial=self.classes))


PublishedOutput = NDArray[np.float32] | NamedClasses
"""Outputs of N events: (N,) numbers or probabilities, (N, Q) quantiles, or named classes."""


@dataclass(frozen=True, slots=True)
class JoinedColumns:
    """N events that both folds predict, with K keys, in offset order by partition.

    Attributes:
        keys: The K record keys.
        key: Index (N,) of each event's key in ``keys``.
        partition: Source partitions (N,).
        offset: Source offsets (N,).
        time_ms: Event times (N,), in milliseconds since 1970.
        old: Outputs of the old fold for each head.
        new: Outputs of the new fold for each head.
    """

    keys: list[bytes]
    key: NDArray[np.int64]
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    old: dict[str, PublishedOutput]
    new: dict[str, PublishedOutput]

    @classmethod
    def of(cls, heads: Sequence[AnyHead], joined: Sequence[JoinedPartition]) -> "JoinedColumns":
        """Make columns of the events that both folds predict.

        Args:
            heads: Compared heads, in the order of the outputs of each prediction.
            joined: Joined partitions.
        """
        number: dict[bytes, int] = {}
        places = [(one, offset) for one in joined for offset in one.joined]
        old = [one.old[offset] for one, offset in places]
        new = [one.new[offset] for one, offset in places]
        return cls(
            key=np.array([number.setdefault(p.key, len(number)) for p in old], np.int64),
            keys=list(number),
            partition=np.array([one.partition for one, _ in places], np.int64),
            offset=np.array([offset for _, offset in places], np.int64),
            time_ms=np.array([p.time_ms for p in old], np.int64),
            old={h.name: _column(h, [p.outputs[i] for p in old]) for i, h in enumerate(heads)},
            new={h.name: _column(h, [p.outputs[i] for p in new]) for i, h in enumerate(heads)},
        )


def _column(head: AnyHead, values: Sequence[Any]) -> PublishedOutput:
    if not isinstance(head, Multiclass):
        return np.array(values, np.float32)
    index = {label: number for number, label in enumerate(head.labels)}
    width = max(map(len, values), default=1)
    ids = np.full((len(values), width), -1, np.int64)
    probabilities = np.full((len(values), width), np.nan, np.float32)
    for row, top in enumerate(values):
        ids[row, : len(top)] = [index[label] for label, _ in top]
        probabilities[row, : len(top)] = [probability for _, probability in top]
    return NamedClasses(ids, probabilities, len(head.labels))
