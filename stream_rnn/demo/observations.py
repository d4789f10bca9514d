"""Predictions that the demo has received."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Observations:
    """Predictions that the reader has received, by index of the event.

    Attributes:
        count: (N,) number of predictions.
        probability: (N,) probability of the last prediction.
        values: Value of the last prediction; ``None`` without one.
        published: Number of events with a prediction.
        sent: Number of events sent.
        latencies_ms: Times from sending to reading in milliseconds, before the faults.
        killed_s: Time of the SIGKILL in monotonic seconds.
        recovered_s: Partition -> seconds from the SIGKILL to its next prediction.
        last_s: Time of the last read in monotonic seconds.
    """

    count: NDArray[np.int64]
    probability: NDArray[np.float64]
    values: list[bytes | None]
    published: int = 0
    sent: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    killed_s: float | None = None
    recovered_s: dict[int, float] = field(default_factory=dict)
    last_s: float = 0.0
