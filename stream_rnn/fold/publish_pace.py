"""The number of outputs in one publish, which adapts to how long publishes take.

Kafka aborts a transaction that is open for longer than ``transaction_timeout_ms``.  A producer
quota or a slow link can make a large transaction take longer than that, and its repetition, too.
So a publish that takes too long is repeated with half of the outputs, and later ones grow again.
The bound never changes what is published, because no cut between micro-batches does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream_rnn.errors import FencedError, TooSlowError
from stream_rnn.settings import FoldSettings

FIRST_OUTPUTS = 1024
"""First bound; a worker that restarts does not begin with the size that ended the last one."""
SLOW, FAST = 0.5, 0.25
"""Shares of the deadline above which the bound shrinks, and below which it grows."""


class PublishPace:
    """Measures the publishes of one partition, and bounds the number of outputs in the next.

    Args:
        settings: Deadlines of a publish, and the largest micro-batch.
        clock: Monotonic clock in seconds.

    Attributes:
        outputs_max: Largest number of outputs in the next publish.
        since_s: Time at which the publish in progress began; ``None`` between publishes.
    """

    def __init__(self, settings: FoldSettings, clock: Callable[[], float]) -> None:
        self._largest = settings.batch_events_max
        self._deadline_s = settings.kafka_timeout_s
        if settings.delivery == "exactly_once":
            self._deadline_s = min(self._deadline_s, settings.transaction_timeout_ms / 1000)
        self._clock = clock
        self.outputs_max = min(FIRST_OUTPUTS, self._largest)
        self.since_s: float | None = None

    @contextmanager
    def measure(self, outputs: int) -> Iterator[None]:
        """Measure a publish, and set the bound of the next one.

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
            self.outputs_max = max(1, min(self.outputs_max, outputs) // 2)
            remedy = f"micro-batches now have at most {self.outputs_max} outputs"
            raise TooSlowError(f"{error}; {remedy}") from error
        finally:
            self.since_s = None
        share = (self._clock() - began_s) / self._deadline_s
        if share > SLOW:
            self.outputs_max = max(1, self.outputs_max // 2)
        elif share < FAST and outputs >= self.outputs_max:
            self.outputs_max = min(self._largest, 2 * self.outputs_max)
