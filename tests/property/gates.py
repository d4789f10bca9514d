"""Workers that wait at gates before and after each call, and an event loop with virtual time.

Each call to the store, the log, the publisher or the source passes a gate before it takes effect,
and another gate before the worker gets its answer; :mod:`tests.property.protocol` opens the gates.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from stream_rnn.errors import FencedError, StreamRNNError
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.recovery import Start, Stop
from stream_rnn.fold.source import Fetch
from stream_rnn.testing import MemorySource

if TYPE_CHECKING:
    from tests.property.protocol import World

FETCH_MAX = 3
GATES_MAX = 1500  # far more than a worker without faults needs


class Outcome(Enum):
    """What happens to a call when its gate opens."""

    PASS = "pass"
    LOSE = "the answer is lost"
    DELAY = "the effect comes late, without an answer"


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which a sleep returns at once and advances virtual time."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now_s

    def move(self, seconds: float) -> None:
        """Advance virtual time."""
        self._now_s += seconds


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        assert timeout is not None, "no timer is left that could wake a task"
        self._loop.move(max(timeout, 0))
        return super().select(0)


@dataclass
class Worker:
    """The processor of one assignment, and the gate at which it waits."""

    world: "World"
    generation: int
    processor: Processor = field(init=False)
    task: asyncio.Task = field(init=False)
    at: tuple[str, str] | None = None
    seen: Start | Stop | None = None  # the correct start when it last read the store
    _gates: int = 0
    _until: str | None = None
    _opened: asyncio.Future | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether the worker waits at a gate or has ended."""
        return self.task.done() or self.at is not None

    def open(self, outcome: Outcome, gates: int, until: str | None = None) -> None:
        """Let the worker pass a number of gates, or continue to the gate before a call."""
        assert self._opened is not None
        self._gates, self._until = gates - 1, until
        opened, self._opened, self.at = self._opened, None, None
        opened.set_result(outcome)

    async def call(
        self,
        name: str,
        effect: Callable[[], Awaitable[Any]],
        error: Callable[[str], StreamRNNError],
    ) -> Any:
        """Make a call between two gates."""
        before = await self._gate(name, "before")
        if before is Outcome.DELAY:
            self.world.late.append(effect)
            raise error(f"{name}: no answer")
        self.world.broker.tick()
        answer, error_answer = None, None
        try:
            answer = await effect()
        except StreamRNNError as raised:
            error_answer = raised
        self.world.check_redis()
        if await self._gate(name, "after") is Outcome.LOSE or before is Outcome.LOSE:
            raise error(f"{name}: the answer was lost")
        if error_answer is not None:
            raise error_answer
        return answer

    async def _gate(self, name: str, stage: str) -> Outcome:
        if self._gates > 0 and (name, stage) != (self._until, "before"):
            self._gates -= 1
            return Outcome.PASS
        self.at, self._opened = (name, stage), asyncio.get_running_loop().create_future()
        self.world.changed.set()
        return await self._opened


class GatedCalls:
    """The store or the log of one worker, whose calls pass the gates.

    Args:
        worker: Worker that makes the calls.
        name: ``store`` or ``log``.
        error: Class of the error for a lost answer.
    """

    def __init__(self, worker: Worker, name: str, error: type[StreamRNNError]) -> None:
        self._worker = worker
        self._name = name
        self._error = error

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            world = self._worker.world

            async def effect() -> Any:
                answer = await getattr(getattr(world, self._name), method)(*arguments)
                if (self._name, method) == ("store", "read"):
                    self._worker.seen = await world.decide_start()
                return answer

            return await self._worker.call(f"{self._name}.{method}", effect, self._error)

        return call


class GatedSource(MemorySource):
    """A source of a few records per fetch; an empty fetch makes the worker check Redis."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker.world.log, [FETCH_MAX] * GATES_MAX)
        self._worker = worker
        self._is_idle = False

    async def take(self, timeout_s: float) -> Fetch | None:
        """Return the next records or an empty fetch; at the end, return ``None``."""
        was_idle, self._is_idle = self._is_idle, False

        async def effect() -> Fetch | None:
            return await super(GatedSource, self).take(timeout_s)

        fetch = await self._worker.call("source.take", effect, FencedError)
        if fetch is not None:
            return fetch
        if was_idle and self._worker.world.is_final:
            return None
        self._is_idle = True
        return Fetch([], self._position)
