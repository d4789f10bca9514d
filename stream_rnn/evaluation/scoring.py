"""The choice of the predictions that an evaluation scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.metrics.bootstrap import BOOTSTRAP_SAMPLES
from stream_rnn.training.splits import PARTS, moment_ms, split_parts


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """Which predictions are scored, and how; by default every prediction that has a label.

    Attributes:
        warm_up: End of the warm-up, whose events are not scored: an ISO 8601 time, or a share of
            the events such as 0.2.
        steps_min: Minimum number of events in the memory of a scored prediction.
        only_last: Whether only the last prediction of each key is scored.
        split: Split of the log, as for ``train``; ``None`` scores the whole log.
        part: Part of the split that is scored: ``train``, ``validation`` or ``test``.
        seed: Random seed of the bootstrap.
        bootstrap_samples: Number of bootstrap samples for the intervals; 0 computes no intervals.
    """

    warm_up: str | None = None
    steps_min: int = 1
    only_last: bool = False
    split: str | None = None
    part: str = "test"
    seed: int = 1
    bootstrap_samples: int = BOOTSTRAP_SAMPLES

    def choose(self, predictions: PredictionsWithTargets) -> NDArray[np.bool_]:
        """Return a mask (N,) of the predictions that are scored.

        Raises:
            ConfigError: No prediction is scored.
        """
        time_ms, key = predictions.time_ms, predictions.key
        chosen = predictions.steps >= self.steps_min
        if self.warm_up is not None:
            chosen &= time_ms >= moment_ms(self.warm_up, "--warm-up", time_ms)
        if self.split is not None:
            chosen &= split_parts(self.split, predictions.split_events) == PARTS[self.part]
        if self.only_last:
            latest = np.full(len(predictions.keys), -1)
            latest[key] = np.arange(len(key))  # events are in offset order
            last = np.zeros(len(key), bool)
            last[latest[latest >= 0]] = True
            chosen &= last
        if not chosen.any():
            raise ConfigError(
                f"none of {len(chosen)} predictions is scored; check --warm-up, --steps-min, "
                "--split and --part"
            )
        return chosen


DEFAULT_SCORING = ScoringOptions()
