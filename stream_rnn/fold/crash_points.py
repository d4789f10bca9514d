"""Points at which an injected crash can happen, and the counts of a processor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from stream_rnn.errors import RecordError
from stream_rnn.fold.decoder import DecodedRecords


class Point(StrEnum):
    """A point after a call of Redis or Kafka, or after a step of the processor.

    A crash at any point must not change the result; a chaos test ends a worker at each of them.
    A processor passes the points before ``DECODED`` once for each assignment and each reposition,
    and the others once for each micro-batch, in this order.  It also passes ``SWEPT`` at each check
    of an idle partition, and ``COMMITTED`` after each commit of such a check.  A cut-over passes
    ``PAUSED``, those of a publish, and ``CUT_OVER``.
    """

    CONNECTED = "connected"  # exactly_once only: once for each of the two transactional ids
    EARLIER_FENCED = "earlier-fenced"  # exactly_once only: after the id of the earlier version
    CLOSING = "closing"  # exactly_once only: once for each of the two transactional ids
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
    PAUSED = "paused"  # a cut-over: the candidate has reached the group offset
    CUT_OVER = "cut-over"  # a cut-over: the group offset names the new fold in charge
    SWEPT = "swept"
    COMMITTED = "committed"


AtCrashPoint = Callable[[Point], None]
"""Function that is called at each point; tests inject faults through it."""


def no_op(_point: Point) -> None:
    """Do nothing at a point."""


@dataclass(slots=True)
class Counts:
    """Counts since the processor was created, for logs, metrics and tests."""

    events: int = 0
    predictions: int = 0
    silent: int = 0
    forgets: int = 0
    filtered: int = 0
    batches: int = 0
    positioned: int = 0
    skips: dict[str, int] = field(default_factory=dict)

    def add(
        self, decoded: DecodedRecords, errors: Mapping[int, RecordError], published: int
    ) -> None:
        """Count a micro-batch.

        Args:
            decoded: Events, forgets, skips and filtered records.
            errors: Error of each event whose step is not finite.
            published: Number of published predictions.
        """
        events = len(decoded.rows) - len(errors)
        self.batches += 1
        self.events += events
        self.predictions += published
        self.silent += events - published
        self.forgets += len(decoded.forgets)
        self.filtered += len(decoded.filtered)
        for error in (*decoded.skips.values(), *errors.values()):
            self.skips[error.code] = self.skips.get(error.code, 0) + 1
