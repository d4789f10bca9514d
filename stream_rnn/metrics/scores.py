"""How good outputs are, for each kind of head; by torchmetrics where it has the metric."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional import classification as of_classes
from torchmetrics.functional import regression as of_numbers

from stream_rnn.metrics.ranked import Ranked
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext

Output = NDArray[np.float32] | Ranked  # of N events

PROBABILITY_MIN = 1e-7
CALIBRATION_BINS = 15
TOP = 5

LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error", "mae", "rmse"})


def main_metric(head: AnyHead) -> str:
    """Return the metric of a head where only one can be shown."""
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
    """Return which end of a metric is good."""
    return "lower" if metric in LOWER_IS_BETTER else "higher"


def score(head: AnyHead, output: Output, target: NDArray[np.float64]) -> dict[str, float]:
    """Return the metrics of a head over N events that have a label.

    Args:
        head: what was asked.
        output: (N,), for classes (N, C) or those ranked against ``target``.
        target: (N,) labels as they are learned, see ``examples.targets``.

    Returns:
        Binary: auc, pr_auc, accuracy, f1 (both at a half), log_loss, calibration_error.
        Multi-class: accuracy, top_5 (from six classes on), f1 (macro), mrr (mean reciprocal rank),
        log_loss, calibration_error (of the likeliest class).  Numbers: mae, rmse, r2, in the
        target's unit.  NaN where a metric is not defined.
    """
    if isinstance(head, Multiclass):
        return _multiclass(
            output if isinstance(output, Ranked) else Ranked.of(output, target), target
        )
    assert not isinstance(output, Ranked), "only classes are ranked"
    found = torch.from_numpy(np.ascontiguousarray(output))
    if isinstance(head, Binary):
        return _binary(found, torch.from_numpy(target > 0).long())
    return _number(found.double(), torch.from_numpy(in_unit(head, target)))


def in_unit(head: AnyHead, learned: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn targets as they are learned into the head's unit: a time into seconds."""
    return np.expm1(learned) if isinstance(head, TimeToNext) else learned


def merit(metric: str, value: float) -> float:
    """Return a metric's value so that more is better; NaN is the worst.

    Example:
        >>> merit("auc", 0.7), merit("mae", 0.7), merit("auc", float("nan"))
        (0.7, -0.7, -inf)
    """
    if np.isnan(value):
        return -np.inf
    return value if better(metric) == "higher" else -value


def log_losses(output: Output, target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -log of the probability of what came, for each of N events.

    Args:
        output: (N,) probabilities of a binary head, or ranked classes.
        target: (N,) classes.
    """
    if isinstance(output, Ranked):
        likely = output.likely.astype(np.float64)
    else:
        likely = np.where(target > 0, output.astype(np.float64), 1 - output.astype(np.float64))
    return np.asarray(-np.log(np.maximum(likely, PROBABILITY_MIN)))


def area_under_roc(is_positive: NDArray[np.bool_], output: NDArray[np.floating]) -> float:
    """Return the probability that a positive ranks above a negative, ties counting half.

    NaN if there is only one class.
    """
    if is_positive.all() or not is_positive.any():
        return float("nan")
    scores = torch.from_numpy(np.ascontiguousarray(output))
    return float(of_classes.binary_auroc(scores, torch.from_numpy(is_positive).long()))


def _binary(p: Tensor, label: Tensor) -> dict[str, float]:
    values = p.numpy(), label.numpy().astype(np.float64)
    both = 0 < int(label.sum()) < len(label)
    return {
        "auc": area_under_roc(values[1] > 0, values[0]),
        "pr_auc": float(of_classes.binary_average_precision(p, label)) if both else float("nan"),
        "accuracy": float(of_classes.binary_accuracy(p, label)),
        "f1": float(of_classes.binary_f1_score(p, label)),
        "log_loss": float(log_losses(*values).mean()),
        "calibration_error": float(
            of_classes.binary_calibration_error(p, label, n_bins=CALIBRATION_BINS)
        ),
    }


def _multiclass(output: Ranked, target: NDArray[np.float64]) -> dict[str, float]:
    found = {"accuracy": float((output.rank == 1).mean())}
    if output.classes > TOP:
        found[f"top_{TOP}"] = float((output.rank <= TOP).mean())
    # What torchmetrics measures of classes, too, but it wants all N times C probabilities for it.
    error = of_classes.binary_calibration_error(
        torch.from_numpy(output.confidence),
        torch.from_numpy((output.likeliest == target).astype(np.int64)),
        n_bins=CALIBRATION_BINS,
    )
    return {
        **found,
        "f1": _macro_f1(output.likeliest, target.astype(np.int64), output.classes),
        "mrr": float((1 / output.rank).mean()),
        "log_loss": float(log_losses(output, target).mean()),
        "calibration_error": float(error),
    }


def _macro_f1(said: NDArray[np.int64], came: NDArray[np.int64], classes: int) -> float:
    """Return the mean F1 over classes that were said or came; torchmetrics would count C² pairs."""
    right = np.bincount(came[said == came], minlength=classes)
    both = np.bincount(said, minlength=classes) + np.bincount(came, minlength=classes)
    seen = both > 0
    return float((2 * right[seen] / both[seen]).mean()) if seen.any() else float("nan")


def _number(value: Tensor, truth: Tensor) -> dict[str, float]:
    spread = len(truth) > 1 and float(truth.min()) < float(truth.max())
    return {
        "mae": float(of_numbers.mean_absolute_error(value, truth)),
        "rmse": float(of_numbers.mean_squared_error(value, truth, squared=False)),
        "r2": float(of_numbers.r2_score(value, truth)) if spread else float("nan"),
    }
