"""The right of way of the fold in charge: when a candidate rests, and for how long."""

import asyncio
import time
from collections.abc import Awaitable, Callable

REST_MAX_S = 30.0
REST_LOOK_EVERY_S = 0.02


class GiveWay:
    """Lets a candidate rest while the fold in charge has work.

    Args:
        has_work: Function that returns whether the fold in charge has records to fold.
        share: Largest share of the time for the candidate meanwhile; 1 lets it never rest.
        clock: Monotonic clock in seconds.
        sleep: Function that waits for some seconds.
    """

    def __init__(
        self,
        has_work: Callable[[], bool],
        share: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._has_work = has_work
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._resumed_s = clock()

    async def __call__(self) -> None:
        """Wait so long that the candidate had its share of the time since the last call.

        The rest ends early when the fold in charge has no work left.
        """
        worked_s = self._clock() - self._resumed_s
        left_s = min(worked_s * (1 / self._share - 1), REST_MAX_S)
        until_s = self._clock() + left_s
        while left_s > 0 and self._has_work():
            await self._sleep(min(left_s, REST_LOOK_EVERY_S))
            left_s = until_s - self._clock()  # a sleep takes longer while the loop is busy
        self._resumed_s = self._clock()
