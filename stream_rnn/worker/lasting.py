"""Tasks that last until somebody asks them to end: any other end of theirs is a failure.

A task that ends by itself leaves nobody who waits for it, so that its end has to be told: also one
by a ``CancelledError``, which a client may let through although nobody cancelled the task.
"""

import asyncio
import logging
from collections.abc import Callable

from stream_rnn.errors import FencedError, StreamRNNError

logger = logging.getLogger(__name__)


def tell_end(
    task: "asyncio.Task[None]", is_asked: Callable[[], bool], fail: Callable[[BaseException], None]
) -> None:
    """Tell when a task ends that nobody asked to.

    Args:
        task: with a name that a person understands.
        is_asked: whether it may end now; then an error of it is only logged.
        fail: told what ended it.
    """

    def ended(task: "asyncio.Task[None]") -> None:
        name = task.get_name()
        error = None if task.cancelled() else task.exception()
        if is_asked():
            if error is not None:
                logger.info("error of what was released ignored: %s task=%s", error, name)
            return
        if error is None:
            how = "was cancelled" if task.cancelled() else "ended"
            error = FencedError(f"{name} {how} although nobody asked for it; the restart goes on")
        elif not isinstance(error, StreamRNNError):
            logger.error("%s failed", name, exc_info=error)
        fail(error)

    task.add_done_callback(ended)
