"""The agent on the source: it takes fetched batches from Faust and hands them on."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust
from mode import CrashingSupervisor

from stream_rnn.settings import FoldSettings
from stream_rnn.worker.transport import Fetched


class _HandedThrough(faust.Schema[Any, Any]):
    """Leaves keys and values as the transport made them."""

    def loads_key(self, app: Any, message: Any, **_options: Any) -> Any:  # noqa: ARG002  # faust's signature
        return message.key

    def loads_value(self, app: Any, message: Any, **_options: Any) -> Any:  # noqa: ARG002  # faust's signature
        return message.value


class _SourceTopic(faust.Topic):
    """The source: somebody else's topic, which Faust must not create."""

    async def declare(self) -> None:
        """Do nothing: a missing source is refused at start."""


def register_agent(
    app: faust.App, settings: FoldSettings, offer: Callable[[Fetched], Awaitable[None]]
) -> str:
    """Register the agent of a source.

    Args:
        app: of Faust.
        settings: with the source.
        offer: is given each batch, in the order of the fetches.

    Returns:
        The agent's name.
    """
    topic = _SourceTopic(
        app,
        topics=[settings.source],
        schema=_HandedThrough(),
        acks=False,
        maxsize=settings.queue_messages_max,
    )

    async def fold(fetches: Any) -> None:
        async for fetched in fetches:
            await offer(fetched)

    fold.__name__ = fold.__qualname__ = f"stream_rnn_{settings.source}"
    agent = app.agent(topic, concurrency=1, supervisor_strategy=CrashingSupervisor)(fold)
    return str(agent.name)
