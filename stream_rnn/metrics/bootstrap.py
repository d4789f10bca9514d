"""Intervals: how far a metric may be from what other keys would have given.

Events of one key are not independent, so whole keys are drawn, with replacement (the cluster
bootstrap; Davison and Hinkley 1997, section 3.8).  All models are measured on the same draws, so
the interval of a difference is that of pairs.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.ranked import Ranked
from stream_rnn.metrics.scores import TOP, Output, in_unit, log_losses
from stream_rnn.model.heads import AnyHead, Binary

KEYS_MIN = 10
BOOTSTRAP_SAMPLES = 200
CONFIDENCE = 0.95

Draws = NDArray[np.int32]  # (D, K): how often each key was drawn


def draw_keys(keys: int, seed: int, draws: int = BOOTSTRAP_SAMPLES) -> Draws | None:
    """Draw keys; ``None`` where there are too few for an interval."""
    if keys < KEYS_MIN:
        return None
    rng = np.random.default_rng(seed)
    return np.stack(
        [np.bincount(rng.integers(0, keys, keys), minlength=keys) for _ in range(draws)]
    ).astype(np.int32)


def drawn_metrics(
    head: AnyHead,
    output: Output,
    target: NDArray[np.float64],
    key: NDArray[np.int64],
    draws: Draws,
) -> dict[str, NDArray[np.float64]]:
    """Return metrics of a head in each draw: metric -> (D,); those that can be had fast.

    Args:
        head: what was asked.
        output: (N,), classes ranked.
        target: (N,) labels as they are learned.
        key: (N,) number of each event's key.
        draws: (D, K).
    """
    if isinstance(output, Ranked):
        means = {
            "accuracy": (output.rank == 1).astype(np.float64),
            "log_loss": log_losses(output, target),
            "mrr": 1 / output.rank,
        }
        if output.classes > TOP:
            means[f"top_{TOP}"] = (output.rank <= TOP).astype(np.float64)
        return _means(means, key, draws)
    if isinstance(head, Binary):
        means = {
            "log_loss": log_losses(output, target),
            "accuracy": ((output > 0.5) == (target > 0)).astype(np.float64),
        }
        return {"auc": _areas(output, target > 0, key, draws), **_means(means, key, draws)}
    error = output.astype(np.float64) - in_unit(head, target)
    found = _means({"mae": np.abs(error), "mse": np.square(error)}, key, draws)
    return {"mae": found["mae"], "rmse": np.sqrt(found["mse"])}


def figure(value: float, drawn: NDArray[np.float64] | None) -> Figure:
    """Return a metric with its interval, if there is one."""
    if drawn is None or not np.isfinite(drawn).any():
        return Figure(value)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn[np.isfinite(drawn)], [tail, 1 - tail])
    return Figure(value, float(low), float(high))


def _means(
    values: Mapping[str, NDArray[np.float64]], key: NDArray[np.int64], draws: Draws
) -> dict[str, NDArray[np.float64]]:
    """Return the means of values over the events of the drawn keys."""
    keys = draws.shape[1]
    events = draws @ np.bincount(key, minlength=keys).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return {
            name: (draws @ np.bincount(key, weights=value, minlength=keys)) / events
            for name, value in values.items()
        }


def _areas(
    output: NDArray[np.float32],
    is_positive: NDArray[np.bool_],
    key: NDArray[np.int64],
    draws: Draws,
) -> NDArray[np.float64]:
    """Return the area under the ROC curve in each draw: sorted once, weighted each time."""
    order = np.argsort(output, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(output[order])), len(output) - 1)  # of equal outputs
    of_key, positive = key[order], is_positive[order]
    areas = np.full(len(draws), np.nan)
    for number, times in enumerate(draws):
        weight = times[of_key].astype(np.float64)
        ups = np.diff(np.cumsum(weight * positive)[ends], prepend=0.0)
        downs = np.diff(np.cumsum(weight * ~positive)[ends], prepend=0.0)
        below = np.cumsum(downs) - downs / 2  # negatives below, ties counting half
        total = ups.sum() * downs.sum()
        if total > 0:
            areas[number] = (ups * below).sum() / total
    return areas
