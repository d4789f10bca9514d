"""An open fold, for verbs that do one thing to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stream_rnn.operate.open_fold import Fold, open_fold
from stream_rnn.settings import FoldSettings

T = TypeVar("T")


def with_fold(settings: FoldSettings, action: Callable[[Fold], Awaitable[T]]) -> T:
    """Open a fold, call an action with it, close it, and return the action's result."""

    async def run() -> T:
        async with open_fold(settings) as fold:
            return await action(fold)

    return asyncio.run(run())
