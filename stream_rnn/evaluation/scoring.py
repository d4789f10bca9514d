"""The choice of the predictions that an evaluation scores."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.training.splits import PARTS, moment_ms, split_parts


def choose_scored(
    predictions: PredictionsWithTargets, scoring: ScoringOptions
) -> NDArray[np.bool_]:
    """Return a mask (N,) of the predictions that are scored.

    Raises:
        ConfigError: No prediction is scored, or none of them has a target.
    """
    time_ms, key = predictions.time_ms, predictions.key
    chosen = predictions.steps >= scoring.steps_min
    if scoring.warm_up is not None:
        chosen &= time_ms >= moment_ms(scoring.warm_up, "--warm-up", time_ms)
    if scoring.split is not None:
        chosen &= split_parts(scoring.split, predictions.split_events) == PARTS[scoring.part]
    if scoring.only_last:
        latest = np.full(len(predictions.keys), -1)
        latest[key] = np.arange(len(key))  # events are in offset order
        last = np.zeros(len(key), bool)
        last[latest[latest >= 0]] = True
        chosen &= last
    check_scored(chosen, predictions.targets.values())
    return chosen


def check_scored(chosen: NDArray[np.bool_], targets: Iterable[NDArray[np.float64]]) -> None:
    """Check that at least one of the chosen predictions (N,) has a target (N,) of a head.

    Raises:
        ConfigError: None has; the message counts the predictions and their targets.
    """
    has_target = np.zeros(len(chosen), bool)
    for target in targets:
        has_target |= np.isfinite(target)
    if not (chosen & has_target).any():
        raise ConfigError(
            f"none of {len(chosen)} predictions is scored: {chosen.sum()} are chosen, and "
            f"{has_target.sum()} have a target, which the last event of a key lacks if the target "
            "is of its next event; check --warm-up, --steps-min, --only-last, --split, --part and "
            "--labels"
        )
