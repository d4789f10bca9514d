"""The number of records in one publish, which adapts to how long publishes take.

Kafka aborts a transaction that is open for longer than ``transaction_timeout_ms``.  A producer
quota or a slow link can make a large transaction take longer than that, and its repetition, too.
So a publish that takes too long is repeated with half of the records, and later ones grow again.
The bound never changes what is published, because no cut between micro-batches does.

The bound counts records, because a micro-batch is cut before its records are decoded.  A record
that is filtered, forgets or is silent has no output, so the number of outputs would never show
whether the bound has cut a micro-batch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream_rnn.errors import FencedError, TooSlowError
from stream_rnn.settings import FoldSettings

FIRST_RECORDS = 1024
"""First bound; a worker that restarts does not begin with the size that ended the last one."""
SLOW, FAST = 0.5, 0.25
"""Shares of the deadline above which the bound shrinks, and below which it grows."""


class PublishPace:
    """Measures the publishes of one partition, and bounds the number of records in the next.

    Args:
        settings: Deadlines of a publish, and the largest micro-batch.
        clock: Monotonic clock in seconds.

    Attributes:
        records_max: Largest number of records in the next publish; silent ones do not count.
        since_s: Time at which the publish in progress began; ``None`` between publishes.
    """

    def __init__(self, settings: FoldSettings, clock: Callable[[], float]) -> None:
        self._largest = settings.batch_events_max
        self._deadline_s = settings.kafka_timeout_s
        if settings.delivery == "exactly_once":
            self._deadline_s = min(self._deadline_s, settings.transaction_timeout_ms / 1000)
        self._clock = clock
        self.records_max = min(FIRST_RECORDS, self._largest)
        self.since_s: float | None = None

    @contextmanager
    def measure(self, records: int, outputs: int) -> Iterator[None]:
        """Measure a publish, and set the bound of the next one.

        A publish that succeeds lowers the bound only if its size was near it: otherwise the
        cluster was slow, as in an election, and not the publish large.

        Args:
            records: Number of records that are not silent.
            outputs: Number of predictions and dead letters of these records.

        Raises:
            TooSlowError: The publish took too long; the next one is smaller.
            FencedError: It took too long, and cannot be smaller.
        """
        self.since_s = began_s = self._clock()
        try:
            yield
        except TooSlowError as error:
            if outputs <= 1:
                raise FencedError(str(error)) from error
            self.records_max = records // 2
            remedy = (
                f"a micro-batch now publishes the outputs of at most {self.records_max} records"
            )
            raise TooSlowError(f"{error}; {remedy}") from error
        finally:
            self.since_s = None
        share = (self._clock() - began_s) / self._deadline_s
        if share > SLOW and 2 * records > self.records_max:
            self.records_max = max(1, records // 2)
        elif share < FAST and records >= self.records_max:
            self.records_max = min(self._largest, 2 * self.records_max)
