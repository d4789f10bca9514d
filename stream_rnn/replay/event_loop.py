"""Coroutines run to their end, whether or not an event loop runs in the thread of the caller.

A notebook runs each cell inside of an event loop, where ``asyncio.run`` raises.  There a coroutine
gets a thread and a loop of its own, and the caller waits for both.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

from stream_rnn.replay.ctrl_c import ctrl_c_raises

T = TypeVar("T")

BEGIN_S = 1.0


def run_coroutine(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result; Ctrl-C cancels it and waits until it has cleaned up.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the coroutine has ended.

    Example:
        >>> async def answer():
        ...     return 42
        >>> run_coroutine(answer())
        42
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    return _run_in_thread(main)


def _run_in_thread(main: Coroutine[Any, Any, T]) -> T:
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    async def whole() -> T:
        task = asyncio.ensure_future(main)
        begun.set_result((asyncio.get_running_loop(), task))
        return await task

    # Leaving the block waits for the thread.
    with ThreadPoolExecutor(1, "stream-rnn") as pool, ctrl_c_raises():
        try:
            return pool.submit(copy_context().run, asyncio.run, whole()).result()
        except KeyboardInterrupt:
            with suppress(TimeoutError, RuntimeError):  # it has not begun, or its loop is closed
                loop, task = begun.result(BEGIN_S)
                loop.call_soon_threadsafe(task.cancel)
            raise
