"""Surprise: how far an event is from what the heads predicted at the key's previous event.

Binary and multi-class heads give -log p of what happened, in nats.  Heads of numbers and of times
have no scale of their own (their loss is that of a scaled error), so they give the error in standard
deviations of the target in training.  ``heads.py`` has the formula of each kind.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import FLOAT32_MAX, TimeToNext
from stream_rnn.model.targets import encode_targets, labels_of


class Surprise:
    """The heads with ``surprise = true``, whose columns of y a key's state stores.

    Attributes:
        heads: These heads.
        columns: (S,) Their columns of y.
        names: Names of these columns, for people.

    Invariant: the bits of a row do not depend on other rows (``tests/property/test_fold.py``).
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.heads = tuple(head for head in spec.heads if head.surprise)
        first = np.cumsum([0, *(head.width for head in spec.heads)]).tolist()
        columns = [
            column
            for head, start in zip(spec.heads, first, strict=False)
            if head.surprise
            for column in range(start, start + head.width)
        ]
        self.columns = np.array(columns, np.intp)
        self.names = tuple(
            f"y.{head.name}.{label}" if label else f"y.{head.name}"
            for head in self.heads
            for label in getattr(head, "labels", ("",))
        )

    def of(
        self,
        columns: Mapping[str, Sequence[Any]],
        since_ms: NDArray[np.float64],
        before: NDArray[np.float32],
    ) -> dict[str, NDArray[np.float32]]:
        """Return the surprise (N,) of each event by head; NaN where there is none.

        There is none at the first event of a memory, and where the event has no target.

        Args:
            columns: N values for the path of each field.
            since_ms: (N,) Milliseconds since the previous event of the key; NaN for none.
            before: (N, S) y of the previous event of the key; any values where there is none.
        """
        surprises, at = {}, 0
        is_warm = ~np.isnan(since_ms)
        y = np.ascontiguousarray(np.where(is_warm[:, None], before, 0).T, np.float64)  # (S, N)
        for head in self.heads:
            if isinstance(head, TimeToNext):
                target = encode_targets(head, since_ms / 1000)
            else:
                target = encode_targets(head, labels_of(head, columns[head.path]))
            with np.errstate(over="ignore", invalid="ignore"):
                values = head.surprise_of(y[at : at + head.width], target)
            values = np.minimum(np.where(is_warm, values, np.nan), FLOAT32_MAX)
            surprises[head.name] = values.astype(np.float32)
            at += head.width
        return surprises
