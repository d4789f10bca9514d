"""How good outputs are, for each kind of head; by torchmetrics where it has the metric."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional import classification as of_classes
from torchmetrics.functional import regression as of_numbers

from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext

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


def score(
    head: AnyHead, output: NDArray[np.float32], target: NDArray[np.float64]
) -> dict[str, float]:
    """Return the metrics of a head over N events that have a label.

    Args:
        head: what was asked.
        output: (N,), for classes (N, C).
        target: (N,) labels as they are learned, see ``examples.targets``.

    Returns:
        Binary: auc, pr_auc, accuracy, f1 (both at a half), log_loss, calibration_error.
        Multi-class: accuracy, top_5 (from six classes on), f1 (macro), mrr (mean reciprocal rank),
        log_loss, calibration_error (of the likeliest class).  Numbers: mae, rmse, r2, in the
        target's unit.  NaN where a metric is not defined.
    """
    found = torch.from_numpy(np.ascontiguousarray(output))
    match head:
        case Binary():
            return _binary(found, torch.from_numpy(target > 0).long())
        case Multiclass():
            return _multiclass(found, torch.from_numpy(target).long())
        case _:
            truth = np.expm1(target) if isinstance(head, TimeToNext) else target
            return _number(found.double(), torch.from_numpy(truth))


def log_losses(output: NDArray[np.float32], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -log of the probability of what came, for each of N events.

    Args:
        output: (N,) probabilities of a binary head, (N, C) of a multi-class one.
        target: (N,) classes.
    """
    if output.ndim == 1:
        likely = np.where(target > 0, output.astype(np.float64), 1 - output.astype(np.float64))
    else:
        likely = np.take_along_axis(output, target.astype(np.int64)[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(likely.astype(np.float64), PROBABILITY_MIN)))


def ranks(output: NDArray[np.float32], target: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rank of what came among the classes (N, C), 1 for the likeliest.

    Of equals the one that the spec names first ranks higher, as in a prediction's ``top``.
    """
    label = target.astype(np.int64)
    own = np.take_along_axis(output, label[:, None], axis=1)
    before = np.arange(output.shape[1])[None] < label[:, None]
    return np.asarray(1 + ((output > own) | ((output == own) & before)).sum(axis=1))


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


def _multiclass(p: Tensor, label: Tensor) -> dict[str, float]:
    classes = p.shape[1]
    values = p.numpy(), label.numpy().astype(np.float64)
    rank = ranks(*values)
    found = {"accuracy": float((rank == 1).mean())}
    if classes > TOP:
        found[f"top_{TOP}"] = float((rank <= TOP).mean())
    macro = of_classes.multiclass_f1_score(p, label, num_classes=classes, average="macro")
    error = of_classes.multiclass_calibration_error(
        p, label, num_classes=classes, n_bins=CALIBRATION_BINS
    )
    return {
        **found,
        "f1": float(macro),
        "mrr": float((1 / rank).mean()),
        "log_loss": float(log_losses(*values).mean()),
        "calibration_error": float(error),
    }


def _number(value: Tensor, truth: Tensor) -> dict[str, float]:
    spread = len(truth) > 1 and float(truth.min()) < float(truth.max())
    return {
        "mae": float(of_numbers.mean_absolute_error(value, truth)),
        "rmse": float(of_numbers.mean_squared_error(value, truth, squared=False)),
        "r2": float(of_numbers.r2_score(value, truth)) if spread else float("nan"),
    }
