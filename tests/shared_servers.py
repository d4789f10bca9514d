"""One Kafka and one Redis for all processes of a test session.

The process that collects tests owns the servers and starts each when the first test asks for it;
processes that run tests ask by a socket.  So a server is started once, and it ends with the
session, however many processes there are.
"""

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener
from typing import NoReturn

import pytest

from stream_rnn.errors import ConfigError, reason
from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.redis import LocalRedis

# A test that waits until a dead worker's session or transaction is over should not wait for long.
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


@contextmanager
def own(server):
    """Run a server for some tests alone; where it cannot be had they skip, and fail in CI."""
    try:
        started = server.start()
    except ConfigError as error:
        refuse(error)
    try:
        yield started
    finally:
        end(server)


def end(server) -> None:
    """Stop a server and remove what it wrote, whether it could be stopped or not."""
    try:
        server.stop()
    finally:
        server.remove()


def refuse(error: ConfigError) -> NoReturn:
    """Skip a test for want of a server; in CI fail."""
    if os.environ.get("CI"):
        pytest.fail(str(error))
    pytest.skip(str(error))


class Keeper:
    """Starts servers by name, each once, and stops them all.

    Args:
        starts: by name, what starts a server.

    Attributes:
        where: where it answers other processes, and the key to it; ``None`` before ``listen``.
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
        """Return where a server is; start it if nobody has.

        Raises:
            ConfigError: it cannot be had.
            RuntimeError: its start failed in another way, or the session is over.
        """
        with self._locks[name]:
            if self._is_over:
                raise RuntimeError(f"{name} is not started: the session is over")
            if name not in self._running and name not in self._refused:
                try:
                    self._running[name] = self._starts[name]()
                except ConfigError as error:
                    self._refused[name] = error
                except Exception as error:  # noqa: BLE001  # of whatever it is, all who ask are told
                    self._refused[name] = RuntimeError(f"starting {name} failed: {reason(error)}")
                    self._refused[name].__cause__ = error
            if name in self._refused:
                raise self._refused[name]
            return self._running[name][1]

    def listen(self) -> None:
        """Answer other processes from now on; ``where`` has the address and the key to it."""
        key = secrets.token_bytes(16)
        self._listener = Listener(family="AF_UNIX", authkey=key)
        self.where = (self._listener.address, key)
        threading.Thread(target=self._answer_all, daemon=True).start()

    def _answer_all(self) -> None:
        assert self._listener is not None, "it listens"
        while not self._is_over:
            try:
                asking = self._listener.accept()
            except (OSError, EOFError, AuthenticationError):
                continue  # closed, or who asked went away or has not the key
            threading.Thread(target=self._answer, args=(asking,), daemon=True).start()

    def _answer(self, asking) -> None:
        with asking, suppress(EOFError, OSError):  # who asked may go away
            name = asking.recv()
            try:
                asking.send((self.address(name), None))
            except (ConfigError, RuntimeError, KeyError) as error:
                kind = ConfigError if isinstance(error, ConfigError) else RuntimeError
                asking.send(("", kind(str(error))))

    def stop(self) -> None:
        """Stop all servers and remove what they wrote; one that is being started, after that.

        Raises:
            ExceptionGroup: what could not be stopped or removed; all others are.
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
                except Exception as error:  # noqa: BLE001  # raised after the others are ended
                    failed.append(error)
        if failed:
            raise ExceptionGroup("servers of the session", failed)


def ask(where: tuple[str, bytes], name: str) -> str:
    """Ask the keeper in another process where a server is.

    Raises:
        ConfigError: it cannot be had.
        RuntimeError: its start failed in another way, or the session is over.
    """
    address, key = where
    with Client(address, authkey=key) as keeper:
        keeper.send(name)
        found, refused = keeper.recv()
    if refused is not None:
        raise refused
    return found
