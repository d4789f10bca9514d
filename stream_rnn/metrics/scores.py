"""Metrics of outputs for each kind of head, in float64; torchmetrics computes most of them.

torchmetrics does not compute R², because it takes sums of squares below 1e-4 for 0; the area under
the ROC curve, because it takes numbers outside of [0, 1] for logits; and the calibration error,
because it adds a bin for the probability 1.0.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional import classification as of_classes
from torchmetrics.functional import regression as of_numbers

from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile, TimeToNext

Output = NDArray[np.float32] | RankedClasses  # (N,)

PROBABILITY_MIN = 1e-7
CALIBRATION_BINS = 15
TOP = 5

LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error", "mae", "rmse", "pinball"})


def main_metric(head: AnyHead) -> str:
    """Return the metric to show for a head if there is room for only one."""
    match head:
        case Binary():
            return "auc"
        case Multiclass():
            return "accuracy"
        case TimeToNext():
            return "mae"
        case Quantile():
            return "pinball"
        case _:
            return "rmse"


def better(metric: str) -> Literal["higher", "lower"]:
    """Return whether higher or lower values of a metric are better."""
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
        Quantiles: see :func:`by_event`.
    """
    if isinstance(head, Multiclass):
        return _multiclass(
            output if isinstance(output, RankedClasses) else RankedClasses.of(output, target),
            target,
        )
    assert not isinstance(output, RankedClasses), "only multi-class heads have ranked classes"
    if isinstance(head, Binary):
        return _binary(output, target > 0)
    if isinstance(head, Quantile):
        return {name: float(each.mean()) for name, each in by_event(head, output, target).items()}
    return _number(output.astype(np.float64), in_unit(head, target))


def by_event(
    head: Quantile, output: Output, target: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of a quantile head for each of N events, whose means are its metrics.

    Args:
        head: The head, with Q quantiles.
        output: (N, Q) quantiles.
        target: (N,) targets.

    Returns:
        pinball, the mean of the pinball losses of the quantiles, in the target's unit; and with two
        or more quantiles coverage, whether the target lies between the least and the greatest
        quantile, and width, the distance of the two.
    """
    assert not isinstance(output, RankedClasses), "only multi-class heads have ranked classes"
    values, quantiles = output.astype(np.float64), np.array(head.quantiles)
    error = target[:, None] - values
    found = {"pinball": np.maximum(quantiles * error, (quantiles - 1) * error).mean(axis=1)}
    if head.width > 1:
        is_inside = (values[:, 0] <= target) & (target <= values[:, -1])
        found["coverage"] = is_inside.astype(np.float64)
        found["width"] = values[:, -1] - values[:, 0]
    return found


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


def log_losses(
    output: Output, target: NDArray[np.float64] | NDArray[np.bool_]
) -> NDArray[np.float64]:
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
    _, value, events = np.unique(output, return_inverse=True, return_counts=True)
    positives = np.bincount(value, weights=is_positive).astype(np.float64)
    return area_of_counts(positives, events - positives)


def area_of_counts(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve from the numbers of events with each output.

    Args:
        positives: (V,) numbers of positives with each output, the lowest output first.
        negatives: (V,) numbers of negatives.
    """
    pairs = positives.sum() * negatives.sum()
    below = np.cumsum(negatives) - negatives / 2  # negatives with a lower output; ties count half
    return float((positives * below).sum() / pairs) if pairs else float("nan")


def _binary(output: NDArray[np.float32], is_positive: NDArray[np.bool_]) -> dict[str, float]:
    p, label = torch.from_numpy(output.astype(np.float64)), torch.from_numpy(is_positive).long()
    has_both = is_positive.any() and not is_positive.all()
    has_f1 = bool((is_positive | (output > 0.5)).any())
    nan = float("nan")
    return {
        "auc": area_under_roc(is_positive, output),
        "pr_auc": float(of_classes.binary_average_precision(p, label)) if has_both else nan,
        "accuracy": float(of_classes.binary_accuracy(p, label)),
        "f1": float(of_classes.binary_f1_score(p, label)) if has_f1 else nan,
        "log_loss": float(log_losses(output, is_positive).mean()),
        "calibration_error": _calibration_error(output, is_positive),
    }


def _multiclass(output: RankedClasses, target: NDArray[np.float64]) -> dict[str, float]:
    accuracies = {"accuracy": float((output.rank == 1).mean())}
    if output.classes > TOP:
        accuracies[f"top_{TOP}"] = float((output.rank <= TOP).mean())
    return {
        **accuracies,
        "f1": _macro_f1(output.top_class, target.astype(np.int64), output.classes),
        "mrr": float((1 / output.rank).mean()),
        "log_loss": float(log_losses(output, target).mean()),
        "calibration_error": _calibration_error(output.confidence, output.top_class == target),
    }


def _calibration_error(probability: NDArray[np.float32], is_hit: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over bins of equal width."""
    confidence = probability.astype(np.float64)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    return float(np.abs(np.bincount(bins, weights=confidence - is_hit)).sum() / len(is_hit))


def _macro_f1(predicted: NDArray[np.int64], target: NDArray[np.int64], classes: int) -> float:
    """Return the mean F1 of the classes that occur; torchmetrics would count C² pairs."""
    correct = np.bincount(target[predicted == target], minlength=classes)
    occurrences = np.bincount(predicted, minlength=classes) + np.bincount(target, minlength=classes)
    occurs = occurrences > 0
    return (
        float((2 * correct[occurs] / occurrences[occurs]).mean()) if occurs.any() else float("nan")
    )


def _number(value: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    r2 = float("nan")
    if len(truth) and truth.min() < truth.max():
        r2 = float(1 - np.square(value - truth).sum() / np.square(truth - truth.mean()).sum())
    outputs, targets = torch.from_numpy(value), torch.from_numpy(truth)
    return {
        "mae": float(of_numbers.mean_absolute_error(outputs, targets)),
        "rmse": float(of_numbers.mean_squared_error(outputs, targets, squared=False)),
        "r2": r2,
    }
