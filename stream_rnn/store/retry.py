"""Retrying the store: a bounded back-off, and an end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stream_rnn.errors import UnavailableError

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_LAST_S = 0.05, 0.5

T = TypeVar("T")


async def retrying(
    call: Callable[[], Awaitable[T]],
    limit_s: float,
    clock: Callable[[], float],
    place: str,
    on_wait: Callable[[str], None],
) -> T:
    """Await a call; while the store is unavailable, call again.

    Args:
        call: makes the awaitable, anew for each try.
        limit_s: time after which the last error is raised.
        clock: monotonic seconds.
        place: the partition, for the log.
        on_wait: called with why it waits, and with nothing when it waits no longer.

    Raises:
        UnavailableError: it took too long.
    """
    wait_s, deadline = RETRY_FIRST_S, clock() + limit_s
    while True:
        try:
            answer = await call()
        except UnavailableError as error:
            if clock() >= deadline:
                raise
            on_wait(str(error))
            logger.warning("redis unavailable, trying again: %s partition=%s", error, place)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_LAST_S)
        else:
            on_wait("")
            return answer
