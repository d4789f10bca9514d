"""Leaks: features that alone tell almost all of a target, as only the future can.

A warning, not a proof: a process may really be that simple.  But a network that is perfect on its
log and useless in production has mostly been told its target.
"""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.metrics.scores import area_under_roc
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import Categorical, FeatureSpec, column_names
from stream_rnn.model.heads import AnyHead, Binary, Multiclass
from stream_rnn.training.examples import Examples, targets

SUSPICIOUS = 0.999
USUAL = 0.99  # where one class is as frequent as that, every feature tells it
EVENTS_MIN = 50


def find_leaks(spec: FeatureSpec, examples: Examples) -> list[str]:
    """Return a sentence for each feature that alone tells a head's target in the training part."""
    encoder = Encoder(spec)
    x, _ = encoder.encode(examples.columns, examples.time_ms)
    encoder.fill_since_previous(x, examples.since_ms)
    found = []
    for head in spec.heads:
        target = targets(head, examples)
        chosen = (examples.part == 0) & np.isfinite(target)
        if chosen.sum() < EVENTS_MIN:
            continue
        at = 0
        for feature in spec.features:
            width = len(column_names(feature))
            classes = isinstance(feature, Categorical)
            telling = _tells(head, x[chosen, at].astype(np.float64), target[chosen], classes)
            if telling is not None:
                found.append(
                    f"feature {feature.name} alone tells head {head.name} almost wholly "
                    f"({telling}): does it know what is to be predicted?"
                )
            at += width
    return found


def _tells(
    head: AnyHead, values: NDArray[np.float64], target: NDArray[np.float64], classes: bool
) -> str | None:
    if values.min() == values.max() or target.min() == target.max():
        return None
    if isinstance(head, Binary | Multiclass):
        if np.bincount(target.astype(np.int64)).max() > USUAL * len(target):
            return None
        if isinstance(head, Binary) and not classes:
            area = area_under_roc(target > 0, values)
            return f"AUC {area:.4f}" if max(area, 1 - area) >= SUSPICIOUS else None
        share = _purity(values, target)
        return f"accuracy {share:.4f}" if share >= SUSPICIOUS else None
    if classes:
        return None
    correlation = float(np.corrcoef(values, target)[0, 1])
    return f"correlation {correlation:.4f}" if abs(correlation) >= SUSPICIOUS else None


def _purity(values: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Return how often the commonest class of a value is right; 0 if values hardly repeat."""
    distinct, number = np.unique(values, return_inverse=True)
    if len(distinct) > len(values) / 10:
        return 0.0
    classes, label = np.unique(target, return_inverse=True)
    pairs, counts = np.unique(number * len(classes) + label, return_counts=True)
    best = np.zeros(len(distinct))
    np.maximum.at(best, pairs // len(classes), counts)
    return float(best.sum() / len(values))
