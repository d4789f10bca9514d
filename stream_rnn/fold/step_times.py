"""Seconds that a partition spends in each numbered step of the processor."""

from collections.abc import Callable
from dataclasses import dataclass, field

STEPS = ("decode", "load", "step", "publish", "commit")


@dataclass(slots=True)
class StepTimes:
    """Seconds that micro-batches spend in each of the five steps.

    The time of a step includes its waits for Redis, Kafka and other partitions.

    Args:
        clock: Monotonic clock in seconds.
        seconds: Seconds of all micro-batches in each step.
        last: Seconds of the last micro-batch in each step.
        events: Number of events in all micro-batches.
    """

    clock: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    last: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    events: int = 0
    _since_s: float = 0.0

    def begin(self) -> None:
        """Begin the first step of a micro-batch."""
        self._since_s = self.clock()

    def end(self, step: str) -> None:
        """End a step and begin the next."""
        now = self.clock()
        self.last[step] = now - self._since_s
        self.seconds[step] += self.last[step]
        self._since_s = now

    def __str__(self) -> str:
        """Return the microseconds per event in each step.

        Example:
            >>> times = StepTimes(lambda: 0.0, {"decode": 1.5, "load": 0.5}, events=1_000_000)
            >>> str(times)
            'decode_us=1.50 load_us=0.50'
        """
        count = max(self.events, 1)
        return " ".join(f"{name}_us={1e6 * s / count:.2f}" for name, s in self.seconds.items())
