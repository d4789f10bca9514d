"""What a record is: an event, a forget, or a skip with its reason."""

import json
import time

import pytest

from stream_rnn.errors import SpecError
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.fold.event_time import TIME_MS_MIN
from stream_rnn.fold.micro_batch import decode
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from tests import models

MODEL = models.small()
SETTINGS = Settings.build(app="app", source="events", predictions="out", key_bytes_max=10)
GOOD = b'{"x":1,"kind":"A"}'
HOUR_MS = 3_600_000
YEAR_2038_MS = 2_147_483_648_000
DEEP = b'{"y":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

BAD = {
    "not UTF-8": (b'{"x":1,"kind":"\xff"}', "not_json"),
    "not JSON": (b"nope", "not_json"),
    "empty": (b"", "not_json"),
    "more after the object": (b"{} {}", "not_json"),
    "byte order mark": (b"\xef\xbb\xbf{}", "not_json"),
    "half a surrogate": (b'{"kind":"\\ud800"}', "not_json"),
    "deep nesting": (DEEP, "not_json"),
    "an array": (b"[1]", "wrong_schema"),
    "a number": (b"3", "wrong_schema"),
    "null in letters": (b"null", "wrong_schema"),
    "text for a number": (b'{"x":"1"}', "wrong_schema"),
    "object for a number": (b'{"x":{"x":1}}', "wrong_schema"),
    "boolean for a number": (b'{"x":true}', "wrong_schema"),
    "NaN": (b'{"x":NaN}', "wrong_schema"),
    "infinity": (b'{"x":-Infinity}', "wrong_schema"),
    "beyond float64": (b'{"x":1e400}', "wrong_schema"),
    "huge integer": (b'{"x":' + b"9" * 400 + b"}", "wrong_schema"),
    "integer of 5,000 digits": (b'{"x":' + b"9" * 5000 + b"}", "not_json"),
    "beyond float32": (b'{"x":1e39}', "not_finite"),
    "1 MB and a byte": (b'{"y":"' + b"x" * 999_993 + b'"}', "value_too_large"),
}


def decoder(time=None, settings=SETTINGS):
    """Make a decoder of the small spec; with ``time`` as its event time."""
    event = {"key": ["key"], **({"time": time} if time else {})}
    return Decoder(FeatureSpec.model_validate({**models.SPEC, "event": event}), settings)


def code_of(value):
    """Return the code of what is wrong with a record, ``None`` if nothing is."""
    decoded = decoder().decode([record(0, b"k", value)])
    return decoded.skips[0].code if decoded.skips else None


def time_of(value, unit, timestamp=YEAR_2038_MS):
    """Return the event time of a record, or the code of what is wrong with it."""
    decoded = decoder({"path": "at", "unit": unit}).decode([LogRecord(0, timestamp, b"k", value)])
    return decoded.skips[0].code if decoded.skips else int(decoded.time_ms[0])


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_value_costs_only_itself(bad):
    """Its record is a skip with one code; the records around it are what they are without it."""
    value, code = BAD[bad]
    records = [record(5, b"a", GOOD, 1), record(6, b"b", value, 2), record(7, b"c", GOOD, 3)]
    batch = decode(decoder(), MODEL, records, None)
    assert {row: error.code for row, error in batch.decoded.skips.items()} == {1: code}
    alone = decode(decoder(), MODEL, [records[0], records[2]], None)
    assert batch.decoded.keys == alone.decoded.keys == [b"a", b"c"]
    assert batch.decoded.rows.tolist() == [0, 2]
    assert batch.decoded.time_ms.tolist() == [1, 3]
    assert batch.decoded.columns == alone.decoded.columns
    assert batch.x.tobytes() == alone.x.tobytes()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (LogRecord(0, 0, None, GOOD), "no_key"),
        (LogRecord(0, 0, None, None), "no_key"),
        (LogRecord(0, 0, b"k" * 11, GOOD), "key_too_large"),
        (LogRecord(0, 0, b"k" * 11, None), "key_too_large"),
        (LogRecord(0, -1, b"k", GOOD), "no_timestamp"),
        (LogRecord(0, 1 << 62, b"k", GOOD), "time_out_of_bounds"),
        (LogRecord(0, 0, b"", GOOD), None),
        (LogRecord(0, 0, b"k" * 10, GOOD), None),
    ],
)
def test_a_record_needs_a_key_in_its_bounds_and_a_time(given, code):
    """A record without them is a skip, a forget without a key too; an empty key is a key."""
    skips = decoder().decode([given]).skips
    assert [error.code for error in skips.values()] == ([] if code is None else [code])


def test_a_null_value_forgets():
    """A key with no value is neither an event nor a skip, and needs no timestamp."""
    decoded = decoder().decode([record(0, b"a", GOOD), record(1, b"a", None, -1)])
    assert (decoded.forgets, decoded.skips, decoded.rows.tolist()) == ([1], {}, [0])


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        (b"{}", {"x": [None], "kind": [None]}),
        (b'{"x":null,"kind":null}', {"x": [None], "kind": [None]}),
        (b'{"other":{"x":[1e999,2]},"x":-0.5}', {"x": [-0.5], "kind": [None]}),
        (b'{"y":' + b"[" * 100 + b"]" * 100 + b',"x":1}', {"x": [1.0], "kind": [None]}),
        (b'{"x":1,"x":2}', {"x": [2.0], "kind": [None]}),
        (b'{"kind":7}', {"x": [None], "kind": [7]}),
        (b'{"kind":true}', {"x": [None], "kind": [True]}),
        (b'  {"kind":"\\u00e9"}\n', {"x": [None], "kind": ["\u00e9"]}),
        (b'{"y":"' + b"x" * 999_992 + b'"}', {"x": [None], "kind": [None]}),
    ],
)
def test_fields_are_read_as_json_says(value, columns):
    """Unknown fields are ignored, of duplicates the last counts, and a category may be a number."""
    decoded = decoder().decode([record(0, b"a", value)])
    assert decoded.columns == columns
    assert decoded.skips == {}


def test_of_duplicate_keys_the_last_is_validated():
    """A good value does not save a bad one that follows it."""
    assert code_of(b'{"x":1,"x":"a"}') == "wrong_schema"


def test_the_reason_names_the_path_and_never_the_value():
    """A dead letter's reason is safe to log."""
    decoded = decoder().decode([record(0, b"a", b'{"x":"secret"}')])
    assert str(decoded.skips[0]) == "x: input should be a valid number"


@pytest.mark.parametrize(
    ("at", "unit", "expected"),
    [
        (b"1700000000123", "ms", 1_700_000_000_123),
        (b"1700000000.5", "s", 1_700_000_000_500),
        (b"-5", "ms", -5),
        (b'"2023-11-14T22:13:20"', "iso8601", 1_700_000_000_000),
        (b'"2023-11-14T22:13:20Z"', "iso8601", 1_700_000_000_000),
        (b'"2023-11-15T00:13:20.250+02:00"', "iso8601", 1_700_000_000_250),
        (b'"1969-12-31T23:59:59.999Z"', "iso8601", -1),
        (b'"0001-01-01T00:00:00+14:00"', "iso8601", "time_out_of_bounds"),
        (b'"yesterday"', "iso8601", "bad_event_time"),
        (b'""', "iso8601", "bad_event_time"),
        (b"null", "ms", "no_event_time"),
        (b"1e300", "s", "time_out_of_bounds"),
        (b"-1e15", "ms", "time_out_of_bounds"),
        (b'"1700000000000"', "ms", "wrong_schema"),
        (b"1700000000000", "iso8601", "wrong_schema"),
        (b"true", "s", "wrong_schema"),
    ],
)
def test_event_time_is_read_in_its_unit(at, unit, expected):
    """A time without a zone is UTC; one that is missing, odd or far out is a skip."""
    assert time_of(b'{"at":' + at + b"}", unit) == expected


def test_a_time_without_a_zone_is_utc_wherever_the_worker_runs(monkeypatch):
    """The zone of the machine changes nothing."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert time_of(b'{"at":"2023-11-14T22:13:20"}', "iso8601") == 1_700_000_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_record_without_the_event_time_is_a_skip():
    """The record's timestamp does not stand in for a declared event time."""
    assert time_of(b"{}", "ms") == "no_event_time"


@pytest.mark.parametrize(
    ("ahead_ms", "expected"),
    [(HOUR_MS, YEAR_2038_MS + HOUR_MS), (HOUR_MS + 1, "time_ahead")],
)
def test_an_event_may_be_ahead_of_its_record_by_the_limit(ahead_ms, expected):
    """The year 2038 is a time like any other; an event beyond its record's hour is a skip."""
    assert time_of(b'{"at":%d}' % (YEAR_2038_MS + ahead_ms), "ms") == expected


def test_an_event_of_2038_in_a_record_of_today_is_a_skip():
    """A clock that runs ahead may not expire everybody's memory."""
    assert time_of(b'{"at":%d}' % YEAR_2038_MS, "ms", 1_700_000_000_000) == "time_ahead"


def test_an_event_time_needs_no_timestamp_but_moves_stream_time_only_by_one():
    """Without a record timestamp there is nothing to be ahead of, and nothing to trust."""
    assert time_of(b'{"at":%d}' % YEAR_2038_MS, "ms", -1) == YEAR_2038_MS
    at = decoder({"path": "at", "unit": "ms"})
    records = [LogRecord(i, stamp, b"k", b'{"at":7}') for i, stamp in enumerate([-1, 7, -1])]
    assert at.decode(records).moves_to_ms.tolist() == [TIME_MS_MIN - 1, 7, TIME_MS_MIN - 1]


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (2**63 - 1, TIME_MS_MIN),
        (2**62, TIME_MS_MIN),
        (TIME_MS_MIN, TIME_MS_MIN),
        (-2, TIME_MS_MIN),
        (-(2**63), "time_ahead"),
        (-(2**62) - 1, "time_ahead"),
    ],
)
def test_a_timestamp_may_be_anything_that_fits_it(timestamp, expected):
    """A difference that wraps around would make what is early late, and what is late early."""
    assert time_of(b'{"at":%d}' % TIME_MS_MIN, "ms", timestamp) == expected


def test_a_number_of_seconds_beyond_every_float_is_a_skip_and_no_warning():
    """Whatever stands beside it."""
    assert time_of(b'{"at":1e308}', "s") == "bad_event_time"


def test_a_path_reaches_into_objects():
    """What lies on the way may be missing, but must be an object."""
    features = [{"name": "x", "kind": "numeric", "path": "a.b.c", "scaling": "none"}]
    spec = FeatureSpec.model_validate({**models.SPEC, "features": features, "heads": [WAIT]})
    nested = Decoder(spec, SETTINGS)
    values = [b'{"a":{"b":{"c":4}}}', b'{"a":{"b":null}}', b"{}", b'{"a":3}']
    decoded = nested.decode([record(i, b"k", value) for i, value in enumerate(values)])
    assert decoded.columns == {"a.b.c": [4.0, None, None]}
    assert {row: str(error) for row, error in decoded.skips.items()} == {
        3: "a: input should be an object"
    }


@pytest.mark.parametrize("parent", ["a\0b", "class", "Event", "\N{SNOWMAN} \u202e"])
def test_a_field_may_have_any_name(parent):
    """What Python would not call a type, JSON calls a field."""
    path = f"{parent}.{parent}.c"
    features = [{"name": "x", "kind": "numeric", "path": path, "scaling": "none"}]
    spec = FeatureSpec.model_validate({**models.SPEC, "features": features, "heads": [WAIT]})
    value = json.dumps({parent: {parent: {"c": 4}}}).encode()
    assert Decoder(spec, SETTINGS).decode([record(0, b"k", value)]).columns == {path: [4.0]}


WAIT = {"name": "wait", "kind": "time_to_next"}


@pytest.mark.parametrize("paths", [("a", "a.b"), ("a.b", "a")])
def test_a_path_is_a_value_or_a_parent(paths):
    """A spec that wants both is refused."""
    features = [
        {"name": f"x{i}", "kind": "numeric", "path": path, "scaling": "none"}
        for i, path in enumerate(paths)
    ]
    with pytest.raises(SpecError, match=r"a\.b: a is also a path"):
        FeatureSpec.parse({**models.SPEC, "features": features, "heads": [WAIT]}, "here")
    heads = [{"name": "h", "kind": "regression", "path": paths[1]}]
    spec = FeatureSpec.parse({**models.SPEC, "features": features[:1], "heads": heads}, "here")
    assert Decoder(spec, SETTINGS).decode([]).columns == {paths[0]: []}
    with pytest.raises(SpecError, match=r"is also (a path|the parent)"):
        Decoder(spec, SETTINGS, with_targets=True)


SHARED = {
    "a number and a boolean": ["numeric", "boolean"],
    "an ISO time and a number": ["iso8601", "numeric"],
    "an ISO time and a boolean": ["iso8601", "boolean"],
}


def shared(*kinds):
    """Return the content of a spec whose features and event time all read the same field."""
    features = [
        {"name": kind, "kind": kind, "path": "f", **MORE.get(kind, {})}
        for kind in kinds
        if kind in ("numeric", "categorical", "boolean")
    ]
    units = [kind for kind in kinds if kind in ("ms", "s", "iso8601")]
    event = {"key": ["key"], **({"time": {"path": "f", "unit": units[0]}} if units else {})}
    return {**models.SPEC, "event": event, "features": features or [CALENDAR], "heads": [WAIT]}


CALENDAR = {"name": "hour", "kind": "calendar", "unit": "hour"}
MORE = {
    "numeric": {"scaling": "none"},
    "categorical": {"vocabulary": ["12", "true", "1.5", "a"], "embedding": 2},
}


@pytest.mark.parametrize("kinds", SHARED.values(), ids=SHARED)
def test_a_field_that_no_value_fits_is_refused(kinds):
    """Each reads it by its own strict type; what nothing can satisfy is a mistake of the spec."""
    with pytest.raises(
        SpecError, match="path f is read as several types, and no value has them all"
    ):
        FeatureSpec.parse(shared(*kinds), "here")


@pytest.mark.parametrize(
    ("kinds", "value", "expected"),
    [
        (["numeric", "categorical"], b'"a"', "wrong_schema"),
        (["numeric", "categorical"], b'"12"', "wrong_schema"),
        (["numeric", "categorical"], b"true", "wrong_schema"),
        (["numeric", "categorical"], b"12", 12),
        (["numeric", "categorical"], b"1.5", 1.5),
        (["numeric", "categorical"], b"null", None),
        (["numeric", "categorical"], b"9" * 400, "wrong_schema"),
        (["numeric"], b"9" * 400, "wrong_schema"),
        (["categorical"], b'"a"', "a"),
        (["categorical"], b"9" * 400, int("9" * 400)),
        (["categorical", "boolean"], b"true", True),
        (["categorical", "boolean"], b'"true"', "wrong_schema"),
        (["categorical", "boolean"], b"1", "wrong_schema"),
        (["ms", "categorical"], b"12", 12),
        (["ms", "categorical"], b'"12"', "wrong_schema"),
        (["ms", "categorical"], b"9" * 400, "wrong_schema"),
        (["ms", "numeric", "categorical"], b"12.0", 12.0),
        (["s", "numeric"], b"true", "wrong_schema"),
        (["iso8601", "categorical"], b'"1970-01-01"', "1970-01-01"),
        (["iso8601", "categorical"], b"12", "wrong_schema"),
        (["iso8601", "categorical"], b'"a"', "bad_event_time"),
    ],
)
@pytest.mark.parametrize("mixed", [False, True])
def test_a_field_may_serve_several_and_fits_each_by_its_own_type(kinds, value, expected, mixed):
    """What one of them cannot read is a skip, alone or among good records; 12 and 12.0 stay apart."""
    spec = FeatureSpec.parse(shared(*kinds), "here")
    good = [b"0", b"true", b'"1970-01-01"', b"null"] if mixed else []
    records = [record(i, b"k", b'{"f":' + text + b"}", 0) for i, text in enumerate([value, *good])]
    decoded = Decoder(spec, SETTINGS).decode(records)
    if 0 in decoded.skips:
        assert decoded.skips[0].code == expected
    else:
        assert decoded.columns["f"][0] == expected
        assert type(decoded.columns["f"][0]) is type(expected)
    Encoder(spec).encode(decoded.columns, decoded.time_ms)
