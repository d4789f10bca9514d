"""Scored events with values far beyond those of the training part."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.feature_sample import FeatureSample, concatenate_samples
from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.model.features import FeatureSpec
from stream_rnn.training.beyond import find_beyond
from stream_rnn.training.examples import chosen_values


def find_beyond_training(
    spec: FeatureSpec,
    samples: Sequence[FeatureSample],
    predictions: PredictionsWithTargets,
    chosen: NDArray[np.bool_],
) -> list[str]:
    """Return a sentence for each feature of which scored events are far beyond the training part.

    Args:
        spec: Fitted feature spec.
        samples: Sample of each partition.
        predictions: N predictions of the same fold.
        chosen: Mask (N,) of the predictions that are scored.
    """
    number, columns = concatenate_samples(samples)
    rows = np.flatnonzero(chosen[number])
    scored = {path: chosen_values(values, rows) for path, values in columns.items()}
    since_s = since_previous_s(predictions.key, predictions.time_ms, predictions.steps)
    return find_beyond(spec, scored, since_s[number[rows]], "the scored events")


def since_previous_s(
    key: NDArray[np.int64], time_ms: NDArray[np.int64], steps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the seconds (N,) since the previous event of the key; NaN at a cold event."""
    order = np.argsort(key, kind="stable")
    since_ms = np.diff(time_ms[order], prepend=0).astype(np.float64)
    since_s = np.empty(len(key))
    since_s[order] = np.maximum(since_ms, 0) / 1000
    return np.where(steps > 1, since_s, np.nan)
