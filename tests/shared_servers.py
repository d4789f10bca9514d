"""One Kafka, one Redis and one schema registry for all processes of a test session.

The main process owns the servers, and starts each at its first use.  The processes that run tests
request the address of a server through a socket, so each server starts once and stops with the
session.
"""

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import NoReturn

import pytest

from stream_rnn.errors import ConfigError, reason
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.redis import LocalRedis
from stream_rnn.local.registry import LocalRegistry

# Short limits, for tests that wait for the end of a dead worker's session or transaction.
KAFKA_PROPERTIES = {
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}


def start_kafka() -> tuple[LocalKafka, str]:
    """Start a broker; return it and its address."""
    kafka = LocalKafka(properties=KAFKA_PROPERTIES).start()
    return kafka, kafka.bootstrap_servers


def start_redis() -> tuple[LocalRedis, str]:
    """Start a Redis; return it and its URL."""
    redis = LocalRedis().start()
    return redis, redis.redis_url


def start_registry() -> tuple[LocalRegistry, str]:
    """Start a schema registry; return it and its URL."""
    registry = LocalRegistry().start()
    return registry, registry.url


@contextmanager
def run_server(server):
    """Run a server for some tests only; if it cannot start, skip them, or fail in CI."""
    try:
        started = server.start()
    except ConfigError as error:
        skip_without(error)
    try:
        yield started
    finally:
        end(server)


def freeze(server, within_s: float = 10) -> None:
    """Stop every thread of a server until :func:`unfreeze`.

    ``os.kill`` returns before the threads have stopped: a thread on another core may still answer
    the next request.
    """
    pid = server._process.pid
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + within_s
    while not are_threads_stopped(pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} has not stopped within {within_s:g} s")
        time.sleep(0.001)


def are_threads_stopped(pid: int) -> bool:
    """Return whether every thread of a process has stopped."""
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():  # not Linux
        time.sleep(0.5)
        return True
    stats = [(thread / "stat").read_text() for thread in threads.iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def unfreeze(server) -> None:
    """Let a server go on that was stopped by :func:`freeze`."""
    os.kill(server._process.pid, signal.SIGCONT)


def end(server) -> None:
    """Stop a server and remove its files, even if it could not be stopped."""
    try:
        server.stop()
    finally:
        server.remove()


def skip_without(error: ConfigError) -> NoReturn:
    """Skip a test because a server is missing; fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(str(error))
    pytest.skip(str(error))


class ServerOwner:
    """Owns the servers of a session: starts each at its first use, and stops them all.

    Args:
        starts: Functions that start a server, by name.

    Attributes:
        where: Address of the socket for other processes, and its key; ``None`` before ``listen``.
    """

    def __init__(self, starts: dict[str, Callable[[], tuple]]) -> None:
        self._starts = starts
        self._locks = {name: threading.Lock() for name in starts}
        self._running: dict[str, tuple] = {}
        self._refused: dict[str, Exception] = {}
        self._is_over = False
        self._listener: Listener | None = None
        self.where: tuple[str, bytes] | None = None

    def address(self, name: str) -> str:
        """Return the address of a server, and start it if it does not run yet.

        Raises:
            ConfigError: The server is not available on this machine.
            RuntimeError: The start failed for another reason, or the session is over.
        """
        with self._locks[name]:
            if self._is_over:
                raise RuntimeError(f"{name} does not start: the session is over")
            if name not in self._running and name not in self._refused:
                try:
                    self._running[name] = self._starts[name]()
                except ConfigError as error:
                    self._refused[name] = error
                except Exception as error:  # noqa: BLE001  # raised in every process
                    self._refused[name] = RuntimeError(f"starting {name} failed: {reason(error)}")
                    self._refused[name].__cause__ = error
            if name in self._refused:
                raise self._refused[name]
            return self._running[name][1]

    def listen(self) -> None:
        """Start to answer other processes; ``where`` then has the address and the key."""
        key = secrets.token_bytes(16)
        self._listener = Listener(family="AF_UNIX", authkey=key)
        self.where = (self._listener.address, key)
        threading.Thread(target=self._answer_all, daemon=True).start()

    def _answer_all(self) -> None:
        assert self._listener is not None, "listen() has created the listener"
        while not self._is_over:
            try:
                client = self._listener.accept()
            except (OSError, EOFError, AuthenticationError):
                continue  # the listener is closed, or the client went away or has a wrong key
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client) -> None:
        with client, suppress(EOFError, OSError):  # the client may go away
            name = client.recv()
            try:
                client.send((self.address(name), None))
            except (ConfigError, RuntimeError, KeyError) as error:
                kind = ConfigError if isinstance(error, ConfigError) else RuntimeError
                client.send(("", kind(str(error))))

    def stop(self) -> None:
        """Stop all servers and remove their files; wait for a server that is starting.

        Raises:
            ExceptionGroup: Some servers could not be stopped or removed; all others are.
        """
        self._is_over = True
        if self._listener is not None:
            self._listener.close()
        failed = []
        for name, lock in self._locks.items():
            with lock:
                server, _ = self._running.pop(name, (None, ""))
                try:
                    if server is not None:
                        end(server)
                except Exception as error:  # noqa: BLE001  # raised at the end
                    failed.append(error)
        if failed:
            raise ExceptionGroup("servers of the session", failed)


def request_address(where: tuple[str, bytes], name: str) -> str:
    """Request the address of a server from its owner in another process.

    Raises:
        ConfigError: The server is not available on this machine.
        RuntimeError: The start failed for another reason, or the session is over.
    """
    address, key = where
    with Client(address, authkey=key) as server_owner:
        server_owner.send(name)
        server_address, error = server_owner.recv()
    if error is not None:
        raise error
    return server_address
