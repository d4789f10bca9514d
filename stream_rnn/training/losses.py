"""Losses: how wrong the heads are, summed over heads, averaged over events that have a label.

Each event counts once, whatever the length of its key and whatever stands beside it in a window: a
window's loss is a sum over its events, divided by what a window holds on the mean.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Target

WEIGHT_MAX = 20.0

ClassWeights = Mapping[str, Tensor]  # head -> (C,), for a binary head (2,)


def balanced(spec: FeatureSpec, targets: Mapping[str, NDArray[np.float64]]) -> ClassWeights:
    """Return weights that let each class count alike, at most ``WEIGHT_MAX`` times its share.

    Args:
        spec: its binary and multi-class heads get weights.
        targets: head -> (N,) labels of the training part, NaN where there is none.
    """
    found: dict[str, Tensor] = {}
    for head in spec.heads:
        if isinstance(head, Binary | Multiclass):
            label = targets[head.name]
            classes = 2 if isinstance(head, Binary) else head.width
            counts = np.bincount(label[np.isfinite(label)].astype(np.int64), minlength=classes)
            present = max(int((counts > 0).sum()), 1)
            weights = counts.sum() / (present * np.maximum(counts, 1))
            found[head.name] = torch.from_numpy(np.minimum(weights, WEIGHT_MAX)).float()
    return found


def label_counts(
    spec: FeatureSpec, labels: Mapping[str, Tensor], weights: ClassWeights
) -> dict[str, float]:
    """Return for each head how many labels there are, each counted by the weight of its class.

    Args:
        spec: the heads.
        labels: head -> (...), NaN where there is none.
        weights: of classes; none for a head that is missing.
    """
    found = {}
    for head in spec.heads:
        known = labels[head.name][~torch.isnan(labels[head.name])]
        of_class = weights.get(head.name)
        found[head.name] = float(
            known.numel() if of_class is None else of_class[known.long()].double().sum()
        )
    return found


@dataclass(frozen=True, slots=True)
class WindowLoss:
    """What a window adds to the loss of an epoch.

    Attributes:
        value: a scalar; its mean over the epoch's windows is the sum of the heads' mean losses over
            all events that have a label.
        share: labels of this window, by those of a mean one; the mean over heads.
    """

    value: Tensor
    share: float


def loss_of(
    spec: FeatureSpec,
    y: Tensor,
    labels: Mapping[str, Tensor],
    weights: ClassWeights,
    mean_counts: Mapping[str, float],
) -> WindowLoss | None:
    """Return the loss of a window, in which each label counts as much as in any other window.

    Args:
        spec: the heads.
        y: (..., O) outputs.
        labels: head -> (...), NaN where there is none.
        weights: of classes; none for a head that is missing.
        mean_counts: head -> :func:`label_counts` of a window on the mean.

    Returns:
        The loss; ``None`` if no event has a label.
    """
    total, share, at = None, 0.0, 0
    counts = label_counts(spec, labels, weights)
    for head in spec.heads:
        label = labels[head.name]
        known = ~torch.isnan(label)
        if known.any():
            chosen, of_class = y[..., at : at + head.width][known], weights.get(head.name)
            loss = _head_loss(head, chosen, label[known], of_class) / mean_counts[head.name]
            total = loss if total is None else total + loss
            share += counts[head.name] / mean_counts[head.name]
        at += head.width
    heads = sum(count > 0 for count in mean_counts.values())
    return None if total is None else WindowLoss(total, share / heads)


class MeanLoss:
    """The same, over events that come piece by piece, without weights of classes."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        self._sums = dict.fromkeys((head.name for head in spec.heads), 0.0)
        self._counts = dict.fromkeys(self._sums, 0)

    def add(self, y: Tensor, labels: Mapping[str, Tensor]) -> None:
        """Take outputs y (N, O) and for each head labels (N,), NaN where there is none."""
        at = 0
        for head in self._spec.heads:
            label = labels[head.name]
            known = ~torch.isnan(label)
            if known.any():
                chosen = y[known, at : at + head.width]
                self._sums[head.name] += float(_head_loss(head, chosen, label[known], None))
                self._counts[head.name] += int(known.sum())
            at += head.width

    @property
    def value(self) -> float:
        """Sum of the heads' means; infinite where no event had a label."""
        means = [self._sums[n] / count for n, count in self._counts.items() if count]
        return sum(means) if means else math.inf


def _head_loss(head: AnyHead, y: Tensor, label: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sum over events (M,) with outputs y (M, C)."""
    functional = nn.functional
    match head:
        case Binary():
            of_event = None if weights is None else weights[label.long()]
            return functional.binary_cross_entropy_with_logits(
                y[:, 0], label, of_event, reduction="sum"
            )
        case Multiclass():
            return functional.cross_entropy(y, label.long(), weights, reduction="sum")
        case _:
            fitted = head.fitted or Target()
            scaled = (label - fitted.mean) / fitted.std
            return functional.smooth_l1_loss(y[:, 0], scaled, reduction="sum")
