"""The tool of a roll-out that dies after some calls of Redis."""

from dataclasses import dataclass
from typing import Any, Self

from stream_rnn.errors import StreamRNNError
from stream_rnn.operate.rollout_status import OpenRollout


class ToolDiedError(StreamRNNError):
    """The tool has died; nothing after it happens."""


@dataclass(slots=True)
class Lives:
    """Number of calls of Redis after which the tool dies."""

    calls: int


class Dying:
    """Passes calls on, and dies after the last one.

    Args:
        target: What answers the calls.
        lives: Calls that are left, which all targets of one tool share.
    """

    def __init__(self, target: Any, lives: Lives) -> None:
        self._target, self._lives = target, lives

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._target, name)

        async def call_and_die(*arguments: Any, **options: Any) -> Any:
            answer = await call(*arguments, **options)
            self._lives.calls -= 1
            if self._lives.calls <= 0:
                raise ToolDiedError(f"the tool died after {name}")
            return answer

        return call_and_die


@dataclass(frozen=True, slots=True)
class DyingRollout(OpenRollout):
    """Clients of a tool that dies.

    Attributes:
        lives: Calls that are left.
    """

    lives: Lives

    @classmethod
    def of(cls, rollout: OpenRollout, calls: int) -> Self:
        """Return the clients of a tool that dies after some calls of plan and states."""
        lives = Lives(calls)
        plans: Any = Dying(rollout.plans, lives)
        return cls(rollout.settings, rollout.redis, rollout.cluster, plans, lives)

    def store(self, fold_id: str, partition: int) -> Any:
        """Return the store of a fold's hidden states, whose calls count, too."""
        return Dying(OpenRollout.store(self, fold_id, partition), self.lives)
