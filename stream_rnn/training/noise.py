"""Noise on what a network sees in training; never on what it is judged by.

Only scaled numbers get some: a category, a yes or no, an hour are what they are.  Training with
noise is a penalty on how steep the network is in its inputs (Bishop 1995, Neural Computation 7).
"""

import torch
from torch import Tensor

from stream_rnn.model.features import FeatureSpec, Numeric, SincePrevious, column_names


class Noise:
    """The noise of one epoch.

    Args:
        spec: whose columns.
        each: standard deviation of what an event gets.
        of_run: standard deviation of what all events of a run get; drawn here.
        runs: R; 0 where events are not in runs: each event gets both.
    """

    def __init__(self, spec: FeatureSpec, each: float, of_run: float, runs: int) -> None:
        columns: list[bool] = []
        for feature in spec.features:
            is_number = isinstance(feature, Numeric | SincePrevious)
            names = column_names(feature)  # the first one holds the number
            columns += [is_number, *[False] * (len(names) - 1)]
        self._columns = torch.tensor(columns, dtype=torch.float32)  # (F,)
        self._each = each if runs else (each**2 + of_run**2) ** 0.5
        self._offsets: Tensor | None = None
        if of_run and runs:
            self._offsets = torch.randn(runs, len(columns)) * of_run * self._columns

    def add(self, x: Tensor, runs: slice) -> Tensor:
        """Return x (A, T, F) of some runs with noise."""
        if self._each:
            x = x + torch.randn_like(x) * self._each * self._columns
        if self._offsets is not None:
            x = x + self._offsets[runs, None]
        return x
