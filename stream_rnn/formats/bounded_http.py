"""HTTP requests whose whole answer has a deadline and a bound, for the client of a registry.

The timeouts of httpx are those of each operation alone, and it decompresses any number of bytes.
"""

import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

import httpx2

from stream_rnn.errors import reason
from stream_rnn.kafka.client_credentials import NoRedirect
from stream_rnn.kafka.http_deadline import Deadline

ANSWER_BYTES_MAX = 8_000_000
PLAIN = ("", "identity")


class BoundedTransport(httpx2.BaseTransport):
    """A transport of httpx that follows no redirection.

    A proxy comes from the environment, as ``https_proxy``.

    Args:
        timeout_s: Deadline of a whole answer, also of one that comes byte by byte, in seconds.
        context: TLS options; ``None`` for those of the system.
    """

    def __init__(self, timeout_s: float, context: ssl.SSLContext | None) -> None:
        self._timeout_s, self._context = timeout_s, context

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return its whole answer.

        Raises:
            TransportError: There is no answer in time, or it is too large or compressed.
        """
        headers = {**request.headers, "accept-encoding": "identity", "connection": "close"}
        headers.pop("content-length", None)  # urllib writes it
        asked = urllib.request.Request(  # noqa: S310  # the scheme is checked with the config
            str(request.url), request.read() or None, headers, method=request.method
        )
        status, content = 0, b""
        failure: Exception | None = None
        with Deadline(self._timeout_s) as deadline:
            opener = urllib.request.build_opener(NoRedirect, *deadline.handlers(self._context))
            try:
                with self._open(opener, asked) as answer:
                    status, content = answer.status, _read(answer)
            except (OSError, HTTPException) as error:
                failure = error
        if deadline.is_over:
            raise httpx2.TransportError(f"no whole answer within {self._timeout_s:g} s")
        if failure is not None:
            cause = failure.reason if isinstance(failure, urllib.error.URLError) else failure
            raise _translate(cause) from None
        return httpx2.Response(status, content=content, request=request)

    def _open(self, opener: urllib.request.OpenerDirector, asked: urllib.request.Request) -> Any:
        try:
            return opener.open(asked, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:  # an answer, too
            return error


class CertificateError(httpx2.TransportError):
    """TLS does not accept a certificate."""


def _read(answer: Any) -> bytes:
    encoding = (answer.headers.get("Content-Encoding") or "").lower()
    if encoding not in PLAIN:
        raise httpx2.TransportError("the answer is compressed, which nobody has asked for")
    content: bytes = answer.read(ANSWER_BYTES_MAX + 1)
    if len(content) > ANSWER_BYTES_MAX:
        raise httpx2.TransportError(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
    return content


def _translate(cause: object) -> httpx2.TransportError:
    if isinstance(cause, ssl.SSLError):
        return CertificateError(reason(cause))
    return httpx2.TransportError(reason(cause) if isinstance(cause, Exception) else str(cause))
