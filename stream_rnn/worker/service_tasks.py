"""Background tasks that run until the service stops them: any other end is a failure.

Nothing awaits such a task, so a callback reports its end.  This includes an end by a
``CancelledError``, which a client library can leak although nobody cancelled the task.
"""

import asyncio
import logging
from collections.abc import Callable

from stream_rnn.errors import FencedError, StreamRNNError

logger = logging.getLogger(__name__)


def report_unexpected_end(
    task: "asyncio.Task[None]",
    is_end_expected: Callable[[], bool],
    fail: Callable[[BaseException], None],
) -> None:
    """Report the end of a task that should still run.

    Args:
        task: Task to observe; its name appears in messages.
        is_end_expected: Function that returns whether the task may end now; an error of the task
            is then only logged.
        fail: Callback that receives the error that ended the task.
    """

    def ended(task: "asyncio.Task[None]") -> None:
        name = task.get_name()
        error = None if task.cancelled() else task.exception()
        if is_end_expected():
            if error is not None:
                logger.info("error of a released task ignored: %s task=%s", error, name)
            return
        if error is None:
            how = "was cancelled" if task.cancelled() else "ended"
            error = FencedError(f"{name} {how} unexpectedly; the restarted worker continues")
        elif not isinstance(error, StreamRNNError):
            logger.error("%s failed", name, exc_info=error)
        fail(error)

    task.add_done_callback(ended)
