"""A schema registry of the tests' own: the part of Confluent's API that the package uses, with faults.

Schemas are compatible with a subject that is not named in ``incompatible``;
``test_schema_registry_out.py`` compares with a real registry.
"""

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
from urllib.parse import unquote

from tests.http_json import send_json

UNKNOWN_SUBJECT, UNKNOWN_VERSION, UNKNOWN_SCHEMA = 40401, 40402, 40403
NO_MODE, INVALID_SCHEMA = 40409, 42201
FORMATS = ("AVRO", "PROTOBUF", "JSON")


class RegistryServer:
    """Serves schemas on 127.0.0.1, as a context manager.

    Args:
        schemas: Answers of paths, such as ``/schemas/ids/7``, beside those of ``ids``.
        certificate: PEM file of a key and a certificate; ``None`` for plain HTTP.
        port: Port; 0 for a free one.
        upstream: URL of a registry that gives the answers; empty for none.

    Attributes:
        ids: Kind and text of a registered schema -> its id.
        subjects: Name of a subject -> ids of its versions.
        incompatible: Subjects with whose versions no new schema is compatible.
        stays_in_first_kind: Whether it serves a schema in the format of its subject's first version.
        served: Id -> text that is served instead of the registered one.
        statuses: Method and part of a path -> status and code of the answer.
        next_id: Id of the next schema.
        status: Status of every answer; 200 to serve.
        failures: Statuses of the next answers.
        raw: Bytes that are sent instead of each answer, with its status line.
        delay_s: Seconds before each answer.
        pause_s: Seconds between the bytes of an answer.
        mode: Mode of the registry; no subject has one of its own.
        login: Value of the header ``Authorization`` that is demanded; empty for none.
        asked: Methods and paths of all requests.
    """

    def __init__(
        self, schemas=None, certificate: Path | None = None, port: int = 0, upstream: str = ""
    ) -> None:
        self.schemas = dict(schemas or {})
        self.ids: dict[tuple[str, str], int] = {}
        self.subjects: dict[str, list[int]] = {}
        self.incompatible: set[str] = set()
        self.stays_in_first_kind = False
        self.served: dict[int, str] = {}
        self.statuses: dict[str, tuple[int, int]] = {}
        self.next_id = 7
        self.status = 200
        self.failures: list[int] = []
        self.asked: list[str] = []
        self.raw = b""
        self.delay_s = self.pause_s = 0.0
        self.mode = "READWRITE"
        self.login = ""
        self._certificate, self._port, self._upstream = certificate, port, upstream
        self._ending = threading.Event()

    def demand(self, user: str, password: str) -> None:
        """Demand a password from now on."""
        self.login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def register(self, schema_id: int, schema, kind: str = "AVRO", references=()) -> None:
        """Add a schema without a subject."""
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
            def _serve(self):
                with suppress(OSError):
                    owner._answer(self)

            do_GET = do_POST = _serve  # noqa: N815  # names of the base class

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
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = unquote(request.path.partition("?")[0])
        asked = f"{request.command} {path}"
        self.asked.append(asked)
        self._ending.wait(self.delay_s)
        if self.raw:
            for i in range(len(self.raw)) if self.pause_s else [slice(None)]:
                request.wfile.write(self.raw[i : i + 1] if self.pause_s else self.raw[i])
                if self._ending.wait(self.pause_s):
                    return
            return
        given = json.loads(body or b"{}")
        if given.get("schemaType", "AVRO") not in FORMATS:  # before rights, as Karapace
            send_json(request, 422, {"error_code": INVALID_SCHEMA, "message": "no such format"})
        elif (status := self._fault(request)) is not None:
            send_json(request, *status)
        elif self._upstream:
            send_json(request, *self._forward(request, body))
        else:
            send_json(request, *self._find(request.command, path, given))

    def _fault(self, request):
        if self.failures:
            return self.failures.pop(0), {"message": "away"}
        if self.status != 200:
            return self.status, {"error_code": self.status, "message": "away"}
        if self.login and request.headers.get("Authorization") != self.login:
            return 401, {"error_code": 401, "message": "no login"}
        for part, (status, code) in self.statuses.items():
            if part in self.asked[-1]:
                return status, {"error_code": code, "message": "because"}
        return None

    def _find(self, method, path, given):
        """Return the status and the content of an answer."""
        parts = path.strip("/").split("/")
        if path in self.schemas:
            return 200, self.schemas[path]
        if parts[0] == "schemas":
            return self._schema(parts[-1])
        if parts[0] == "mode":
            return (200, {"mode": self.mode}) if parts == ["mode"] else self._unknown(NO_MODE)
        if parts[0] == "compatibility":
            return 200, {"is_compatible": parts[2] not in self.incompatible}
        return self._subject(method, parts, given)

    def _subject(self, method, parts, given):
        if parts == ["subjects"]:
            return 200, [*self.subjects]
        if method == "GET":
            return self._versions(parts[1], *parts[3:])
        key = given.get("schemaType", "AVRO"), given["schema"]
        if parts[2:] == ["versions"]:
            return self._register(parts[1], key)
        return self._look_up(parts[1], key)

    def _versions(self, subject, version=None):
        ids = self.subjects.get(subject)
        if not ids:
            return self._unknown(UNKNOWN_SUBJECT)
        if version is None:
            return 200, [*range(1, len(ids) + 1)]
        number = len(ids) if version == "latest" else int(version)
        if not 0 < number <= len(ids):
            return self._unknown(UNKNOWN_VERSION)
        found = {"subject": subject, "version": number, "id": ids[number - 1]}
        return 200, {**found, **self._schema(ids[number - 1])[1]}

    def _look_up(self, subject, key):
        schema_id = self.ids.get(key)
        if schema_id not in self.subjects.get(subject, ()):
            return self._unknown(UNKNOWN_SCHEMA)
        version = self.subjects[subject].index(schema_id) + 1
        return 200, {"subject": subject, "id": schema_id, "version": version, "schema": key[1]}

    def _register(self, subject, key):
        if key[0] == "AVRO" and not _is_json(key[1]):  # before the mode, as Confluent's
            return 422, {"error_code": INVALID_SCHEMA, "message": "invalid schema"}
        if self.mode != "READWRITE":
            return 422, {"error_code": 42205, "message": f"mode {self.mode}"}
        if subject in self.incompatible:
            return 409, {"error_code": 409, "message": "incompatible"}
        if key not in self.ids:
            self.ids[key], self.next_id = self.next_id, self.next_id + 1
        versions = self.subjects.setdefault(subject, [])
        if self.ids[key] not in versions:
            versions.append(self.ids[key])
        return 200, {"id": self.ids[key]}

    def _schema(self, schema_id):
        kinds = {str(known): kind for (kind, _), known in self.ids.items()}
        for (kind, text), known in self.ids.items():
            if str(known) == str(schema_id):
                firsts = [ids[0] for ids in self.subjects.values() if known in ids]
                shown = kinds[str(firsts[0])] if self.stays_in_first_kind else kind
                return 200, {"schema": self.served.get(known, text), "schemaType": shown}
        return self._unknown(UNKNOWN_SCHEMA)

    def _unknown(self, code):
        return 404, {"error_code": code, "message": "not found"}

    def _forward(self, request, body):
        asked = urllib.request.Request(
            self._upstream + request.path,
            body or None,
            {"Content-Type": request.headers.get("Content-Type", "application/json")},
            method=request.command,
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
