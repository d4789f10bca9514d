"""A server as a child process that never outlives this process."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from stream_rnn.errors import ConfigError

LOG_TAIL_LINES = 12
POLL_INTERVAL_S = 0.05

PORTS = range(10_240, 32_768)
ATTEMPTS_MAX = 1000
_recent_ports: deque[int] = deque(maxlen=1000)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now; successive calls return different ports.

    The ports lie below the range from which systems take ports of outgoing connections: such a
    connection could take the port before the server does, or during a restart of the server.
    """
    for _ in range(ATTEMPTS_MAX):
        port = secrets.randbelow(PORTS.stop - PORTS.start) + PORTS.start
        if port in _recent_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _recent_ports.append(port)
        return port
    raise ConfigError(f"no free port between {PORTS.start} and {PORTS.stop} on 127.0.0.1")


def require_free(port: int, option: str) -> None:
    """Check that a port is free.

    Args:
        port: Port of 127.0.0.1.
        option: Command-line option to name in the error.

    Raises:
        ConfigError: Another process listens on the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            message = f"port {port} of 127.0.0.1 is taken: choose another with {option}"
            raise ConfigError(message) from error


class ServerProcess:
    """One server under a guard; see ``guard.py``.

    Args:
        name: Name for messages.
        command: Program of the server and its arguments.
        log: File for the server's output.
        grace_s: Seconds between SIGTERM and SIGKILL.
        temporary: Directory that the guard removes if this process dies.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        grace_s: float,
        temporary: Path | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._grace_s = grace_s
        self._temporary = temporary
        self._guard: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def start(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Start the server and wait until it is ready.

        Args:
            is_ready: Returns whether the server answers.
            timeout_s: Seconds to wait.

        Raises:
            ConfigError: The server ended, or did not answer in time; the message has the end of its
                log.
        """
        guard = Path(__file__).with_name("guard.py")
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(  # noqa: S603  # the guard of this package
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(guard),
                    str(self._temporary or "-"),
                    str(self._grace_s),
                    *self._command,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process alone
            )
        assert self._guard.stdout is not None, "Popen opened a pipe"
        self.pid = int(self._guard.stdout.readline() or 0)
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if self._guard.poll() is not None or not self.pid:
                raise ConfigError(f"{self.name} ended while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.stop()
                tail = self.log_tail()
                raise ConfigError(f"{self.name} does not answer after {timeout_s:g} s:\n{tail}")
            time.sleep(POLL_INTERVAL_S)

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self._guard is not None and self._guard.poll() is None

    def stop(self) -> None:
        """Stop the server by SIGTERM, and by SIGKILL after the grace period."""
        if self._guard is None:
            return
        assert self._guard.stdin is not None, "Popen opened a pipe"
        assert self._guard.stdout is not None, "Popen opened a pipe"
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            self._guard.stdin.write(b"s")
            self._guard.stdin.close()
        self._guard.wait(self._grace_s + 10)
        self._guard.stdout.close()
        self._guard = None

    def kill(self) -> None:
        """Kill the server by SIGKILL, as a crash would."""
        if self.is_running:
            os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def log_tail(self) -> str:
        """Return the last lines of the server's output."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-LOG_TAIL_LINES:]) or "(it printed nothing)"
