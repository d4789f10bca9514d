"""Retries of calls to the store, with a bounded back-off and a time limit."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stream_rnn.errors import UnavailableError

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_LAST_S = 0.05, 0.5
LOG_FIRST_S, LOG_LAST_S = 1.0, 60.0
"""Seconds between the first two lines about an outage, and the longest interval between two."""

T = TypeVar("T")


async def retry(
    call: Callable[[], Awaitable[T]],
    limit_s: float,
    clock: Callable[[], float],
    place: str,
    on_wait: Callable[[str], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    server: str = "redis",
) -> T:
    """Await a call, and repeat it while the store is unavailable.

    The log has a line at once, and then at growing intervals.

    Args:
        call: Function that returns a new awaitable for each try.
        limit_s: Seconds after which the last error is raised.
        clock: Function that returns monotonic seconds.
        place: Topic and partition, for the log; empty for a call of no partition.
        on_wait: Callback that gets the error before each wait, and an empty text after success.
        sleep: Function that waits for some seconds.
        server: Name of the server, for the log.

    Raises:
        UnavailableError: The store was unavailable for ``limit_s``.
    """
    began_s, wait_s, tries = clock(), RETRY_FIRST_S, 0
    deadline = began_s + limit_s
    next_log_s, log_every_s = began_s, LOG_FIRST_S
    while True:
        try:
            answer = await call()
        except UnavailableError as error:
            if clock() >= deadline:
                raise
            on_wait(str(error))
            tries += 1
            if clock() >= next_log_s:
                where = f" partition={place}" if place else ""
                since = f" tries={tries} seconds={clock() - began_s:.0f}" if tries > 1 else ""
                logger.warning("%s unavailable, trying again: %s%s%s", server, error, where, since)
                next_log_s, log_every_s = clock() + log_every_s, min(2 * log_every_s, LOG_LAST_S)
            await sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_LAST_S)
        else:
            on_wait("")
            return answer
