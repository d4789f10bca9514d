"""A metric with its confidence interval."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric's value, and between which values it lies with 95 % confidence.

    The interval comes from resampling keys, since events of one key are not independent; ``None``
    where there are too few keys, or none was asked for.
    """

    value: float
    low: float | None = None
    high: float | None = None
