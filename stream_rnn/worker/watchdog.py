"""The watchdog: a thread that ends the process when it has work and makes no progress.

It replaces ``max.poll.interval``, after which Faust would leave the group for ever, and which the
plugin therefore sets to a year.  It ends a process whose event loop is stuck, which code inside of
the loop cannot do.  It also ends a process that has failed or is stopping, and does not end by
itself: the clients of a broker that is away can take a minute to close.
"""

import logging
import os
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

EXIT_STATUS_RELEASE = 4


class Watchdog:
    """Ends the process ``limit_s`` after its last sign of life; it waits for the first one.

    Args:
        limit_s: Longest time without a sign of life, in seconds.
        clock: Function that returns monotonic seconds.
        end_status: Function that returns the exit status of a process that is stopping; ``None``
            while the process runs.
        ends_within_s: Longest time that the process may take to stop, in seconds.
        end: Function that ends the process with an exit status.
    """

    def __init__(
        self,
        limit_s: float,
        clock: Callable[[], float],
        end_status: Callable[[], int | None],
        ends_within_s: float,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._end_status = end_status
        self._ends_within_s = ends_within_s
        self._end = end
        self._alive_s: float | None = None
        self._must_end: tuple[float, int] | None = None  # deadline and exit status
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def record_progress(self) -> None:
        """Record a sign of life: the worker makes progress, or has nothing to do."""
        self._alive_s = self._clock()

    @property
    def idle_s(self) -> float:
        """Seconds since the last sign of life."""
        return 0.0 if self._alive_s is None else self._clock() - self._alive_s

    def end_within(self, within_s: float, status: int) -> None:
        """End the process with this status unless it ends by itself within this time."""
        self._must_end = (self._clock() + within_s, status)

    def stop(self) -> None:
        """Stop the thread, unless the process has failed."""
        if self._must_end is None or self._must_end[1] == 0:
            self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(min(1.0, self._limit_s / 4)):
            if self._must_end is None and (status := self._end_status()) is not None:
                self.end_within(self._ends_within_s, status)
            if self._must_end is not None:
                deadline_s, status = self._must_end
                if self._clock() > deadline_s:
                    status = status or self._end_status() or 0  # the app may have crashed meanwhile
                    logger.critical("clients do not close in time: exiting with %d", status)
                    logging.shutdown()
                    self._end(status)
                    return
                continue
            idle_s = self.idle_s
            if idle_s > self._limit_s:
                logger.critical(
                    "no progress for %.0f s with work to do (watchdog_s %g): exiting",
                    idle_s,
                    self._limit_s,
                )
                logging.shutdown()
                self._end(EXIT_STATUS_RELEASE)
                return
