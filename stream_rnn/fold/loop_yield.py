"""Yields to the event loop during a long computation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class LoopYield:
    """Lets other tasks run if a partition has computed for longer than a limit.

    Args:
        clock: Function that returns monotonic seconds.
        limit_s: Seconds of a computation before other tasks run.
    """

    clock: Callable[[], float]
    limit_s: float
    _yielded_s: float = 0.0

    async def __call__(self) -> None:
        """Yield if the last yield is longer ago than the limit."""
        now = self.clock()
        if now - self._yielded_s > self.limit_s:
            await asyncio.sleep(0)
            now = self.clock()
        self._yielded_s = now
