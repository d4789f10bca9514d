"""The options of the comparison of two folds, which the command line reads without numpy."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from stream_rnn.options import BOOTSTRAP_SAMPLES, BOOTSTRAP_SEED, Seed

PREDICTIONS_MAX = 100_000
EVERY_BINARY_HEAD = ""
"""Name under which the threshold of all binary heads without one of their own stands."""


def _read_thresholds(value: Any) -> Any:
    """Return a threshold, or texts ``NUMBER`` and ``HEAD=NUMBER``, as numbers by the head's name."""
    if isinstance(value, Real | str):
        value = (str(value),)
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        pairs = [str(text).rpartition("=") for text in value]
        value = {name.strip(): number for name, _, number in pairs}
    return {EVERY_BINARY_HEAD: 0.5, **value} if isinstance(value, Mapping) else value


Thresholds = Annotated[
    dict[str, Annotated[float, Field(allow_inf_nan=False)]], BeforeValidator(_read_thresholds)
]


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """What is read of the two folds of a roll-out, and how they are compared.

    Attributes:
        predictions_max: Maximum number of predictions to read of each topic, backwards from its
            end, over all partitions.  An event of both topics takes about 2 kB of memory with
            three heads.
        since: ISO 8601 time; the comparison begins in each partition at the first event that is
            not earlier.  ``None`` goes back as far as ``predictions_max`` allows.
        threshold: Number above which the decision about an event is yes: one for all binary heads,
            or one by the name of a head, also of one whose output is a number or quantiles.
        seed: Random seed of the bootstrap.
        bootstrap_samples: Number of bootstrap samples for the intervals; 0 computes no intervals.
    """

    predictions_max: Annotated[int, Field(ge=1, le=2_000_000)] = PREDICTIONS_MAX
    since: str | None = None
    threshold: Thresholds = Field(default_factory=lambda: {EVERY_BINARY_HEAD: 0.5})
    seed: Seed = BOOTSTRAP_SEED
    bootstrap_samples: Annotated[int, Field(ge=0, le=10_000)] = BOOTSTRAP_SAMPLES
