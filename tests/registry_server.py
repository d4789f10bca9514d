"""A small schema registry over HTTP, with subjects, for the tests of what is registered.

It speaks the part of Confluent's API that the package uses.  Schemas are compatible if they are not
named in ``incompatible``; ``test_registry_out.py`` compares with a real registry.
"""

import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.http_json import send_json


@dataclass
class RegistryServer:
    """The state of the registry.

    Attributes:
        url: URL for clients.
        ids: Kind and text of a schema -> its id.
        subjects: Name of a subject -> ids of its versions.
        incompatible: Subjects with whose versions no new schema is compatible.
        compares_formats: Whether it compares schemas of two formats; Apicurio answers 422.
        status: HTTP status of every answer; 200 to serve.
        refused: Methods and parts of paths that are answered with 403.
        asked: Methods and paths of requests.
        next_id: Id of the next schema.
    """

    url: str = ""
    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    incompatible: set[str] = field(default_factory=set)
    compares_formats: bool = True
    status: int = 200
    refused: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)
    next_id: int = 7

    def answer(self, method, path, body):
        """Return the status and the content of an answer."""
        parts = [unquote(part) for part in path.partition("?")[0].strip("/").split("/")]
        self.asked.append(f"{method} /{'/'.join(parts)}")
        if self.status != 200:
            return self.status, {"error_code": self.status, "message": "away"}
        if any(refused in self.asked[-1] for refused in self.refused):
            return 403, {"error_code": 40301, "message": "forbidden"}
        if parts[0] == "schemas":
            return self._schema(int(parts[2]))
        if parts[0] == "compatibility":
            kind = json.loads(body).get("schemaType", "AVRO")
            others = {k for (k, _), known in self.ids.items() if known in self.subjects[parts[2]]}
            if others - {kind} and not self.compares_formats:
                return 422, {"error_code": 42201, "message": "another type"}
            return 200, {"is_compatible": parts[2] not in self.incompatible}
        return self._subject(method, parts, json.loads(body or b"{}"))

    def _subject(self, method, parts, given):
        subject = parts[1]
        if parts[2:] == ["versions"] and method == "GET":
            versions = self.subjects.get(subject)
            return (200, [*range(1, len(versions) + 1)]) if versions else self._unknown(40401)
        key = given.get("schemaType", "AVRO"), given["schema"]
        if parts[2:] == ["versions"]:
            return self._register(subject, key)
        schema_id = self.ids.get(key)
        if schema_id not in self.subjects.get(subject, ()):
            return self._unknown(40403)
        version = self.subjects[subject].index(schema_id) + 1
        return 200, {"subject": subject, "id": schema_id, "version": version, "schema": key[1]}

    def _register(self, subject, key):
        if subject in self.incompatible:
            return 409, {"error_code": 409, "message": "incompatible"}
        if key not in self.ids:
            self.ids[key], self.next_id = self.next_id, self.next_id + 1
        versions = self.subjects.setdefault(subject, [])
        if self.ids[key] not in versions:
            versions.append(self.ids[key])
        return 200, {"id": self.ids[key]}

    def _schema(self, schema_id):
        for (kind, text), known in self.ids.items():
            if known == schema_id:
                return 200, {"schema": text, "schemaType": kind}
        return self._unknown(40403)

    def _unknown(self, code):
        return 404, {"error_code": code, "message": "not found"}


@contextmanager
def serving():
    """Run a registry."""
    state = RegistryServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            send_json(self, *state.answer(self.command, self.path, body))

        do_GET = do_POST = _serve  # noqa: N815  # names of the base class

        def log_message(self, *_arguments):
            """Write nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
