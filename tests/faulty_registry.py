"""A schema registry of the tests' own: the API of Confluent's over HTTP, with faults."""

import base64
import http.server
import json
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.http_json import send_json

UNKNOWN = {"error_code": 40403, "message": "Schema not found"}


class FaultyRegistry:
    """Serves schemas on 127.0.0.1, as a context manager.

    Args:
        schemas: Answer of each path, such as ``/schemas/ids/7``.
        certificate: PEM file of a key and a certificate; ``None`` for plain HTTP.
        port: Port; 0 for a free one.
        upstream: URL of a registry that gives the answers; empty for ``schemas``.

    Attributes:
        failures: Statuses of the next answers.
        raw: Bytes that are sent instead of each answer, with its status line.
        delay_s: Seconds before each answer.
        pause_s: Seconds between the bytes of an answer.
        login: Value of the header ``Authorization`` that is demanded; empty for none.
        asked: Paths of all requests.
    """

    def __init__(
        self, schemas=None, certificate: Path | None = None, port: int = 0, upstream: str = ""
    ) -> None:
        self.schemas = dict(schemas or {})
        self.failures: list[int] = []
        self.asked: list[str] = []
        self.raw = b""
        self.delay_s = self.pause_s = 0.0
        self.login = ""
        self._certificate, self._port, self._upstream = certificate, port, upstream
        self._ending = threading.Event()

    def demand(self, user: str, password: str) -> None:
        """Demand a password from now on."""
        self.login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def register(self, schema_id: int, schema, kind: str = "AVRO", references=()) -> None:
        """Add a schema."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.schemas[f"/schemas/ids/{schema_id}"] = {
            "schema": text,
            "schemaType": kind,
            "references": list(references),
        }

    @property
    def url(self) -> str:
        """URL of the registry."""
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error) -> None:
        self.stop()

    def start(self) -> None:
        """Serve, on the port of before if it was stopped."""
        owner = self
        self._ending.clear()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # its base calls it
                with suppress(OSError):
                    owner._answer(self)

            def log_message(self, *_arguments):
                """Write nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; the schemas remain."""
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _answer(self, request) -> None:
        self.asked.append(request.path.partition("?")[0])
        self._ending.wait(self.delay_s)
        if self.raw:
            for i in range(len(self.raw)) if self.pause_s else [slice(None)]:
                request.wfile.write(self.raw[i : i + 1] if self.pause_s else self.raw[i])
                if self._ending.wait(self.pause_s):
                    return
            return
        send_json(request, *self._find(request))

    def _find(self, request):
        """Return the status and the content of an answer."""
        path = request.path.partition("?")[0]
        if self.failures:
            return self.failures.pop(0), {"message": "away"}
        if self.login and request.headers.get("Authorization") != self.login:
            return 401, {"error_code": 401, "message": "no login"}
        if self._upstream:
            return self._forward(request.path)
        if path == "/subjects":
            return 200, []
        return (200, self.schemas[path]) if path in self.schemas else (404, UNKNOWN)

    def _forward(self, path):
        try:
            with urllib.request.urlopen(self._upstream + path, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
