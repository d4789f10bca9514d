"""Faults that a worker injects into itself, for tests of recovery.

Each fault in the environment variable ``STREAM_RNN_FAULT_AT`` names a crash point, the number of
the pass at which the fault occurs, and the kind of the fault.  Passes are counted over all
partitions of the process:

    STREAM_RNN_FAULT_AT="published 3 exit"        the process exits at once, without any cleanup
    STREAM_RNN_FAULT_AT="stepped 10 block=12.5"   the event loop is blocked for 12.5 seconds

Commas separate several faults.  Without the variable, crash points do nothing.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stream_rnn.errors import ConfigError
from stream_rnn.fold.crash_points import AtCrashPoint, Point, no_op

logger = logging.getLogger(__name__)

VARIABLE = "STREAM_RNN_FAULT_AT"
EXIT_STATUS = 70
"""Exit status of a process that an ``exit`` fault has ended."""

_FAULT = re.compile(
    r"(?P<point>[a-z-]+)\s+(?P<passes>[1-9]\d*)\s+(exit|block=(?P<seconds>\d+(\.\d+)?))"
)


@dataclass(slots=True)
class Fault:
    """A fault that occurs at the n-th pass of a crash point.

    Attributes:
        point: Crash point at which the fault occurs.
        passes: Number of passes that remain until the fault occurs.
        block_s: Seconds for which the event loop is blocked; ``None`` to exit the process.
    """

    point: Point
    passes: int
    block_s: float | None

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Parse ``POINT N exit`` or ``POINT N block=SECONDS``.

        Raises:
            ConfigError: The text has neither form.
        """
        match = _FAULT.fullmatch(text.strip())
        if match is None or match["point"] not in set(Point):
            raise ConfigError(
                f"{VARIABLE}: {text.strip()!r} is not 'POINT N exit' or 'POINT N block=SECONDS' "
                f"with one of the points {', '.join(Point)}"
            )
        seconds = match["seconds"]
        return cls(Point(match["point"]), int(match["passes"]), float(seconds) if seconds else None)


def faults_from_environment(
    environment: Mapping[str, str] = os.environ,
    end: Callable[[int], None] = os._exit,
    sleep: Callable[[float], None] = time.sleep,
) -> AtCrashPoint:
    """Return the callback for crash points that injects the faults of the environment.

    Args:
        environment: Environment variables of the process.
        end: Function that ends the process with an exit status.
        sleep: Function that blocks the event loop for a number of seconds.

    Raises:
        ConfigError: The variable contains a fault that cannot be parsed.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return no_op
    faults = [Fault.parse(fault) for fault in text.split(",")]
    logger.warning("faults will be injected: %s=%s", VARIABLE, text)

    def at_crash_point(point: Point) -> None:
        for fault in faults:
            if fault.point is not point:
                continue
            fault.passes -= 1
            if fault.passes:
                continue
            if fault.block_s is None:
                logger.warning("fault injected point=%s exit", point)
                end(EXIT_STATUS)
            else:
                logger.warning("fault injected point=%s block=%g", point, fault.block_s)
                sleep(fault.block_s)
                logger.warning("fault over point=%s", point)

    return at_crash_point
