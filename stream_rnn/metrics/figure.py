"""A metric with its confidence interval."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """Value of a metric, and the ends of its 95 % confidence interval.

    The interval comes from resampling keys, because events of one key are not independent.

    Attributes:
        value: Value of the metric.
        low: Lower end; ``None`` if there are too few keys, or if no interval was requested.
        high: Upper end, likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None
