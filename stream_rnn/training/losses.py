"""Losses of the heads: their sum over all heads, each a mean over the events with a label.

The loss of a number or a time is ``smooth_l1`` of the standardized target, or ``l1``, the absolute
error in the unit of the prediction, whose minimum is at the median.  The target of a time is its
logarithm, in which ``smooth_l1`` weighs a factor alike whether it is of seconds or of days.  Errors
of predictions above the target may weigh more or less than those below, as in asymmetric least
squares (Newey and Powell 1987, Econometrica 55).

Each event counts once, whatever the length of its key and whichever events share its window: the
loss of a window is a sum over its events, divided by the mean number of labels of a window.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile, Target, TimeToNext
from stream_rnn.training.training_settings import TrainingSettings

WEIGHT_MAX = 20.0
LOG_MAX = 40.0  # of a time, as in its output

ClassWeights = Mapping[str, Tensor]  # head -> (C,), for a binary head (2,)


def balanced_weights(spec: FeatureSpec, targets: Mapping[str, NDArray[np.float64]]) -> ClassWeights:
    """Return class weights inverse to the frequency of the classes, at most ``WEIGHT_MAX``.

    Args:
        spec: Feature spec, whose binary and multi-class heads get weights.
        targets: Labels (N,) of the training part for each head; NaN for none.
    """
    class_weights: dict[str, Tensor] = {}
    for head in spec.heads:
        if isinstance(head, Binary | Multiclass):
            label = targets[head.name]
            classes = 2 if isinstance(head, Binary) else head.width
            counts = np.bincount(label[np.isfinite(label)].astype(np.int64), minlength=classes)
            present = max(int((counts > 0).sum()), 1)
            weights = counts.sum() / (present * np.maximum(counts, 1))
            class_weights[head.name] = torch.from_numpy(np.minimum(weights, WEIGHT_MAX)).float()
    return class_weights


def label_counts(
    spec: FeatureSpec, labels: Mapping[str, Tensor], weights: ClassWeights
) -> dict[str, float]:
    """Return the number of labels of each head, each label weighted by its class.

    Args:
        spec: Feature spec with the heads.
        labels: Labels (...) for each head; NaN for none.
        weights: Class weights of each head; a head without an entry is not weighted.
    """
    counts = {}
    for head in spec.heads:
        known = labels[head.name][~torch.isnan(labels[head.name])]
        class_weights = weights.get(head.name)
        counts[head.name] = float(
            known.numel() if class_weights is None else class_weights[known.long()].double().sum()
        )
    return counts


@dataclass(frozen=True, slots=True)
class WindowLoss:
    """The contribution of a window to the loss of an epoch.

    Attributes:
        value: Scalar, whose mean over the windows of the epoch is the sum of the heads' mean
            losses over all events with a label.
        share: Number of labels of this window, divided by that of a mean window; mean over heads.
    """

    value: Tensor
    share: float


def window_loss(
    spec: FeatureSpec,
    y: Tensor,
    labels: Mapping[str, Tensor],
    weights: ClassWeights,
    mean_counts: Mapping[str, float],
    settings: TrainingSettings,
) -> WindowLoss | None:
    """Return the loss of a window, in which each label counts as much as in any other window.

    Args:
        spec: Feature spec with the heads.
        y: Outputs (..., O).
        labels: Labels (...) for each head; NaN for none.
        weights: Class weights of each head; a head without an entry is not weighted.
        mean_counts: Mean of :func:`label_counts` over the windows, for each head.
        settings: Settings of training, of which the loss reads those of numbers and times.

    Returns:
        The loss; ``None`` if no event has a label.
    """
    total, share, at = None, 0.0, 0
    counts = label_counts(spec, labels, weights)
    for head in spec.heads:
        label = labels[head.name]
        known = ~torch.isnan(label)
        if known.any():
            chosen, class_weights = y[..., at : at + head.width][known], weights.get(head.name)
            loss = _head_loss(head, chosen, label[known], class_weights, settings)
            loss = loss / mean_counts[head.name]
            total = loss if total is None else total + loss
            share += counts[head.name] / mean_counts[head.name]
        at += head.width
    heads = sum(count > 0 for count in mean_counts.values())
    return None if total is None else WindowLoss(total, share / heads)


class MeanLoss:
    """The mean loss of events that are added piece by piece, without class weights."""

    def __init__(self, spec: FeatureSpec, settings: TrainingSettings) -> None:
        self._spec, self._settings = spec, settings
        self._sums = dict.fromkeys((head.name for head in spec.heads), 0.0)
        self._counts = dict.fromkeys(self._sums, 0)

    def add(self, y: Tensor, labels: Mapping[str, Tensor]) -> None:
        """Add outputs y (N, O) with the labels (N,) of each head; NaN for none."""
        at = 0
        for head in self._spec.heads:
            label = labels[head.name]
            known = ~torch.isnan(label)
            if known.any():
                chosen = y[known, at : at + head.width]
                loss = _head_loss(head, chosen, label[known], None, self._settings)
                self._sums[head.name] += float(loss)
                self._counts[head.name] += int(known.sum())
            at += head.width

    @property
    def value(self) -> float:
        """Sum of the mean losses of the heads; infinity if no event has a label."""
        means = [self._sums[n] / count for n, count in self._counts.items() if count]
        return sum(means) if means else math.inf


def _head_loss(
    head: AnyHead, y: Tensor, label: Tensor, weights: Tensor | None, settings: TrainingSettings
) -> Tensor:
    """Return the sum of the losses of M events with outputs y (M, C) and labels (M,)."""
    functional, over = nn.functional, settings.overestimate_weight
    match head:
        case Binary():
            event_weights = None if weights is None else weights[label.long()]
            return functional.binary_cross_entropy_with_logits(
                y[:, 0], label, event_weights, reduction="sum"
            )
        case Multiclass():
            return functional.cross_entropy(y, label.long(), weights, reduction="sum")
        case Quantile():
            fitted = head.fitted or Target()
            error = (label - fitted.mean)[:, None] / fitted.std - y  # (M, C)
            quantiles = y.new_tensor(head.quantiles)
            return torch.maximum(quantiles * error, (quantiles - 1) * error).mean(dim=1).sum()
        case TimeToNext() if settings.number_loss == "l1":
            fitted = head.fitted or Target()
            predicted = (y[:, 0] * fitted.std + fitted.mean).clamp(max=LOG_MAX)
            # Divided by a long time of the log, so that heads of other kinds count as much.
            seconds = max(math.expm1(min(fitted.mean + fitted.std, LOG_MAX)), 1.0)
            errors = (predicted.expm1() - label.expm1()).abs()
            return _weigh_sides(errors, predicted > label, over).sum() / seconds
        case _:
            fitted = head.fitted or Target()
            scaled = (label - fitted.mean) / fitted.std
            is_l1 = settings.number_loss == "l1"
            loss = functional.l1_loss if is_l1 else functional.smooth_l1_loss
            if over == 1:
                return loss(y[:, 0], scaled, reduction="sum")
            errors = loss(y[:, 0], scaled, reduction="none")
            return _weigh_sides(errors, y[:, 0] > scaled, over).sum()


def _weigh_sides(errors: Tensor, is_over: Tensor, overestimate_weight: float) -> Tensor:
    """Weigh errors (M,) above and below their targets; the mean of both weights is 1."""
    if overestimate_weight == 1:
        return errors
    below = 2 / (1 + overestimate_weight)
    return errors * torch.where(is_over, 2 - below, below)
