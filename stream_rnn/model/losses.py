"""Losses: how wrong the heads are, summed over heads, averaged over events that have a label."""

import math
from collections.abc import Mapping

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


def loss_of(
    spec: FeatureSpec, y: Tensor, labels: Mapping[str, Tensor], weights: ClassWeights
) -> Tensor | None:
    """Return the sum of the heads' mean losses over events that have a label.

    Args:
        spec: the heads.
        y: (..., O) outputs.
        labels: head -> (...), NaN where there is none.
        weights: of classes; none for a head that is missing.

    Returns:
        A scalar; ``None`` if no event has a label.
    """
    total, at = None, 0
    for head in spec.heads:
        label = labels[head.name]
        known = ~torch.isnan(label)
        if known.any():
            chosen = y[..., at : at + head.width][known]
            loss = _head_loss(head, chosen, label[known], weights.get(head.name))
            total = loss if total is None else total + loss
        at += head.width
    return total


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
                self._sums[head.name] += float(_head_loss(head, chosen, label[known], None, "sum"))
                self._counts[head.name] += int(known.sum())
            at += head.width

    @property
    def value(self) -> float:
        """Sum of the heads' means; infinite where no event had a label."""
        means = [self._sums[n] / count for n, count in self._counts.items() if count]
        return sum(means) if means else math.inf


def _head_loss(
    head: AnyHead, y: Tensor, label: Tensor, weights: Tensor | None, reduction: str = "mean"
) -> Tensor:
    functional = nn.functional
    match head:
        case Binary():
            of_event = None if weights is None else weights[label.long()]
            return functional.binary_cross_entropy_with_logits(
                y[:, 0], label, of_event, reduction=reduction
            )
        case Multiclass():
            return functional.cross_entropy(y, label.long(), weights, reduction=reduction)
        case _:
            fitted = head.fitted or Target()
            scaled = (label - fitted.mean) / fitted.std
            return functional.smooth_l1_loss(y[:, 0], scaled, reduction=reduction)
