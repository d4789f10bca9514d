"""Gaussian noise on the inputs of a network in training; validation and test have none.

Only scaled numeric features and times get noise, not categories, booleans or the calendar.
Training with noise penalizes large gradients with respect to the inputs (Bishop 1995, Neural
Computation 7).
"""

import torch
from torch import Tensor

from stream_rnn.model.features import FeatureSpec, Numeric, SincePrevious, column_names
from stream_rnn.model.vector import Vector


class Noise:
    """The noise of one epoch.

    Args:
        spec: Feature spec, which determines the columns.
        event_std: Standard deviation of the noise that is drawn for each event.
        run_std: Standard deviation of the noise that is drawn once for all events of a run.
        runs: Number of runs R; 0 if events are shuffled, so that both are drawn for each event.
    """

    def __init__(self, spec: FeatureSpec, event_std: float, run_std: float, runs: int) -> None:
        columns: list[bool] = []
        for feature in spec.features:
            numbers = feature.length if isinstance(feature, Vector) else 1  # the first columns
            is_number = isinstance(feature, Numeric | SincePrevious | Vector)
            others = len(column_names(feature)) - numbers
            columns += [*[is_number] * numbers, *[False] * others]
        self._columns = torch.tensor(columns, dtype=torch.float32)  # (F,)
        self._event_std = event_std if runs else (event_std**2 + run_std**2) ** 0.5
        self._run_noise: Tensor | None = None
        if run_std and runs:
            self._run_noise = torch.randn(runs, len(columns)) * run_std * self._columns

    def add(self, x: Tensor, runs: slice) -> Tensor:
        """Return x (A, T, F) of A runs with noise added."""
        if self._event_std:
            x = x + torch.randn_like(x) * self._event_std * self._columns
        if self._run_noise is not None:
            x = x + self._run_noise[runs, None]
        return x
