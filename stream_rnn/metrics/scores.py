"""Metrics of outputs for each kind of head; torchmetrics computes those that it has."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional import classification as of_classes
from torchmetrics.functional import regression as of_numbers

from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext

Output = NDArray[np.float32] | RankedClasses  # (N,)

PROBABILITY_MIN = 1e-7
CALIBRATION_BINS = 15
TOP = 5

LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error", "mae", "rmse"})


def main_metric(head: AnyHead) -> str:
    """Return the metric to show for a head if there is room for only one."""
    match head:
        case Binary():
            return "auc"
        case Multiclass():
            return "accuracy"
        case TimeToNext():
            return "mae"
        case _:
            return "rmse"


def better(metric: str) -> Literal["higher", "lower"]:
    """Return which direction of a metric is better."""
    return "lower" if metric in LOWER_IS_BETTER else "higher"


def score(head: AnyHead, output: Output, target: NDArray[np.float64]) -> dict[str, float]:
    """Compute the metrics of a head over N events that have a target.

    Args:
        head: The head.
        output: (N,) outputs; for a multi-class head (N, C) probabilities, or ranked classes.
        target: (N,) targets in the scale of training; see ``training/targets.py``.

    Returns:
        Metric -> value, NaN if the metric is undefined.  Binary: auc, pr_auc, accuracy and f1 (both
        at a threshold of 0.5), log_loss, calibration_error.  Multi-class: accuracy, top_5 (for more
        than five classes), f1 (macro), mrr (mean reciprocal rank), log_loss, calibration_error (of
        the most probable class).  Numbers: mae, rmse, r2, in the target's unit.
    """
    if isinstance(head, Multiclass):
        return _multiclass(
            output if isinstance(output, RankedClasses) else RankedClasses.of(output, target),
            target,
        )
    assert not isinstance(output, RankedClasses), "only multi-class heads have ranked classes"
    values = torch.from_numpy(np.ascontiguousarray(output))
    if isinstance(head, Binary):
        return _binary(values, torch.from_numpy(target > 0).long())
    return _number(values.double(), torch.from_numpy(in_unit(head, target)))


def in_unit(head: AnyHead, target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert targets from the scale of training to the head's unit: a time to seconds."""
    return np.expm1(target) if isinstance(head, TimeToNext) else target


def merit(metric: str, value: float) -> float:
    """Return a metric's value with a sign such that higher is better; NaN is the worst value.

    Example:
        >>> merit("auc", 0.7), merit("mae", 0.7), merit("auc", float("nan"))
        (0.7, -0.7, -inf)
    """
    if np.isnan(value):
        return -np.inf
    return value if better(metric) == "higher" else -value


def log_losses(output: Output, target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the negative logarithm of the target's probability for each of N events.

    Args:
        output: (N,) probabilities of a binary head, or ranked classes.
        target: (N,) classes.
    """
    if isinstance(output, RankedClasses):
        probability = output.target_probability.astype(np.float64)
    else:
        positive = output.astype(np.float64)
        probability = np.where(target > 0, positive, 1 - positive)
    return np.asarray(-np.log(np.maximum(probability, PROBABILITY_MIN)))


def area_under_roc(is_positive: NDArray[np.bool_], output: NDArray[np.floating]) -> float:
    """Return the probability that a positive ranks above a negative; ties count half.

    Returns NaN if all events are of one class.
    """
    if is_positive.all() or not is_positive.any():
        return float("nan")
    scores = torch.from_numpy(np.ascontiguousarray(output))
    return float(of_classes.binary_auroc(scores, torch.from_numpy(is_positive).long()))


def _binary(p: Tensor, label: Tensor) -> dict[str, float]:
    values = p.numpy(), label.numpy().astype(np.float64)
    has_both = 0 < int(label.sum()) < len(label)
    return {
        "auc": area_under_roc(values[1] > 0, values[0]),
        "pr_auc": float(of_classes.binary_average_precision(p, label))
        if has_both
        else float("nan"),
        "accuracy": float(of_classes.binary_accuracy(p, label)),
        "f1": float(of_classes.binary_f1_score(p, label)),
        "log_loss": float(log_losses(*values).mean()),
        "calibration_error": float(
            of_classes.binary_calibration_error(p, label, n_bins=CALIBRATION_BINS)
        ),
    }


def _multiclass(output: RankedClasses, target: NDArray[np.float64]) -> dict[str, float]:
    accuracies = {"accuracy": float((output.rank == 1).mean())}
    if output.classes > TOP:
        accuracies[f"top_{TOP}"] = float((output.rank <= TOP).mean())
    # torchmetrics computes the same for classes, but from all N times C probabilities.
    error = of_classes.binary_calibration_error(
        torch.from_numpy(output.confidence),
        torch.from_numpy((output.top_class == target).astype(np.int64)),
        n_bins=CALIBRATION_BINS,
    )
    return {
        **accuracies,
        "f1": _macro_f1(output.top_class, target.astype(np.int64), output.classes),
        "mrr": float((1 / output.rank).mean()),
        "log_loss": float(log_losses(output, target).mean()),
        "calibration_error": float(error),
    }


def _macro_f1(predicted: NDArray[np.int64], target: NDArray[np.int64], classes: int) -> float:
    """Return the mean F1 of the classes that occur; torchmetrics would count C² pairs."""
    correct = np.bincount(target[predicted == target], minlength=classes)
    occurrences = np.bincount(predicted, minlength=classes) + np.bincount(target, minlength=classes)
    occurs = occurrences > 0
    return (
        float((2 * correct[occurs] / occurrences[occurs]).mean()) if occurs.any() else float("nan")
    )


def _number(value: Tensor, truth: Tensor) -> dict[str, float]:
    spread = len(truth) > 1 and float(truth.min()) < float(truth.max())
    return {
        "mae": float(of_numbers.mean_absolute_error(value, truth)),
        "rmse": float(of_numbers.mean_squared_error(value, truth, squared=False)),
        "r2": float(of_numbers.r2_score(value, truth)) if spread else float("nan"),
    }
