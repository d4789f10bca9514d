"""Arrays of Avro and Protobuf are those of JSON, in batches of any size."""

import json

import pytest

from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.framed import COLUMNS_MIN
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from tests import models
from tests.protobuf_messages import message_class
from tests.unit.framed_records import Shelf, assert_same, avro, records, settings

PLACE = {"type": "array", "items": ["null", "double"]}
AVRO = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "sensors", "type": ["null", PLACE]},
        {"name": "x", "type": "double"},
    ],
}
SCALAR = {"type": "record", "name": "Event", "fields": [{"name": "sensors", "type": "double"}]}
PROTOBUF = """
syntax = "proto3";
message Event { repeated double sensors = 1; optional double x = 2; }
"""
MANY = 4 * COLUMNS_MIN


def decoded(values):
    """Decode values, of the schemas 7 to 9 or of JSON."""
    schemas = Shelf(
        {
            "7": Schema("AVRO", json.dumps(AVRO)),
            "8": Schema("AVRO", json.dumps(SCALAR)),
            "9": Schema("PROTOBUF", PROTOBUF),
        }
    )
    spec = FeatureSpec.model_validate(models.ARRAYS)
    return Decoder(spec, settings(), schemas=Schemas(schemas)).decode(records(values))


def arrays(i):
    """Return the sensors of an event: whole, with a gap, too short, empty or none."""
    return [[i, 0.5, -i], [i, None, 1.0], [1.0], [], None][i % 5]


@pytest.mark.parametrize("count", [1, MANY])
def test_an_array_of_avro_is_that_of_json(count):
    """A wrong length is a dead letter in both."""
    events = [{"sensors": arrays(i), "x": i} for i in range(count)]

    found = decoded([avro(AVRO, event, 7) for event in events])

    assert_same(found, decoded([json.dumps(event).encode() for event in events]))
    assert {error.code for error in found.skips.values()} <= {"wrong_schema"}
    assert found.columns["sensors"][0] == [0, 0.5, 0]


@pytest.mark.parametrize("count", [1, MANY])
def test_a_repeated_field_of_protobuf_is_an_array(count):
    """It cannot have a null place, and an empty one is a missing one."""
    make = message_class(PROTOBUF, "Event")
    events = [{"sensors": [one or 0 for one in arrays(i) or []], "x": i} for i in range(count)]

    found = decoded([b"\0\0\0\0\x09\0" + make(**event).SerializeToString() for event in events])

    assert_same(found, decoded([json.dumps(event).encode() for event in events]))
    assert found.columns["sensors"][0] == [0, 0.5, 0]


@pytest.mark.parametrize("count", [1, MANY])
def test_a_scalar_of_avro_is_no_array(count):
    """The body is read by column, and the record is a dead letter as one of JSON is."""
    found = decoded([avro(SCALAR, {"sensors": 1.0}, 8)] * count)

    assert {str(error) for error in found.skips.values()} == {"sensors: input should be an array"}
    assert len(found.skips) == count
