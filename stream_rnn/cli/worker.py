"""``stream-rnn worker``: the stream worker, for those who write no Python of their own."""

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import faust

from stream_rnn.cli.shared.log_format import configure_log, drop_repetitions
from stream_rnn.cli.shared.startup_notes import startup_notes
from stream_rnn.errors import StreamRNNError
from stream_rnn.fold.gc_tuning import tune_garbage_collector
from stream_rnn.settings import Settings
from stream_rnn.worker.app import make_app
from stream_rnn.worker.plugin import StreamRNN

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 5.0


class _Worker(faust.Worker):
    """Faust's worker, for a process that ends with the worker.

    Args:
        rnn: The plugin that the worker runs.
        options: Keyword arguments of ``faust.Worker``.
    """

    def __init__(self, rnn: StreamRNN, **options: Any) -> None:
        super().__init__(rnn.app, **options)
        self._rnn = rnn

    async def _stop_on_signal(self, signal: signal.Signals) -> None:
        """Stop after the start is complete.

        In Faust, a stop during the first join of a group waits for the join, and the join for the
        stop.  A broker waits a whole session timeout for a member that disappears while it joins.
        """
        self._rnn.stop_requested = True
        with suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                while not (self._rnn.is_settled or self.should_stop):  # noqa: ASYNC110  # no event
                    await asyncio.sleep(0.05)
        await super()._stop_on_signal(signal)

    def _shutdown_loop(self) -> None:
        """Leave the event loop open.

        Every service has stopped, and the process ends next.  Faust would wait up to two seconds
        for tasks that nobody needs, and delay a rolling restart.
        """
        if self.crash_reason:
            raise self.crash_reason


def run(settings: Settings, log_level: str, log_format: str) -> None:
    """Run the stream worker: fold a topic and publish predictions."""
    configure_log(log_level, log_format)
    for note in startup_notes(settings):
        logger.log(note.level, "%s", note.text)
    rnn = make_app(settings)
    drop_repetitions(lambda: rnn.stop_requested or isinstance(rnn.failure, StreamRNNError))
    tune_garbage_collector()
    worker = _Worker(
        rnn,
        loglevel=None,
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,
        blocking_timeout=settings.watchdog_s,
    )
    worker.spinner = None  # it draws on standard error even if that is a file
    status = 0
    try:
        worker.execute_from_commandline()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:  # noqa: BLE001  # the error is logged below, and decides the exit status
        if rnn.failure is None and not rnn.stop_requested:
            rnn.failure = error
    status = rnn.exit_status or (0 if rnn.stop_requested else status)
    if rnn.failure is None:
        logger.info("worker ended status=%d", status)
    else:
        logger.critical("worker ended with status %d: %s", status, rnn.failure)
    logging.shutdown()
    sys.stdout.flush()
    # Threads of a consumer that cannot reach its broker would keep the process alive.
    os._exit(status)
