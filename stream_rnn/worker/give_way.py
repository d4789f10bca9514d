"""The right of way of the folds in charge: when the candidates of a worker rest, and for how long."""

import asyncio
import time
from collections.abc import Awaitable, Callable

REST_MAX_S = 30.0
LOOK_FIRST_S = 0.005  # of the candidate that is next
LOOK_EVERY_S = 0.02
WORKING_MAX = 2  # one computes while the other waits for Kafka or Redis
TURN_MAX_S = 10.0  # a candidate that waits longer for a server does not keep others from working


class RightOfWay:
    """Lets the candidates of a worker rest while any of its folds in charge has work.

    All folds of a worker share one event loop, so a candidate delays each of them.  Few candidates
    work at a time, each in its turn, because a record that arrives waits for all that work.  While
    a fold in charge has records to fold, no other candidate begins, and they rest.

    Args:
        has_work: Function that returns whether a fold in charge has records to fold.
        share: Largest share of the time for the candidates meanwhile; 1 lets them never rest.
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
        self._queue: list[GiveWay] = []
        self._working: dict[GiveWay, float] = {}  # time at which each has begun
        self._rests_until_s = clock()

    def of(self, is_urgent: Callable[[], bool]) -> "GiveWay":
        """Return the turn of one partition's candidate.

        Args:
            is_urgent: Function that returns whether the fold in charge waits for this candidate.
        """
        return GiveWay(self, is_urgent)

    async def begin(self, one: "GiveWay") -> None:
        """Wait until a candidate may work; a rest ends early when no fold in charge has work left."""
        self._queue.append(one)
        try:
            while self._must_wait(one):
                await self._sleep(LOOK_FIRST_S if self._queue[0] is one else LOOK_EVERY_S)
            is_ended = one not in self._queue
        finally:
            self._leave_queue(one)
        if not is_ended:
            self._working[one] = self._clock()

    def _must_wait(self, one: "GiveWay") -> bool:
        if one not in self._queue or one.is_urgent():
            return False
        now_s = self._clock()
        working = sum(now_s - began_s < TURN_MAX_S for began_s in self._working.values())
        if self._queue[0] is not one or working >= WORKING_MAX:
            return True
        if self._share >= 1 or not self._has_work():
            return False
        return working > 0 or now_s < self._rests_until_s

    def end(self, one: "GiveWay") -> None:
        """Let a candidate wait no longer; if it has worked, the others rest."""
        self._leave_queue(one)
        began_s, now_s = self._working.pop(one, None), self._clock()
        if began_s is not None:
            rest_s = min((now_s - began_s) * (1 / self._share - 1), REST_MAX_S)
            self._rests_until_s = max(self._rests_until_s, now_s + rest_s)

    def _leave_queue(self, one: "GiveWay") -> None:
        if one in self._queue:
            self._queue.remove(one)


class GiveWay:
    """The turn of one candidate; a :class:`stream_rnn.rollout.candidate.Turn`.

    Args:
        right_of_way: What all candidates of the worker share.
        is_urgent: Function that returns whether the fold in charge waits for this candidate.
    """

    def __init__(self, right_of_way: RightOfWay, is_urgent: Callable[[], bool]) -> None:
        self._right_of_way = right_of_way
        self.is_urgent = is_urgent

    async def begin(self) -> None:
        """Wait until the candidate may read and fold, or until :meth:`end` is called."""
        await self._right_of_way.begin(self)

    def end(self) -> None:
        """Leave the turn to other candidates."""
        self._right_of_way.end(self)
