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
    """One process of ``stream-rnn worker``.

    Args:
        name: Name for messages and for the log file.
        options: Setting -> value, for the command line.
        directory: Directory of the log file.
        environment: Additional environment variables.
        program: Arguments of Python that name the program to run.
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
            self._guard = subprocess.Popen(  # noqa: S603  # the guard of this package
                [sys.executable, "-I", "-S", str(guard), "-", str(STOP_WITHIN_S), *command],
                stdin=subprocess.PIPE,  # the guard ends the worker when this process ends
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process, which stops the worker
                env={**os.environ, **(environment or {})},
            )
        assert self._guard.stdout is not None, "Popen opened a pipe"
        self.pid = int(self._guard.stdout.readline())

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._guard.poll() is None

    @property
    def exit_status(self) -> int | None:
        """Exit status; negative for a signal, ``None`` while the process runs."""
        status = self._guard.poll()
        return status - 256 if status is not None and status > 128 else status

    def partitions(self) -> set[int]:
        """Return the partitions that the worker owns according to its log."""
        owned: set[int] = set()
        for line in self.log.read_text(errors="replace").splitlines():
            if match := _STARTED.search(line):
                owned.add(int(match[1]))
            elif match := _RELEASED.search(line):
                owned.discard(int(match[1]))
        return owned

    def require_alive(self) -> None:
        """Check that the process runs.

        Raises:
            ConfigError: The process has ended; the message has the end of its log.
        """
        if not self.is_alive:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise ConfigError(f"{self.name} ended with status {self.exit_status}:\n{tail}")

    def signal(self, number: int) -> None:
        """Send a signal to the worker."""
        if self.is_alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the worker by SIGKILL."""
        self.signal(signal.SIGKILL)
        self._guard.wait(STOP_WITHIN_S)

    def stop(self) -> int | None:
        """Stop the worker by SIGTERM, or by SIGKILL after a timeout; return its exit status."""
        self.signal(signal.SIGTERM)
        try:
            self._guard.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.exit_status
