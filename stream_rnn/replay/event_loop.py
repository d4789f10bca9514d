"""``asyncio.run`` that also works where an event loop runs already, such as in a notebook.

A notebook runs each cell inside of an event loop, where ``asyncio.run`` raises.  There a coroutine
runs in a thread with an event loop of its own, and the caller waits for the thread.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from contextvars import copy_context
from typing import Any, TypeVar

from stream_rnn.replay.ctrl_c import ctrl_c_raises

T = TypeVar("T")

START_TIMEOUT_S = 1.0


def run_coroutine(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, and return its result.

    Ctrl-C cancels the coroutine.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C, and the coroutine has ended.

    Example:
        >>> async def answer():
        ...     return 42
        >>> run_coroutine(answer())
        42
    """
    return _run_in_thread(main) if _is_loop_running() else asyncio.run(main)


@contextmanager
def ctrl_c_raises_in_loop() -> Iterator[None]:
    """Let Ctrl-C raise ``KeyboardInterrupt`` in the block, if an event loop runs in this thread.

    The handler of ``asyncio`` cancels a task, which has no effect until the block ends.
    """
    with ctrl_c_raises() if _is_loop_running() else nullcontext():
        yield


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_in_thread(main: Coroutine[Any, Any, T]) -> T:
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    async def run_main() -> T:
        task = asyncio.ensure_future(main)
        started.set_result((asyncio.get_running_loop(), task))
        return await task

    # The end of the block waits for the thread.
    with ThreadPoolExecutor(1, "stream-rnn") as pool, ctrl_c_raises():
        try:
            return pool.submit(copy_context().run, asyncio.run, run_main()).result()
        except KeyboardInterrupt:
            with suppress(TimeoutError, RuntimeError):  # not started yet, or its loop is closed
                loop, task = started.result(START_TIMEOUT_S)
                loop.call_soon_threadsafe(task.cancel)
            raise
