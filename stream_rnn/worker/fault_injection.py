"""Faults that a worker brings upon itself, where it is told to: for tests of recovery.

The environment variable ``STREAM_RNN_FAULT_AT`` names a point, the how-manieth pass of it (of all
partitions of the process together) and what happens then:

    STREAM_RNN_FAULT_AT="published 3 exit"        the process ends at once, nothing is cleaned up
    STREAM_RNN_FAULT_AT="stepped 10 block=12.5"   everything but the consumer's thread stands still

Several are separated by commas.  Without the variable nothing of this is in the way.
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
"""Of a process that ended at a point."""

_FAULT = re.compile(
    r"(?P<point>[a-z-]+)\s+(?P<passes>[1-9]\d*)\s+(exit|block=(?P<seconds>\d+(\.\d+)?))"
)


@dataclass(slots=True)
class Fault:
    """What happens at the n-th pass of a point.

    Attributes:
        point: where.
        passes: passes that are left until it happens.
        block_s: seconds for which the loop is blocked; ``None``: the process ends.
    """

    point: Point
    passes: int
    block_s: float | None

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read ``POINT N exit`` or ``POINT N block=SECONDS``.

        Raises:
            ConfigError: it is something else.
        """
        match = _FAULT.fullmatch(text.strip())
        if match is None or match["point"] not in set(Point):
            raise ConfigError(
                f"{VARIABLE}: {text.strip()!r} is not 'POINT N exit' or 'POINT N block=SECONDS' "
                f"with one of the points {', '.join(Point)}"
            )
        seconds = match["seconds"]
        return cls(Point(match["point"]), int(match["passes"]), float(seconds) if seconds else None)


def from_environment(
    environment: Mapping[str, str] = os.environ,
    end: Callable[[int], None] = os._exit,
    sleep: Callable[[float], None] = time.sleep,
) -> AtCrashPoint:
    """Return what is called at each point.

    Args:
        environment: where the variable is looked up.
        end: ends the process with a status.
        sleep: blocks the loop.

    Raises:
        ConfigError: the variable says something impossible.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return no_op
    faults = [Fault.parse(one) for one in text.split(",")]
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
