"""A deadline for a whole HTTP answer; the timeout of ``urllib`` is that of each operation alone."""

import socket
import ssl
import threading
import urllib.request
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, Self


class Deadline:
    """Shuts down the connections of its handlers when it is over.

    Args:
        within_s: Seconds from the start of the context.

    Attributes:
        is_over: Whether connections were shut down.
    """

    def __init__(self, within_s: float) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(within_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()

    def handlers(self, context: ssl.SSLContext | None) -> list[urllib.request.BaseHandler]:
        """Return handlers of ``http`` and ``https`` whose connections end at the deadline."""
        return [_Http(self), _Https(self, context)]

    def add(self, connected: socket.socket) -> None:
        """End a connection at the deadline."""
        with self._lock:
            self._sockets.append(connected)
            if self.is_over:
                _shut_down(connected)

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for connected in self._sockets:
                _shut_down(connected)


def _shut_down(connected: socket.socket) -> None:
    # The reader sees the end of the stream.  The method of the base class leaves TLS in place.
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _PlainConnection(HTTPConnection):
    def __init__(self, host: str, *, deadline: Deadline, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.add(self.sock)


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """The same over TLS."""


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_PlainConnection, deadline=self._deadline), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: Deadline, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._deadline = deadline
        self._tls = context

    def https_open(self, req: urllib.request.Request) -> Any:
        connect = partial(_TlsConnection, deadline=self._deadline, context=self._tls)
        return self.do_open(connect, req)
