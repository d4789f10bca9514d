"""What the local servers have in common: a port, a directory, and a process that is awaited."""

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from stream_rnn.local.processes import ServerProcess, free_port, require_free


class LocalServer(ABC):
    """A server on 127.0.0.1; also a context manager, which stops it and removes its data.

    Args:
        port: Port of the server; ``None`` chooses a free one.
        data: Directory for the data, which is not removed; ``None`` uses a temporary directory.
    """

    name: ClassVar[str]
    """Name for messages."""
    word: ClassVar[str]
    """The word in the names of the option ``--WORD-port``, the log and the directory."""
    ready_within_s: ClassVar[float]
    """Seconds that a start may take."""
    grace_s: ClassVar[float]
    """Seconds between SIGTERM and SIGKILL."""

    def __init__(self, port: int | None = None, data: Path | None = None) -> None:
        self._requested_port = port
        self.port = port or free_port()
        self._data = data
        self._directory = data or Path(tempfile.mkdtemp(prefix=f"stream-rnn-{self.word}-"))
        self._process: ServerProcess | None = None

    def start(self) -> Self:
        """Start the server; after ``stop``, start it again with the same port and directory.

        Raises:
            ConfigError: The server's program is missing, its port is in use, or it does not start.
        """
        if self._requested_port is not None:
            require_free(self._requested_port, f"--{self.word}-port")
        self._directory.mkdir(parents=True, exist_ok=True)
        self._process = ServerProcess(
            self.name,
            self._command(),
            self._directory / f"{self.word}.log",
            self.grace_s,
            None if self._data else self._directory,
        )
        self._process.start(self._is_ready, self.ready_within_s)
        return self

    def stop(self) -> None:
        """Stop the server; its directory remains until ``remove``."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Kill the server by SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()

    def remove(self) -> None:
        """Remove its directory, unless that was given."""
        if self._data is None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()
        self.remove()

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the program and its arguments, after preparing what it needs."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Return whether the server answers."""
