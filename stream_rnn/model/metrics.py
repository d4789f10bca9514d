"""How good outputs are, for each kind of head."""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext

PROBABILITY_MIN = 1e-7


def score(
    head: AnyHead, output: NDArray[np.float32], target: NDArray[np.float64]
) -> dict[str, float]:
    """Return the metrics of a head over N events that have a label.

    Args:
        head: what was asked.
        output: (N,), for classes (N, C).
        target: (N,) labels as they are learned, see ``training.targets``.
    """
    match head:
        case Binary():
            p = np.clip(output.astype(np.float64), PROBABILITY_MIN, 1 - PROBABILITY_MIN)
            loss = -np.where(target > 0, np.log(p), np.log1p(-p))
            return {"auc": area_under_roc(target > 0, output), "log_loss": float(loss.mean())}
        case Multiclass():
            label = target.astype(np.int64)
            likelihood = np.maximum(output[np.arange(len(label)), label], PROBABILITY_MIN)
            return {
                "accuracy": float((output.argmax(axis=1) == label).mean()),
                "log_loss": float(-np.log(likelihood.astype(np.float64)).mean()),
            }
        case _:
            truth = np.expm1(target) if isinstance(head, TimeToNext) else target
            error = output.astype(np.float64) - truth
            return {
                "mae": float(np.abs(error).mean()),
                "rmse": float(np.sqrt(np.square(error).mean())),
            }


def area_under_roc(is_positive: NDArray[np.bool_], output: NDArray[np.floating]) -> float:
    """Return the probability that a positive ranks above a negative, ties counting half.

    By ranks (Hanley and McNeil 1982).  NaN if there is only one class.
    """
    positives = int(is_positive.sum())
    negatives = len(is_positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, group, counts = np.unique(output, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2
    ranks = float(mean_rank[group][is_positive].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)
