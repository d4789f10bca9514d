"""The Faust agent on the source topic, which passes each fetch to the fold."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust
from mode import CrashingSupervisor

from stream_rnn.settings import FoldSettings
from stream_rnn.worker.transport import PartitionFetch


class _PassThroughSchema(faust.Schema[Any, Any]):
    """A schema that passes the keys and values of the transport through."""

    def loads_key(self, app: Any, message: Any, **_options: Any) -> Any:  # noqa: ARG002  # faust's signature
        return message.key

    def loads_value(self, app: Any, message: Any, **_options: Any) -> Any:  # noqa: ARG002  # faust's signature
        return message.value


class _SourceTopic(faust.Topic):
    """The source topic, which belongs to its producer: Faust must not create it."""

    async def declare(self) -> None:
        """Do nothing; the worker refuses to start without its source."""


def register_agent(
    app: faust.App, settings: FoldSettings, offer: Callable[[PartitionFetch], Awaitable[None]]
) -> str:
    """Register the agent that reads the source.

    Args:
        app: Faust app that runs the agent.
        settings: Settings that name the source topic and the length of the queue.
        offer: Callback that receives each fetch, in fetch order.

    Returns:
        The name of the agent.
    """
    topic = _SourceTopic(
        app,
        topics=[settings.source],
        schema=_PassThroughSchema(),
        acks=False,
        maxsize=settings.queue_messages_max,
    )

    async def fold(fetches: Any) -> None:
        async for fetched in fetches:
            await offer(fetched)

    fold.__name__ = fold.__qualname__ = f"stream_rnn_{settings.source}"
    agent = app.agent(topic, concurrency=1, supervisor_strategy=CrashingSupervisor)(fold)
    return str(agent.name)
