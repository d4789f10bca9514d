"""Envelopes: unwrap, forget_when and only; dotted names, framed records, words and the fold id."""

from itertools import pairwise
from typing import Any

import pytest

from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.micro_batch import decode
from stream_rnn.fold.skip_reasons import SKIP_REASONS
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.testing import MemoryLog, memory_processor, record
from tests import models, oracle
from tests.file_records import read_records

T_US = 1_767_225_600_000_000
T_MS = T_US // 1000
SETTINGS = Settings(app="t", source="s", predictions="p", key_bytes_max=10, value_bytes_max=1000)


def change(op="u", after=(), table="orders", **more) -> dict[str, Any]:
    """Make a change event of Debezium; ``after=None`` has no event."""
    event = (
        None if after is None else {"amount": "12.50", "paid": 1, "order.kind": "A", **dict(after)}
    )
    content = {"op": op, "before": None, "after": event, "source": {"table": table}, "ts_us": T_US}
    return {"schema": None, "payload": {**content, **more}}


def enveloped(*events, key=b"o-1"):
    """Decode records of the enveloped model, one for each event."""
    records = [record(i, key, event, T_MS) for i, event in enumerate(events)]
    return Decoder(models.enveloped().spec, SETTINGS).decode(records)


def outcome(event, key=b"o-1"):
    """Return what one record is: event, forget, filtered, or the code of its error."""
    decoded = enveloped(event, key=key)
    if decoded.skips:
        return decoded.skips[0].code
    kinds = {"event": len(decoded.rows), "forget": decoded.forgets, "filtered": decoded.filtered}
    (kind,) = [kind for kind, rows in kinds.items() if rows]
    return kind


def plain(event=None, settings=SETTINGS, **feature):
    """Make a decoder of one numeric feature x and some event table."""
    content = {
        "name": "t",
        "event": event or {},
        "features": [{"name": "x", "kind": "numeric", "path": "x", **feature}],
        "heads": [{"name": "w", "kind": "time_to_next"}],
    }
    return Decoder(FeatureSpec.model_validate(content), settings)


def decoded_x(value, **feature):
    """Return the value of the feature x in an event, or the reason why the event is skipped."""
    decoded = plain(**feature).decode([record(0, b"k", {"x": value})])
    return str(decoded.skips[0]) if decoded.skips else decoded.columns["x"][0]


def test_a_change_event_is_unwrapped():
    """Features begin at the event inside, the event time at the record."""
    decoded = enveloped(change(), change(after={"amount": 3, "paid": "false", "order.kind": 1}))

    assert decoded.columns == {
        "amount": [12.5, 3.0],
        "paid": [True, False],
        '"order.kind"': ["A", 1],
    }
    assert decoded.time_ms.tolist() == [T_MS, T_MS]
    assert (decoded.forgets, decoded.filtered, decoded.skips) == ([], [], {})


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (change(), "event"),
        (change(table=7), "event"),
        (change(table=7.0), "event"),
        (change(table="7"), "filtered"),
        (change(table=True), "filtered"),
        (change(table=None), "filtered"),
        (change(table=["orders"]), "filtered"),
        (change("d", None), "forget"),
        (change("d"), "forget"),
        (change("d", None, "customers"), "filtered"),  # it is no business of this fold
        (None, "forget"),
        ({"type": "heartbeat"}, "filtered"),
        (b"[1]", "filtered"),
        (b"null", "filtered"),
        (b"nope", "not_json"),
        (b"\0\0\0\0\x07avro", "framed"),
        (b"{" + b" " * 1000, "value_too_large"),
        (change("u", None), "wrong_schema"),
        (change(after={"amount": "12,50"}), "wrong_schema"),
        (change(after={"amount": 10**400}), "wrong_schema"),
        (change(ts_us="soon"), "wrong_schema"),
        (change(ts_us=None), "no_event_time"),
        (change(ts_us=str(T_US)), "event"),
        (change(ts_us=T_US * 2), "time_ahead"),
    ],
)  # fmt: skip
def test_each_record_is_an_event_a_forget_a_skip_or_filtered(event, expected):
    """The filter decides first, then forget_when; what is left must have an object to unwrap."""
    assert outcome(event) == expected


@pytest.mark.parametrize(
    ("event", "key", "expected"),
    [
        (change(), None, "no_key"),
        (change(), b"k" * 11, "key_too_large"),
        (change("d"), None, "no_key"),
        (None, None, "no_key"),
        (b"nope", None, "no_key"),
        (change(table="x"), None, "filtered"),
        (change(table="x"), b"k" * 11, "filtered"),
    ],
)
def test_only_a_record_that_is_folded_needs_a_key(event, key, expected):
    """The other kinds of a mixed topic may have none."""
    assert outcome(event, key) == expected


def test_an_event_that_is_no_object_is_a_dead_letter_that_says_so():
    """The reason names the path, what is there, and both remedies."""
    for after, found in ((None, "null or missing"), ("text", "not an object")):
        event = change()
        event["payload"]["after"] = after

        (error,) = enveloped(event).skips.values()

        assert str(error) == (
            f"payload.after: the event to unwrap is {found}; event.only filters such records, and "
            "event.forget_when lets them forget their key"
        )
    event["payload"] = 3
    assert outcome(event) == "filtered"


def test_records_around_one_that_is_filtered_are_what_they_are_without_it():
    """Filtered records and forgets are in no column; order and times stay."""
    events = [change(), change(table="x"), change("d"), change(after={"amount": "x"}), change()]

    decoded = enveloped(*events)

    assert decoded.rows.tolist() == [0, 4]
    assert (decoded.filtered, decoded.forgets, [*decoded.skips]) == ([1], [2], [3])
    assert decoded.columns == enveloped(events[0], events[4]).columns


def test_a_filtered_record_is_counted_and_moves_nothing_but_the_position():
    """It has no output and no state, and does not move stream time."""
    model = models.enveloped()
    late = change(table="x", ts_us=T_US + 10**12)
    rows = [
        record(0, b"a", change(), T_MS),
        record(1, b"a", late, T_MS + 10**9),
        record(2, b"b", change("d"), T_MS),
        record(3, b"b", change(table="x"), T_MS),
    ]
    truth = oracle.fold(model, SETTINGS, rows)
    assert [*truth.predictions] == [0]
    assert truth.stream_ms == T_MS


async def test_a_processor_counts_what_it_filters():
    """The position moves beyond filtered records, also if the log consists of nothing else."""
    model, log, store = models.enveloped(), None, MemoryStore()
    rows = [record(0, b"a", change(), T_MS)]
    rows += [record(i, b"a", change(table="x"), T_MS + i) for i in range(1, 5)]
    log = MemoryLog(rows)
    processor = memory_processor(model, log, store, SETTINGS, sizes=[2, 3])

    await processor.run()

    counts = processor.counts
    assert (counts.events, counts.filtered, counts.forgets, counts.skips) == (1, 4, 0, {})
    assert (store.stored.position, store.stored.stream_time_ms) == (5, T_MS)
    assert [*store.states] == [b"a"]
    assert len(log.predictions) == 1
    assert not log.dead_letters


def test_the_text_null_is_a_value_and_forgets_nothing(tmp_path):
    """In a topic and as a line of a file; only a record without a value forgets its key."""
    path = tmp_path / "log.jsonl"
    path.write_text("null\n")
    spec = models.enveloped().spec
    ((_, line),) = read_records(path, spec)
    records = [record(0, b"k", b"null", T_MS), record(1, b"k", None, T_MS), line]

    filtered = Decoder(spec, SETTINGS).decode(records)
    skipped = plain().decode(records)

    assert (filtered.forgets, filtered.filtered, filtered.skips) == ([1], [0, 2], {})
    assert skipped.forgets == [1]
    assert {row: error.code for row, error in skipped.skips.items()} == {
        0: "wrong_schema",
        2: "wrong_schema",
    }


def test_only_and_forget_when_work_without_unwrap():
    """In a mixed topic the record itself is the event."""
    event = {
        "time": {"path": "at", "unit": "s"},
        "only": [{"path": "type", "in": ["sensor"]}, {"path": "ok", "in": [True]}],
        "forget_when": {"path": "gone", "equals": 1},
    }
    records = [
        record(0, b"a", {"type": "sensor", "ok": True, "at": 7, "x": 1}, 7000),
        record(1, b"a", {"type": "sensor", "ok": 1, "at": 8, "x": 1}, 8000),
        record(2, b"a", {"type": "audit", "ok": True, "at": "noon", "x": "?"}, 9000),
        record(3, b"a", {"type": "sensor", "ok": True, "gone": 1.0}, 9000),
    ]

    decoded = plain(event).decode(records)

    assert (decoded.rows.tolist(), decoded.filtered, decoded.forgets) == ([0], [1, 2], [3])
    assert decoded.time_ms.tolist() == [7000]
    assert decoded.columns["x"] == [1.0]


def test_a_field_whose_name_has_a_dot_is_read():
    """Telemetry names its fields so; a dot without quotation marks leads into an object."""
    spec = {
        "name": "otel",
        "event": {"time": {"path": "timeUnixNano", "unit": "ns", "parse": True}},
        "features": [
            {"name": "ms", "kind": "numeric", "path": 'attributes."http.duration_ms"'},
            {"name": "code", "kind": "numeric", "path": "'http.status_code'"},
            {"name": "other", "kind": "numeric", "path": "http.status_code"},
        ],
        "heads": [{"name": "w", "kind": "time_to_next"}],
    }
    event = {
        "timeUnixNano": "1767225600000999999",
        "http.status_code": 200,
        "http": {"status_code": 7},
        "attributes": {"http.duration_ms": 1.5},
    }

    decoded = Decoder(FeatureSpec.model_validate(spec), SETTINGS).decode(
        [record(0, b"k", event, T_MS)]
    )

    values = {path: column[0] for path, column in decoded.columns.items()}
    assert values.pop("timeUnixNano") == 1_767_225_600_000_999_999
    assert values == {
        'attributes."http.duration_ms"': 1.5,
        '"http.status_code"': 200.0,
        "http.status_code": 7.0,
    }
    assert decoded.time_ms.tolist() == [T_MS]
    event["http.status_code"] = "200"
    (error,) = (
        Decoder(FeatureSpec.model_validate(spec), SETTINGS)
        .decode([record(0, b"k", event, T_MS)])
        .skips.values()
    )
    assert str(error) == '"http.status_code": a text that is a number; set parse = true'


@pytest.mark.parametrize(
    ("value", "headers", "expected"),
    [
        (b"\0\0\0\0\x07x", (), "framed by a schema registry, schema id 7"),
        (b"\0\0\x01\0\0", (), "framed by a schema registry, schema id 65536"),
        (b"\0\0\0\0\x07{}", (), "framed by a schema registry, schema id 7"),
        (b"Obj", (("__value_schema_id", b"\0\0\0\0\x09"),), "framed by a schema registry, schema id 9"),
        (b"Obj", (("__value_schema_id", b"\x01" + b"\xab" * 16),), "schema id " + "ab" * 16),
        (b"\0\0\0\0", (), "the value is not JSON"),
        (b"\0" + b"\0" * 7 + b"\x09x", (), "schema id 9 in 8 bytes"),
        (b"\x03\0" + b"\xab" * 16, (), "AWS Glue schema registry, schema version abababab-abab-"),
        (b"\x03\x05" + b"\xab" * 20, (), "AWS Glue schema registry, schema version abababab-abab-"),
        (b"\x03\0x", (), "the value is not JSON"),
        (b"\xef\xbb\xbf{}", (), "it begins as UTF-8 with a byte order mark"),
        ("{}".encode("utf-16"), (), "it begins as UTF-16; write JSON in UTF-8"),
        ("{}".encode("utf-16-le"), (), "it begins as UTF-16; write JSON in UTF-8"),
        ("{}".encode("utf-16-be"), (), "it begins as UTF-16; write JSON in UTF-8"),
        (b"\x1f\x8bx", (), "it begins as gzip"),
        (b"\x28\xb5\x2f\xfdx", (), "it begins as zstd"),
        (b"Obj\x01x", (), "it begins as an Avro container"),
        (b"Obj", (("__value_schema_id", b"9"),), "the value is not JSON"),
    ],
)  # fmt: skip
def test_a_framed_record_names_the_schema_registry(value, headers, expected):
    """The schema id is big-endian in bytes 1 to 4, or in a header."""
    for decoder in (plain(), Decoder(models.enveloped().spec, SETTINGS)):
        (error,) = decoder.decode([LogRecord(0, 0, b"k", value, headers)]).skips.values()

        assert expected in str(error)
        assert error.code == ("framed" if "schema id" in expected else "not_json")
        assert error.code in SKIP_REASONS


def test_a_header_does_not_turn_json_away():
    """A serializer of JSON Schema writes the header, and plain JSON as the value."""
    headers = (("__value_schema_id", b"\0\0\0\0\x09"),)
    decoded = plain().decode([LogRecord(0, 0, b"k", b'{"x": 1}', headers)])
    assert decoded.columns["x"] == [1.0]


def test_large_integers_and_enumerations_are_stable_words():
    """A category keeps all digits, whatever the records around it are."""
    spec = {
        "name": "t",
        "features": [
            {
                "name": "c",
                "kind": "categorical",
                "path": "c",
                "vocabulary": ["9007199254740993", "2"],
            }
        ],
        "heads": [{"name": "w", "kind": "time_to_next"}],
    }
    values = [2**53, 2**53 + 1, 2, "2", 2.0, 2**53 + 1, 10**30, True]
    model = models.of(spec)
    decoder = Decoder(model.spec, SETTINGS)
    rows = [record(i, b"k", {"c": value}) for i, value in enumerate(values)]

    together = decode(decoder, model, rows, None).x[:, 0].tolist()

    assert together == [0, 1, 2, 2, 0, 1, 0, 0]
    assert together == [decode(decoder, model, [row], None).x[0, 0] for row in rows]


def test_every_option_is_part_of_the_fold_id():
    """Two workers that filter differently are two folds."""
    names = ("only", "forget_when", "unwrap")
    event = models.ENVELOPED["event"]
    specs = [models.ENVELOPED]
    specs += [
        {**models.ENVELOPED, "event": {k: v for k, v in event.items() if k != n}} for n in names
    ]
    ids = [fold_id(models.of(spec).fingerprint, SETTINGS.of_fold(needs=())) for spec in specs]
    assert len(set(ids)) == len(ids)
    assert all(a != b for a, b in pairwise(ids))
