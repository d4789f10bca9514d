"""The options of scoring, which the command line reads without importing numpy."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from stream_rnn.options import BOOTSTRAP_SAMPLES, BOOTSTRAP_SEED, NumberOrText, Seed


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

    warm_up: NumberOrText | None = None
    steps_min: Annotated[int, Field(ge=1)] = 1
    only_last: bool = False
    split: str | None = None
    part: Literal["train", "validation", "test"] = "test"
    seed: Seed = BOOTSTRAP_SEED
    bootstrap_samples: Annotated[int, Field(ge=0, le=10_000)] = BOOTSTRAP_SAMPLES


DEFAULT_SCORING = ScoringOptions()
