"""Schemas of Avro that ask for much: each is refused with its limit, or costs little."""

import json

import pytest

from stream_rnn.errors import DecodeError
from stream_rnn.formats.avro_content import NESTING_MAX, BadBodyError, content_reader
from stream_rnn.formats.avro_schema import (
    DEPTH_MAX,
    FIXED_BYTES_MAX,
    SCALE_MAX,
    SCHEMA_BYTES_MAX,
    SYMBOLS_MAX,
    TYPES_MAX,
    parse_avro,
)
from stream_rnn.formats.logical import Moment
from stream_rnn.model.features import FeatureSpec
from tests import models

MOMENT = Moment.of(FeatureSpec.model_validate(models.SPEC).event)


def record(*fields):
    """Return a record with fields of some types."""
    named = [{"name": f"f{i}", "type": kind} for i, kind in enumerate(fields)]
    return {"type": "record", "name": "E", "fields": named}


def nested(levels):
    """Return an array of arrays."""
    return '{"type":"array","items":' * levels + '"int"' + "}" * levels


def decimal(scale):
    """Return a decimal."""
    return {"type": "bytes", "logicalType": "decimal", "precision": 9999, "scale": scale}


REFUSED = {
    "characters": (" " * SCHEMA_BYTES_MAX + '"int"', "characters"),
    "levels": (nested(DEPTH_MAX + 1), f"nested deeper than {DEPTH_MAX}"),
    "many levels": (nested(30_000), f"nested deeper than {DEPTH_MAX}"),
    "types": (record(*["int"] * TYPES_MAX), f"more than {TYPES_MAX} types"),
    "a fixed": (
        {"type": "fixed", "name": "F", "size": FIXED_BYTES_MAX + 1},
        f"the limit is {FIXED_BYTES_MAX}",
    ),
    "a size that is no whole number": ({"type": "fixed", "name": "F", "size": 3.0}, "whole number"),
    "a name that is no text": (
        {"type": "record", "name": "E", "fields": [{"name": 7, "type": "int"}]},
        "no text",
    ),
    "a scale": (decimal(SCALE_MAX + 1), f"the limit is {SCALE_MAX}"),
    "no Avro": ({"type": "no-such"}, "no schema of Avro"),
    "no JSON": ("{", "no schema of Avro"),
    "an unknown reference": (record("Other"), "no schema of Avro"),
    "what the parser would not check": (
        {"type": "enum", "name": "E", "symbols": [[]], "__fastavro_parsed__": True},
        "would not check it",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_schema_beyond_a_limit_is_refused_with_the_limit(kind):
    """Its records become dead letters; no other record is affected."""
    schema, expected = REFUSED[kind]
    text = schema if isinstance(schema, str) else json.dumps(schema)
    with pytest.raises(DecodeError, match=expected) as error:
        parse_avro(text)
    assert error.value.code == "unsupported_schema"


def test_a_giant_enum_is_one_however_often_it_is_named():
    """Otherwise a schema of a megabyte would take gigabytes."""
    enum = {"type": "enum", "name": "K", "symbols": [f"s{i}" for i in range(SYMBOLS_MAX // 2)]}
    fixed = {"type": "fixed", "name": "F", "size": 16}
    root = parse_avro(json.dumps(record(enum, fixed, *["K", "F"] * 1000)))
    assert len({id(kind) for kind in root.fields.values()}) == 2


def test_a_recursive_type_reads_bodies_up_to_its_bound():
    """A list of one's own: a body of a thousand levels is bad, and one of a few is read."""
    text = json.dumps(record("int", ["null", "E"]))
    read = content_reader(parse_avro(text), MOMENT)
    few = NESTING_MAX // 2
    content = read(b"\x02\x02" * few + b"\x02\x00")
    for _ in range(few):
        content = content["f1"]
    assert content == {"f0": 1, "f1": None}
    with pytest.raises(BadBodyError):
        read(b"\x02\x02" * 1000 + b"\x02\x00")
