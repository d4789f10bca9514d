"""The offsets of which a fold must have published the outputs, if several folds are audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Duty:
    """The offsets of one fold.

    Attributes:
        is_mine: (N,) whether the fold can have been in charge of an offset.
        is_led: (N,) whether it is the first of the folds that can have been in charge.
        is_shared: (N,) whether several folds can have been in charge.
    """

    is_mine: NDArray[np.bool_]
    is_led: NDArray[np.bool_]
    is_shared: NDArray[np.bool_]

    @classmethod
    def of_one_fold(cls, count: int) -> Self:
        """Return the duty of the only audited fold; the arrays take no memory."""
        every, none = np.broadcast_to(np.True_, count), np.broadcast_to(np.False_, count)
        return cls(every, every, none)

    @classmethod
    def of_folds(cls, masks: Sequence[NDArray[np.bool_]]) -> list[Self]:
        """Return the duty of each fold.

        Args:
            masks: For each fold, (N,) whether it can have been in charge of an offset.
        """
        count: NDArray[np.uint8] = np.sum(masks, axis=0, dtype=np.uint8)
        is_shared = count > 1
        taken: NDArray[np.bool_] = np.zeros(is_shared.shape, bool)
        duties = []
        for mask in masks:
            duties.append(cls(mask, mask & ~taken, is_shared))
            taken |= mask
        return duties
