"""Workers that are forked from a process which has torch and Faust imported already.

A worker of its own spends three seconds on imports before it does anything; a forked one none.
What runs is the same command line in a process of its own, with its own log, environment, signals
and exit status.  ``FreshWorker`` starts a Python anew, as a deployment does.
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
# How a process ended can be read once, and each start asks all processes: of two threads that ask
# at a time, one would be told 255.
_asking = threading.Lock()


class ForkedWorker(WorkerProcess):
    """One ``stream-rnn worker``, forked.

    Args:
        name: for messages and the log.
        options: of the command line, by setting.
        directory: where its log goes.
        environment: more variables for the process.
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
        with _asking:
            process.start()
        self._guard = _Ending(process)
        self.pid = process.pid


class _Ending:
    """How a forked process ended, asked for as of a ``subprocess.Popen``."""

    def __init__(self, process) -> None:
        self._process = process

    def poll(self) -> int | None:
        with _asking:
            return self._process.exitcode

    def wait(self, timeout_s: float) -> None:
        wait([self._process.sentinel], timeout_s)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("stream-rnn worker", timeout_s)


def _work(arguments, variables, log) -> None:
    """Be the process of a worker: its environment, its log, its signals."""
    os.setsid()  # a Ctrl-C of the terminal is for the tests; they end it
    os.environ.clear()
    os.environ.update(variables)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    with Path(log).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    assert "torch" in sys.modules, "nothing was imported before the fork"
    from stream_rnn.cli import main

    main(arguments)


def _end_with_the_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
