"""The schemas of the producers: the same events as in JSON, framed, with schemas that change."""

import io
import json
from pathlib import Path
from zlib import crc32

import fastavro

from stream_rnn.formats.schema_file import encode_line
from stream_rnn.formats.schemas import Schema
from tests.registry_server import RegistryServer

FIRST_ID = 100
TRUNCATED_EVERY = 41


class Writers:
    """Frames the values of a log.

    Args:
        registry: Registry that gets the schemas.

    Attributes:
        current: Id of the schema of the values from now on.
        hidden: Ids whose schemas the registry does not have now.
    """

    def __init__(self, registry: RegistryServer) -> None:
        self._registry = registry
        self._texts: dict[int, str] = {}
        self._parsed: dict[int, object] = {}
        self.current = FIRST_ID - 1
        self.hidden: set[int] = set()
        self.renew()

    def renew(self, *, x="double", is_hidden=False) -> int:
        """Write with a new schema from now on; return its id.

        Args:
            x: Type of the field x; ``double`` is the one that the feature spec expects.
            is_hidden: Whether the registry gets the schema later, by :meth:`show`.
        """
        number = self.current + 1
        fields = [
            {"name": f"more{number}", "type": "long", "default": 0},
            {"name": "t", "type": "long"},
            {"name": "x", "type": ["null", x], "default": None},
            {"name": "kind", "type": "string"},
        ]
        if number % 2:
            fields.reverse()
        schema = {"type": "record", "name": "Event", "fields": fields}
        self._texts[number] = json.dumps(schema)
        self._parsed[number] = fastavro.parse_schema(schema)
        if is_hidden:
            self.hidden.add(number)
        else:
            self._registry.register(number, self._texts[number])
        self.current = number
        return number

    def hide(self, number: int) -> None:
        """Let the registry lose a schema."""
        self.hidden.add(number)
        self._registry.schemas.pop(f"/schemas/ids/{number}", None)

    def show(self) -> None:
        """Let the registry have all schemas."""
        while self.hidden:
            number = self.hidden.pop()
            self._registry.register(number, self._texts[number])

    def encode(self, value: bytes | None) -> bytes | None:
        """Return a value with the current schema; what is no event stays as it is."""
        try:
            event = json.loads(value or b"")
            framed = self._frame(event)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            return value
        return framed[:-1] if crc32(framed) % TRUNCATED_EVERY == 0 else framed

    def _frame(self, event) -> bytes:
        number = self.current
        x = event.get("x")
        if x is not None and '["null", "string"]' in self._texts[number]:
            x = str(x)
        body = io.BytesIO()
        content = {"t": event["t"], "kind": event["kind"], "x": x, f"more{number}": number}
        fastavro.schemaless_writer(body, self._parsed[number], content)
        return b"\0" + number.to_bytes(4, "big") + body.getvalue()

    def write(self, path: Path) -> None:
        """Write all schemas to a file, for the oracle."""
        lines = [
            encode_line(str(number), Schema("AVRO", text)) for number, text in self._texts.items()
        ]
        path.write_bytes(b"\n".join(lines) + b"\n")
