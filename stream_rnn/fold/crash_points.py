"""Where a processor is, and what has happened so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Point(StrEnum):
    """Places between which a crash must not matter: after each call of Redis or Kafka, and each step.

    The first ones are passed once per assignment, in this order, and again where a partition is
    positioned anew; those from ``DECODED`` on once per micro-batch.  A chaos test ends a worker at each.
    """

    CONNECTED = "connected"  # exactly_once only, as the version before and as this one
    EARLIER_FENCED = "earlier-fenced"  # exactly_once only
    CLOSING = "closing"  # exactly_once only, of the version before and of the last owner
    FENCED = "fenced"
    LOG_START_READ = "log-start-read"
    STATE_READ = "state-read"
    GROUP_OFFSET_READ = "group-offset-read"
    LAST_PREDICTION_READ = "last-prediction-read"
    TOPICS_READ = "topics-read"
    LOG_END_READ = "log-end-read"
    RECORD_READ = "record-read"
    POSITIONED = "positioned"
    GROUP_OFFSET_WRITTEN = "group-offset-written"
    FIRST_POSITION_WRITTEN = "first-position-written"
    DECODED = "decoded"
    LOADED = "loaded"
    STEPPED = "stepped"
    BEGUN = "begun"
    BATCH_SENT = "batch-sent"
    DEAD_LETTERS_SENT = "dead-letters-sent"
    PREDICTIONS_SENT = "predictions-sent"
    OFFSET_SENT = "offset-sent"
    PUBLISHED = "published"
    SWEPT = "swept"
    COMMITTED = "committed"


AtCrashPoint = Callable[[Point], None]
"""Called at each point; an injected fault happens there."""


def no_op(_point: Point) -> None:
    """Pass a point."""


@dataclass(slots=True)
class Counts:
    """What happened since the processor was made; for logs, metrics and tests."""

    events: int = 0
    predictions: int = 0
    silent: int = 0
    forgets: int = 0
    batches: int = 0
    positioned: int = 0
    skips: dict[str, int] = field(default_factory=dict)

    def add(self, events: int, predictions: int, forgets: int, skips: Sequence[str]) -> None:
        """Count a micro-batch.

        Args:
            events: that were stepped.
            predictions: that were published of them.
            forgets: of keys.
            skips: why, of each skipped record.
        """
        self.batches += 1
        self.events += events
        self.predictions += predictions
        self.silent += events - predictions
        self.forgets += forgets
        for code in skips:
            self.skips[code] = self.skips.get(code, 0) + 1
