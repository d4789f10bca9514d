"""Whether a naive rule is clearly better than all networks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.metrics.scores import better, in_unit, main_metric
from stream_rnn.model.heads import AnyHead

FACTOR_MIN = 1.25  # how many times larger the errors of all networks are
PERFECT = 1e-3  # error, as a share of the standard deviation of the target, that is as good as none


def error_of(metric: str, value: float) -> float:
    """Return a metric's value as an error, of which 0 is the best.

    Example:
        >>> error_of("mae", 0.25), error_of("auc", 0.75)
        (0.25, 0.25)
    """
    return value if better(metric) == "lower" else 1 - value


def naive_factor(
    head: AnyHead, naive: float, networks: Sequence[float], target: NDArray[np.float64]
) -> float | None:
    """Return how many times larger the error of the best network is than that of the naive rule.

    Args:
        head: The head.
        naive: Main metric of the naive rule.
        networks: Main metrics of the networks on the same events.
        target: Targets (N,) of the events, encoded for training.

    Returns:
        The factor, which is ``FACTOR_MIN`` or more; ``None`` if the rule is not clearly better, or a
        metric is not defined.  Differences that are tiny beside the target do not count.
    """
    metric = main_metric(head)
    errors = [error_of(metric, value) for value in (naive, *networks)]
    if not networks or not np.isfinite(errors).all():
        return None
    tiny = PERFECT * (1.0 if better(metric) == "higher" else _scale(in_unit(head, target)))
    factor = (min(errors[1:]) + tiny) / (errors[0] + tiny) if tiny or errors[0] else 1.0
    return float(factor) if factor >= FACTOR_MIN else None


def _scale(values: NDArray[np.float64]) -> float:
    """Return the standard deviation; of a constant, the rounding of its size in float32."""
    return max(float(values.std()), float(np.abs(values).max()) * float(np.finfo(np.float32).eps))
