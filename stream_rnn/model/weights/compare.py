"""The outputs of a model, compared with those of the network's own code."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.model.weights.reference import Steps

BLOCK_STEPS, BLOCK_NUMBERS = 1_000, 4_000_000  # of the largest layer, in one block
TOLERANCE = 1e-5  # absolute, and relative for outputs above 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """The largest difference between two sets of outputs.

    Attributes:
        largest: Largest difference, divided by the size of an output above 1.
        compared: Number of outputs that were compared.
        first: Place and values of the first difference above the tolerance, for people; empty if
            there is none.
    """

    largest: float
    compared: int
    first: str = ""


def outputs_of(model: Model, steps: Steps) -> NDArray[np.float64]:
    """Return y (N, T, O) of a model, computed in blocks of bounded size."""
    count, length = steps.x.shape[:2]
    y = np.zeros((count, length, model.output_count))
    width = max(model.network.head.in_features, model.feature_count, model.output_count)
    rows = max(1, BLOCK_NUMBERS // (min(length, BLOCK_STEPS) * width))
    for at in range(0, count, rows):
        x = torch.from_numpy(steps.x[at : at + rows])
        h = model.initial_hidden(len(x))
        for step in range(0, length, BLOCK_STEPS):
            end = step + BLOCK_STEPS
            outputs, h = model.forward(x[:, step:end], h)
            y[at : at + rows, step:end] = outputs.numpy()
    return y


def difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the difference of each output, relative to those above 1; 0 where theirs is NaN."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))
    gap = np.where(np.isnan(ours) & ~np.isnan(theirs), np.inf, gap)
    return np.where(np.isnan(theirs), 0.0, gap)


def compare(model: Model, all_steps: Sequence[Steps]) -> Comparison:
    """Compare the outputs of a model with those of the network's own code."""
    largest, compared, first = 0.0, 0, ""
    for steps in all_steps:
        ours = outputs_of(model, steps)
        gap = difference(ours, steps.y)
        largest = max(largest, float(gap.max(initial=0.0)))
        compared += int(np.isfinite(steps.y).sum())
        if not first and (gap > TOLERANCE).any():
            # In the order of time: the first step that differs tells most.
            step, row, output = np.argwhere((gap > TOLERANCE).transpose(1, 0, 2))[0].tolist()
            place = _place(steps, row, step)
            first = (
                f"{place}, output {output_names(model.spec)[output]}: {ours[row, step, output]:.7g} "
                f"instead of {steps.y[row, step, output]:.7g}"
            )
    return Comparison(largest, compared, first)


def _place(steps: Steps, row: int, step: int) -> str:
    if isinstance(steps.index, int):
        return f"sequence {steps.index + row}, step {step}"
    return f"event {steps.index[step]} (step {step} of its key)"


def output_names(spec: FeatureSpec) -> list[str]:
    """Return a name for each output: that of the head, and the class if it has several."""
    return [
        f"{head.name}[{label}]" if head.width > 1 else head.name
        for head in spec.heads
        for label in (head.labels if head.kind == "multiclass" else ("",))
    ]
