"""The values of a head's field: which of them are labels, and how labels are encoded for training."""

from collections.abc import Sequence
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.heads import AnyHead

JSON_TYPES = {float: "number", int: "number", bool: "boolean", str: "text"}


def labels_of(head: AnyHead, values: Sequence[Any]) -> list[Any]:
    """Return the values that are labels of a head; ``None`` for each value of another type."""
    types = {kind for kind, name in JSON_TYPES.items() if name in head.types}
    values = list(map(head.read, values)) if head.parses else values
    return [value if type(value) in types else None for value in values]


def encode_targets(
    head: AnyHead, values: Sequence[Any] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the values (N,) of a head's field, encoded for training; NaN for none."""
    if isinstance(values, list) and set(map(type, values)) <= {bool, str, NoneType}:
        found = {value: head.target(value) for value in set(values)}  # few, of many events
        floats = {v: np.nan if target is None else target for v, target in found.items()}
        return np.fromiter(map(floats.__getitem__, values), np.float64, len(values))
    encoded = np.full(len(values), np.nan)
    for i, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        target = None if value != value else head.target(value)  # noqa: PLR0124  # NaN is none
        if target is not None:
            encoded[i] = target
    return encoded
