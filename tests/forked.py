"""Workers that are forked from a process that has already imported torch and Faust.

A new Python process spends three seconds on imports; a forked worker spends none.  It runs the same
command line in a process with its own log, environment, signals and exit status.  ``FreshWorker``
starts a new Python process, as a deployment does.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path

from stream_rnn.local.workers import WorkerProcess

FreshWorker = WorkerProcess
PRELOADED = ["torch", "faust", "stream_rnn.worker.app", "stream_rnn.cli.worker", "tests.forked"]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)
# An exit status can be read only once, and each start polls all processes. If two threads polled at
# the same time, one of them would get 255.
_polling = threading.Lock()


class ForkedWorker(WorkerProcess):
    """A forked process of ``stream-rnn worker``.

    Args:
        name: Name in messages, and of the log.
        options: Options of the command line by setting.
        directory: Directory of the log.
        environment: Further environment variables of the process.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.log.touch()
        words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        variables = {**os.environ, **(environment or {})}
        arguments = (["worker", *words], variables, self.log)
        process = _context.Process(target=_work, args=arguments, daemon=True)
        with _polling:
            process.start()
        self._guard = _ForkedProcess(process)
        self.pid = process.pid


class _ForkedProcess:
    """A forked process with the interface of ``subprocess.Popen``."""

    def __init__(self, process) -> None:
        self._process = process

    def poll(self) -> int | None:
        with _polling:
            return self._process.exitcode

    def wait(self, timeout_s: float) -> None:
        wait([self._process.sentinel], timeout_s)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("stream-rnn worker", timeout_s)


def _work(arguments, variables, log) -> None:
    """Run a worker in this process, with its environment, log and signals."""
    os.setsid()  # Ctrl-C in the terminal must reach only the tests, which then end the worker
    os.environ.clear()
    os.environ.update(variables)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    with Path(log).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    assert "torch" in sys.modules, "torch was not imported before the fork"
    from stream_rnn.cli import main

    main(arguments)


def _end_with_the_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
