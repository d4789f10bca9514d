"""Framed records of one event in several schemas, and where a decoder finds these."""

import io
import json
from dataclasses import dataclass, field

import fastavro
import numpy as np

from stream_rnn.errors import DecodeError, UnavailableError
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings

SPEC = {
    "name": "machines",
    "event": {"key": ["machine"], "time": {"path": "at", "unit": "ms"}},
    "features": [
        {"name": "load", "kind": "numeric", "path": "load"},
        {"name": "inner", "kind": "numeric", "path": "sensor.value"},
        {"name": "kind", "kind": "categorical", "path": "kind", "vocabulary": ["A", "B"]},
        {"name": "on", "kind": "boolean", "path": "on"},
    ],
    "heads": [{"name": "next_load", "kind": "regression", "of": "next", "path": "load"}],
}
SENSOR = {
    "type": "record",
    "name": "Sensor",
    "fields": [{"name": "value", "type": ["null", "float"]}],
}
WRITER = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "load", "type": ["null", "double"]},
        {"name": "sensor", "type": ["null", SENSOR]},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"]}},
        {"name": "on", "type": "boolean"},
        {"name": "notes", "type": {"type": "map", "values": "string"}},
    ],
}
LATER = {  # a writer's next schema: fields added, reordered and removed, a type widened
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "extra", "type": {"type": "array", "items": "long"}},
        {"name": "kind", "type": ["null", "string"]},
        {"name": "load", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
TIME_MS = 1_700_000_000_000


@dataclass
class Shelf:
    """A source of schemas in memory."""

    schemas: dict[str, Schema]
    asked: list[str] = field(default_factory=list)
    is_away: bool = False

    def fetch(self, schema_id):
        """Return a schema."""
        self.asked.append(schema_id)
        if self.is_away:
            raise UnavailableError("the registry does not answer")
        if schema_id not in self.schemas:
            raise DecodeError("unknown_schema", f"there is no schema with id {schema_id}")
        return self.schemas[schema_id]


def shelf():
    """Make a source of the schemas 7 and 8, of JSON Schema as 9, and of Protobuf as 10."""
    return Shelf(
        {
            "7": Schema("AVRO", json.dumps(WRITER)),
            "8": Schema("AVRO", json.dumps(LATER)),
            "9": Schema("JSON", "{}"),
            "11": Schema("AVRO", "{"),
            "ab" * 16: Schema("AVRO", json.dumps(LATER)),
        }
    )


def settings(**more):
    """Make settings."""
    return Settings.build(app="app", source="events", predictions="out", **more)


def decoder(source=None, **options):
    """Make a decoder with schemas."""
    schemas = Schemas(source or shelf())
    return Decoder(FeatureSpec.model_validate(SPEC), settings(), schemas=schemas, **options)


def avro(schema, value, number):
    """Return a framed body."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    return b"\0" + number.to_bytes(4, "big") + body.getvalue()


def event(i):
    """Return an event as JSON has it."""
    return {
        "at": TIME_MS + i,
        "load": None if i % 5 == 0 else i / 8,
        "sensor": None if i % 7 == 0 else {"value": None if i % 3 == 0 else i / 4},
        "kind": "ABC"[i % 3],
        "on": i % 2 == 0,
    }


def as_json(i):
    """Return the event as a value in JSON."""
    return json.dumps(event(i)).encode()


def as_avro(i):
    """Return the event as a value with schema 7."""
    return avro(WRITER, {**event(i), "at": 1000 * (TIME_MS + i) + 999, "notes": {"a": "b"}}, 7)


def as_later(i):
    """Return an event as a value with schema 8."""
    return avro(LATER, {"extra": [i] * (i % 4), "kind": "A", "load": i, "at": TIME_MS + i}, 8)


def records(values, headers=()):
    """Make records of values."""
    return [LogRecord(i, TIME_MS + i, b"key", value, headers) for i, value in enumerate(values)]


def assert_same(found, expected):
    """Check that two decoded micro-batches are the same."""
    assert found.columns == expected.columns
    assert repr(found.columns) == repr(expected.columns)
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.time_ms, expected.time_ms)
    assert (found.forgets, found.filtered, found.keys) == (
        expected.forgets,
        expected.filtered,
        expected.keys,
    )
    assert {row: error.code for row, error in found.skips.items()} == {
        row: error.code for row, error in expected.skips.items()
    }
