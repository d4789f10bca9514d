"""Leakage: features that alone determine a target, which usually means that they contain it.

The check warns and proves nothing, because a process may really be that simple.  But a network that
is perfect on its log and useless in production has usually been trained on its target.
"""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.metrics.scores import area_under_roc
from stream_rnn.model.features import Feature, FeatureSpec, column_names, embedded_of
from stream_rnn.model.heads import AnyHead, Binary, Multiclass
from stream_rnn.model.vector import Vector
from stream_rnn.model.word_lists import MultiCategorical
from stream_rnn.training.examples import Examples, encode, targets

SUSPICIOUS = 0.999
MAJORITY_MAX = 0.99  # share of the most frequent class above which any feature would be suspicious
EVENTS_MIN = 50


def find_leaks(spec: FeatureSpec, examples: Examples) -> list[str]:
    """Return a warning for each feature that alone determines a target in the training part."""
    x = encode(spec, examples)
    warnings = []
    for head in spec.heads:
        target = targets(head, examples)
        chosen = (examples.part == 0) & np.isfinite(target)
        if chosen.sum() < EVENTS_MIN:
            continue
        at = 0
        for feature in spec.features:
            width = len(column_names(feature))
            is_category = embedded_of(feature) is not None
            for place, name in enumerate(_tried_names(feature)):
                values = x[chosen, at + place].astype(np.float64)
                evidence = _find_evidence(head, values, target[chosen], is_category)
                if evidence is not None:
                    warnings.append(
                        f"feature {name} alone determines the target of head {head.name} "
                        f"({evidence}): does the feature contain the target?"
                    )
            at += width
    return warnings


def _tried_names(feature: Feature) -> tuple[str, ...]:
    """Return the names of the first columns of a feature, each of which is tried alone."""
    if isinstance(feature, MultiCategorical):  # no column is a word alone
        return ()
    return feature.places if isinstance(feature, Vector) else (feature.name,)


def _find_evidence(
    head: AnyHead, values: NDArray[np.float64], target: NDArray[np.float64], is_category: bool
) -> str | None:
    """Return the suspicious metric of predicting a target from one column; ``None`` for none."""
    if values.min() == values.max() or target.min() == target.max():
        return None
    if isinstance(head, Binary | Multiclass):
        if np.bincount(target.astype(np.int64)).max() > MAJORITY_MAX * len(target):
            return None
        if isinstance(head, Binary) and not is_category:
            area = area_under_roc(target > 0, values)
            return f"AUC {area:.4f}" if max(area, 1 - area) >= SUSPICIOUS else None
        share = _purity(values, target)
        return f"accuracy {share:.4f}" if share >= SUSPICIOUS else None
    if is_category:
        return None
    correlation = float(np.corrcoef(values, target)[0, 1])
    return f"correlation {correlation:.4f}" if abs(correlation) >= SUSPICIOUS else None


def _purity(values: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Return the accuracy of predicting each value's most frequent class; 0 for unique values."""
    distinct, number = np.unique(values, return_inverse=True)
    if len(distinct) > len(values) / 10:
        return 0.0
    classes, label = np.unique(target, return_inverse=True)
    pairs, counts = np.unique(number * len(classes) + label, return_counts=True)
    best = np.zeros(len(distinct))
    np.maximum.at(best, pairs // len(classes), counts)
    return float(best.sum() / len(values))
