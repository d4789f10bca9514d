"""Bootstrap confidence intervals of metrics.

Events of one key are not independent, so each bootstrap sample draws whole keys with replacement
(the cluster bootstrap; Davison and Hinkley 1997, section 3.8).  All models are measured on the same
samples, so the interval of a difference is that of a paired comparison.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import TOP, Output, area_of_counts, by_event, in_unit, log_losses
from stream_rnn.model.heads import AnyHead, Binary, Quantile

KEYS_MIN = 10
CLUSTERS_MAX = 20_000  # with more keys, several of them are drawn together
CONFIDENCE = 0.95

KeyCounts = NDArray[np.int32]  # (S, K): how often each of K keys occurs in each of S samples


def number_keys(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the keys of N events from 0, for :func:`draw_keys`.

    Returns:
        (N,) number of each event's key, in the order of the keys; from ``CLUSTERS_MAX`` on, keys
        share the numbers from 0 on, which bounds the size of the samples.
    """
    number = np.unique(key, return_inverse=True)[1].astype(np.int64)
    return np.asarray(number % CLUSTERS_MAX)


def draw_keys(keys: int, seed: int, samples: int) -> KeyCounts | None:
    """Draw bootstrap samples of keys.

    Args:
        keys: Number of keys, K.
        seed: Random seed.
        samples: Number of bootstrap samples, S.

    Returns:
        (S, K) number of times each key occurs in each sample; ``None`` for fewer than ``KEYS_MIN``
        keys.
    """
    if keys < KEYS_MIN:
        return None
    rng = np.random.default_rng(seed)
    counts = np.empty((samples, keys), np.int32)
    for sample in counts:
        sample[:] = np.bincount(rng.integers(0, keys, keys), minlength=keys)
    return counts


def resampled_metrics(
    head: AnyHead,
    output: Output,
    target: NDArray[np.float64],
    key: NDArray[np.int64],
    key_counts: KeyCounts,
) -> dict[str, NDArray[np.float64]]:
    """Compute the metrics of a head in each bootstrap sample.

    Metrics that would take long to compute are left out.

    Args:
        head: The head.
        output: (N,) outputs; ranked classes for a multi-class head.
        target: (N,) targets in the scale of training.
        key: (N,) index of each event's key.
        key_counts: (S, K) number of times each key occurs in each sample.

    Returns:
        Metric -> (S,) its values.
    """
    if isinstance(output, RankedClasses):
        means = {
            "accuracy": (output.rank == 1).astype(np.float64),
            "log_loss": log_losses(output, target),
            "mrr": 1 / output.rank,
        }
        if output.classes > TOP:
            means[f"top_{TOP}"] = (output.rank <= TOP).astype(np.float64)
        return _means(means, key, key_counts)
    if isinstance(head, Binary):
        means = {
            "log_loss": log_losses(output, target),
            "accuracy": ((output > 0.5) == (target > 0)).astype(np.float64),
        }
        return {
            "auc": _areas(output, target > 0, key, key_counts),
            **_means(means, key, key_counts),
        }
    if isinstance(head, Quantile):
        return _means(by_event(head, output, target), key, key_counts)
    error = output.astype(np.float64) - in_unit(head, target)
    means = _means({"mae": np.abs(error), "mse": np.square(error)}, key, key_counts)
    return {"mae": means["mae"], "rmse": np.sqrt(means["mse"])}


def with_interval(value: float, resampled: NDArray[np.float64] | None) -> Figure:
    """Return a metric with its interval; ``None``, or no finite value, gives no interval."""
    if resampled is None or not np.isfinite(resampled).any():
        return Figure(value)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled[np.isfinite(resampled)], [tail, 1 - tail])
    return Figure(value, float(low), float(high))


def _means(
    values: Mapping[str, NDArray[np.float64]], key: NDArray[np.int64], key_counts: KeyCounts
) -> dict[str, NDArray[np.float64]]:
    """Return the means of values over the events of each bootstrap sample."""
    keys = key_counts.shape[1]
    events = key_counts @ np.bincount(key, minlength=keys).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return {
            name: (key_counts @ np.bincount(key, weights=value, minlength=keys)) / events
            for name, value in values.items()
        }


def _areas(
    output: NDArray[np.float32],
    is_positive: NDArray[np.bool_],
    key: NDArray[np.int64],
    key_counts: KeyCounts,
) -> NDArray[np.float64]:
    """Return the area under the ROC curve in each sample; the outputs are sorted only once."""
    order = np.argsort(output, kind="stable")
    # the last index of each run of equal outputs
    ends = np.append(np.flatnonzero(np.diff(output[order])), len(output) - 1)
    keys, positive = key[order], is_positive[order]
    areas = np.empty(len(key_counts))
    for sample, counts in enumerate(key_counts):
        weight = counts[keys].astype(np.float64)
        positives = np.diff(np.cumsum(weight * positive)[ends], prepend=0.0)
        negatives = np.diff(np.cumsum(weight * ~positive)[ends], prepend=0.0)
        areas[sample] = area_of_counts(positives, negatives)
    return areas
