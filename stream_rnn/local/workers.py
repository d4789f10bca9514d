"""Workers as real processes, for the demo and for tests."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream_rnn.errors import ConfigError

_STARTED = re.compile(r"starting partition=.*\[(\d+)\] row=")
_RELEASED = re.compile(r"partition released partition=.*\[(\d+)\]")
STOP_WITHIN_S = 20.0


class WorkerProcess:
    """One ``stream-rnn worker``.

    Args:
        name: for messages and the log.
        options: of the command line, by setting.
        directory: where its log goes.
        environment: more variables for the process.
        program: how Python is told what to run.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "stream_rnn.cli"),
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        guard = Path(__file__).with_name("guard.py")
        command = [sys.executable, *program, "worker", *arguments]
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(  # noqa: S603  # our own guard and command
                [sys.executable, "-I", "-S", str(guard), "-", str(STOP_WITHIN_S), *command],
                stdin=subprocess.PIPE,  # the worker ends when this process does
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a Ctrl-C of the terminal is for us; we end it
                env={**os.environ, **(environment or {})},
            )
        assert self._guard.stdout is not None, "it was asked for"
        self.pid = int(self._guard.stdout.readline())

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._guard.poll() is None

    @property
    def exit_status(self) -> int | None:
        """How it ended; negative for a signal."""
        status = self._guard.poll()
        return status - 256 if status is not None and status > 128 else status

    def partitions(self) -> set[int]:
        """Return the partitions that it says it owns."""
        owned: set[int] = set()
        for line in self.log.read_text(errors="replace").splitlines():
            if found := _STARTED.search(line):
                owned.add(int(found[1]))
            elif found := _RELEASED.search(line):
                owned.discard(int(found[1]))
        return owned

    def require_alive(self) -> None:
        """Raise what it said, if it ended.

        Raises:
            ConfigError: it ended.
        """
        if not self.is_alive:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise ConfigError(f"{self.name} ended with status {self.exit_status}:\n{tail}")

    def signal(self, number: int) -> None:
        """Send a signal."""
        if self.is_alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.signal(signal.SIGKILL)
        self._guard.wait(STOP_WITHIN_S)

    def stop(self) -> int | None:
        """End it by SIGTERM, after a while by SIGKILL; return its exit status."""
        self.signal(signal.SIGTERM)
        try:
            self._guard.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.exit_status
