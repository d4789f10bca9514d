"""The watchdog: a thread that ends the process when it has work and makes no progress.

``max.poll.interval`` would do this to Faust by leaving the group for ever; so it is set to a year,
and this thread looks instead.  It also ends a process whose event loop is stuck, which nothing
inside of the loop can do, and one that has failed, or was asked to stop, and does not stop by
itself: clients of a broker that is away can take a minute to close.
"""

import logging
import os
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

EXIT_RELEASE = 4


class Watchdog:
    """Ends the process ``limit_s`` after the last sign of life, once there was a first one.

    Args:
        limit_s: longest time without a sign.
        clock: monotonic seconds.
        end_status: exit status of a process that is stopping; ``None`` while it runs.
        ends_within_s: longest time that stopping may take; then the process is ended.
        end: what ends the process; a test gives another one.
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
        self._must_end: tuple[float, int] | None = None  # by when, and with which status
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def alive(self) -> None:
        """Give a sign of life: there is progress, or nothing to do."""
        self._alive_s = self._clock()

    @property
    def idle_s(self) -> float:
        """Seconds since the last sign of life."""
        return 0.0 if self._alive_s is None else self._clock() - self._alive_s

    def failed(self, within_s: float, status: int) -> None:
        """Let the process end by itself for so long; then end it with this status."""
        self._must_end = (self._clock() + within_s, status)

    def stop(self) -> None:
        """Watch no longer, unless the process has failed."""
        if self._must_end is None or self._must_end[1] == 0:
            self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(min(1.0, self._limit_s / 4)):
            if self._must_end is None and (status := self._end_status()) is not None:
                self.failed(self._ends_within_s, status)
            if self._must_end is not None:
                deadline_s, status = self._must_end
                if self._clock() > deadline_s:
                    status = status or self._end_status() or 0  # it may have crashed meanwhile
                    logger.critical("clients do not close in time: exiting with %d", status)
                    logging.shutdown()
                    self._end(status)
                    return
                continue
            silent_s = self.idle_s
            if silent_s > self._limit_s:
                logger.critical(
                    "no progress for %.0f s with work to do (watchdog_s %g): exiting",
                    silent_s,
                    self._limit_s,
                )
                logging.shutdown()
                self._end(EXIT_RELEASE)
                return
