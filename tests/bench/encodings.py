"""The formats in which the events of a load can be written, framed for a schema registry."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import fastavro

from stream_rnn.formats.schemas import Schema
from tests.protobuf_messages import message_class

SCHEMA_ID = 7
FRAME = b"\0" + SCHEMA_ID.to_bytes(4, "big")
AVRO = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "amount", "type": ["null", "double"]},
        {
            "name": "kind",
            "type": {"type": "enum", "name": "K", "symbols": ["view", "click", "buy"]},
        },
        {"name": "known", "type": "boolean"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "page", "type": "int"},
        {"name": "session", "type": "string"},
        {"name": "text", "type": "string"},
    ],
}
PROTOBUF = """
syntax = "proto3";
enum Kind { view = 0; click = 1; buy = 2; }
message Event {
  optional double amount = 1; Kind kind = 2; bool known = 3; int64 at = 4; int32 page = 5;
  string session = 6; string text = 7;
}
"""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A format with a schema.

    Attributes:
        title: Name in tables.
        schema: Schema of the events, whose id is :data:`SCHEMA_ID`.
        encode: Function that returns the framed value of an event.
    """

    title: str
    schema: Schema
    encode: Callable[[dict[str, object]], bytes]


@cache
def encodings() -> dict[str, Encoding]:
    """Return the formats by the names that the settings have for them."""
    parsed = fastavro.parse_schema(AVRO)
    made = message_class(PROTOBUF, "Event")

    def avro(event: dict[str, object]) -> bytes:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, event)
        return FRAME + body.getvalue()

    def protobuf(event: dict[str, object]) -> bytes:
        return FRAME + b"\0" + made(**event).SerializeToString()

    def as_json(event: dict[str, object]) -> bytes:
        return FRAME + json.dumps(event, separators=(",", ":")).encode()

    return {
        "avro": Encoding("Avro", Schema("AVRO", json.dumps(AVRO)), avro),
        "protobuf": Encoding("Protobuf", Schema("PROTOBUF", PROTOBUF), protobuf),
        "json_schema": Encoding("JSON Schema", Schema("JSON", "{}"), as_json),
    }
