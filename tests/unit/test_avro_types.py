"""What becomes of Avro's logical types and of an event time."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from stream_rnn.formats.avro_columns import AvroColumns, NotColumnarError
from stream_rnn.formats.avro_content import content_reader
from stream_rnn.formats.avro_schema import parse_avro
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.same_schema import means_the_same
from stream_rnn.formats.schemas import Schema
from tests.avro_bodies import cell, write

HUGE = b"\x7f" + b"\xff" * 128
"""A decimal that no float can hold."""
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 400, "scale": 2}
LOGICAL = [
    (MONEY, HUGE, float("inf")),
    (MONEY, b"\x80" + HUGE[1:], float("-inf")),
    ({"type": "long", "logicalType": "timestamp-millis"}, 1_700_000_000_123, 1_700_000_000_123),
    ({"type": "long", "logicalType": "timestamp-micros"}, 1_700_000_000_123_999, 1_700_000_000_123),
    ({"type": "long", "logicalType": "timestamp-micros"}, -1, -1),
    (
        {"type": "long", "logicalType": "timestamp-nanos"},
        1_700_000_000_123_999_999,
        1_700_000_000_123,
    ),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, 1_500, 1),
    ({"type": "int", "logicalType": "date"}, 19_675, 1_699_920_000_000),
    ({"type": "int", "logicalType": "time-millis"}, 3_600_000, 3_600_000),
    ({"type": "long", "logicalType": "time-micros"}, 3_600_000_999, 3_600_000),
    ({"type": "string", "logicalType": "uuid"}, "7", "7"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, b"\x04\xe2", 12.5),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9}, b"\xff", -1),
    (
        {
            "type": "fixed",
            "name": "F",
            "size": 2,
            "logicalType": "decimal",
            "precision": 4,
            "scale": 1,
        },
        b"\x00\x7d",
        12.5,
    ),
    (
        {"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"},
        bytes(range(16)),
        str(UUID(bytes=bytes(range(16)))),
    ),
    ({"type": "fixed", "name": "F", "size": 12, "logicalType": "duration"}, bytes(12), "\0" * 12),
    ({"type": "long", "logicalType": "unheard-of"}, 7, 7),
    ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}, b"7", "7"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": -1}, b"7", "7"),
    ({"type": "bytes", "logicalType": "decimal", "precision": "9", "scale": 2}, b"7", "7"),
    (
        {"type": "fixed", "name": "F", "size": 2, "logicalType": "decimal", "precision": 5},
        b"77",
        "77",
    ),
]


@pytest.mark.parametrize(("kind", "raw", "expected"), LOGICAL)
def test_logical_types(kind, raw, expected):
    """Moments are milliseconds, decimals numbers, and UUIDs texts."""
    plain = {name: value for name, value in kind.items() if name != "logicalType"}
    record = {"type": "record", "name": "R", "fields": [{"name": "v", "type": plain}]}
    body = write(record, {"v": raw})
    record["fields"][0]["type"] = kind
    root = parse_avro(json.dumps(record))
    content = content_reader(root, Moment())(body, 0)
    assert content == {"v": expected}
    assert type(content["v"]) is type(expected)
    try:
        found, given_up = AvroColumns(root, [("v",)], Moment()).read([body], 0)
    except NotColumnarError:
        assert kind["type"] == "fixed" or content == {"v": "7"}
    else:
        assert not given_up.any()
        assert cell(found[("v",)], 0) == expected


@pytest.mark.parametrize(
    ("kind", "raw", "default"),
    [
        ("int", 7, "seven"),
        ({"type": "enum", "name": "K", "symbols": ["A"], "default": "B"}, "A", "B"),
        (["null", "double"], 1.5, "NaN"),
        ({"type": "array", "items": "int"}, [7], "[]"),
    ],
)
def test_a_wrong_default_changes_nothing(kind, raw, default):
    """It is for readers with another schema, and registries have old schemas that nobody checked."""
    plain = {**kind, "default": "A"} if isinstance(kind, dict) and "symbols" in kind else kind
    record = {"type": "record", "name": "R", "fields": [{"name": "v", "type": plain}]}
    body = write(record, {"v": raw})
    record["fields"][0] = {"name": "v", "type": kind, "default": default}
    content = content_reader(parse_avro(json.dumps(record)), Moment())
    assert content(body, 0) == {"v": raw}
    record["fields"][0] = {"name": "v", "type": plain}
    without = Schema("AVRO", json.dumps(record))
    record["fields"][0] = {"name": "v", "type": kind, "default": default}
    assert means_the_same(without, Schema("AVRO", json.dumps(record)))


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("ms", 1_700_000_000_123),
        ("us", 1_700_000_000_123_999),
        ("ns", 1_700_000_000_123_999_000),
        ("s", 1_700_000_000.123),
        ("iso8601", "2023-11-14T22:13:20.123+00:00"),
        ("text", "2023-11-14T22:13:20.123+00:00"),
    ],
)
def test_the_event_time_has_the_unit_of_the_spec(unit, expected):
    """Whatever unit the writer chose; another field with a time stays in milliseconds."""
    kind = {"type": "long", "logicalType": "timestamp-micros"}
    fields = [{"name": name, "type": ["null", kind]} for name in ("at", "other")]
    root = parse_avro(json.dumps({"type": "record", "name": "R", "fields": fields}))
    body = bytes([2]) + zigzag(1_700_000_000_123_999)
    moment = Moment(("at",), unit)
    content = content_reader(root, moment)(body * 2, 0)
    assert content == {"at": expected, "other": 1_700_000_000_123}
    if unit in ("iso8601", "text"):
        with pytest.raises(NotColumnarError):
            AvroColumns(root, [("at",)], moment)
    else:
        found, _ = AvroColumns(root, [("at",), ("other",)], moment).read([body * 2], 0)
        assert cell(found[("at",)], 0) == expected
        assert cell(found[("other",)], 0) == 1_700_000_000_123


def zigzag(number):
    """Return an integer as Avro writes it."""
    return write("long", number)


def test_examples_by_fastavro_have_the_documented_content():
    """Values of Python that fastavro writes with their logical types."""
    kinds = {
        "at": {"type": "long", "logicalType": "timestamp-millis"},
        "day": {"type": "int", "logicalType": "date"},
        "price": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    }
    record = {
        "type": "record",
        "name": "R",
        "fields": [{"name": name, "type": kind} for name, kind in kinds.items()],
    }
    value = {
        "at": datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
        "day": date(2026, 1, 2),
        "price": Decimal("12.50"),
    }
    content = content_reader(parse_avro(json.dumps(record)), Moment())(write(record, value), 0)
    assert content == {"at": 1767323045678, "day": 1767312000000, "price": 12.5}


GRID = {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": "int"}}}
ITEM = b"\x02\x02"  # a block of one item


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ({"type": "array", "items": "int"}, ITEM * 1000 + b"\0"),
        ({"type": "map", "values": "int"}, b"\x02\0\x02" * 1000 + b"\0"),
        (GRID, write(GRID, [[[1] * 60] * 60] * 60)),
    ],
    ids=["blocks-of-an-array", "blocks-of-a-map", "nested"],
)
def test_a_body_that_needs_too_many_passes_is_left_to_the_other_reader(kind, body):
    """Each pass costs as much as a field of all bodies, and a body has a million bytes."""
    record = {"type": "record", "name": "R", "fields": [{"name": "v", "type": kind}]}
    root = parse_avro(json.dumps(record))
    others = [b"\0", write(kind, type(content_reader(root, Moment())(b"\0", 0)["v"])())]
    _, given_up = AvroColumns(root, [], Moment()).read([*others, body], 0)
    assert given_up.tolist() == [False, False, True]
    assert content_reader(root, Moment())(body, 0)["v"]
