"""Logs as files: the same records whatever the format, Kafka's partitions, and splits."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from aiokafka.partitioner import DefaultPartitioner

from stream_rnn.demo.flights import BUNDLE
from stream_rnn.errors import ConfigError, SpecError
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.evaluate import evaluate
from stream_rnn.replay import delimited, frame_rows, json_files
from stream_rnn.replay.files import partition_of, read_batches
from stream_rnn.replay.logs import FileLog
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from stream_rnn.training.dataset import make_events
from stream_rnn.training.splits import column_of, split_parts
from tests.file_records import read_records

ROWS = [
    {"carrier": "UA", "origin": "EWR", "at": 1000, "x": 1.5, "n": 3, "ok": True},
    {"carrier": "AA", "origin": "JFK", "at": 2000, "x": None, "n": 4, "ok": False},
    {"carrier": None, "origin": "JFK", "at": 2500, "x": 0.25, "n": None, "ok": True},
    {"carrier": "Zürich", "origin": "ZRH", "at": None, "x": -1.0, "n": 5, "ok": None},
]


def spec_of(**event):
    """Make a spec with some event."""
    event = {"key": ["carrier", "origin"], "time": {"path": "at"}, **event}
    feature = {"kind": "numeric", "name": "x", "path": "x"}
    head = {"kind": "binary", "name": "ok", "path": "ok"}
    return FeatureSpec.parse(
        {"name": "t", "event": event, "features": [feature], "heads": [head]}, "t"
    )


def write(directory, suffix, rows=ROWS):
    """Write rows as a file of some format."""
    path, frame = directory / f"log{suffix}", pl.DataFrame(rows)
    match suffix:
        case ".csv":
            frame.write_csv(path)
        case ".parquet":
            frame.write_parquet(path)
        case _:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".csv", ".parquet"])
@pytest.mark.parametrize("rows_a_batch", [1, 3, 4, 50_000])
def test_every_format_gives_the_same_records(tmp_path, monkeypatch, suffix, rows_a_batch):
    """Offsets are rows, keys are joined fields, timestamps event times, values JSON."""
    for module in (delimited, frame_rows):
        monkeypatch.setattr(module, "ROWS_A_BATCH", rows_a_batch)
    monkeypatch.setattr(frame_rows, "RECORDS_PER_BATCH", rows_a_batch)
    monkeypatch.setattr(json_files, "BYTES_A_BATCH", rows_a_batch)
    found = list(read_records(write(tmp_path, suffix), spec_of()))
    texts = {".csv": [{"n": "3"}, {"n": "4"}, {}, {"n": "5"}]}  # no field of the spec
    expected = [row | text for row, text in zip(ROWS, texts.get(suffix, [{}] * 4), strict=True)]
    assert [json.loads(record.value) for _, record in found] == expected
    assert [(partition, record._replace(value=None)) for partition, record in found] == [
        (0, LogRecord(0, 1000, b"UA-EWR", None)),
        (0, LogRecord(1, 2000, b"AA-JFK", None)),
        (0, LogRecord(2, 2500, None, None)),
        (0, LogRecord(3, -1, "Zürich-ZRH".encode(), None)),
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("partitions", [2, 3])
def test_partitions_of_a_file_are_its_records_once_each(tmp_path, suffix, partitions):
    """Read one after the other they give what reading all at once gives."""
    path, spec = write(tmp_path, suffix), spec_of()
    whole = list(read_records(path, spec, partitions))
    apart = [
        (partition, record)
        for partition in range(partitions)
        for records in read_batches(path, spec, partition, partitions)
        for record in records
    ]
    assert sorted(apart, key=lambda place: place[1].offset) == whole


def test_a_line_that_is_not_json_costs_itself_alone(tmp_path):
    """It is a bad record, as it would be in a topic; a line without an end is one, too."""
    path, good = tmp_path / "log.jsonl", json.dumps(ROWS[0])
    path.write_text(f'{good}\n{{"a": \n[1]\n\n{good}\n{{"torn": ')
    records = [record for _, record in read_records(path, spec_of())]
    skips = make_events([records], spec_of(), Settings.build()).skips
    assert [record.key for record in records] == [b"UA-EWR", b"", b"", b"UA-EWR", b""]
    assert skips == {"not_json": 2, "wrong_schema": 1}


def test_a_byte_order_mark_costs_no_event(tmp_path):
    """Some editors begin a file with one; it is no part of the first line."""
    path = tmp_path / "log.jsonl"
    path.write_text(f"{json.dumps(ROWS[0])}\n{json.dumps(ROWS[1])}\n", encoding="utf-8-sig")
    records = [record for _, record in read_records(path, spec_of())]
    assert [record.key for record in records] == [b"UA-EWR", b"AA-JFK"]


def test_nested_fields_make_keys_and_times(tmp_path):
    """Paths are dotted, in a file as in a record; seconds become milliseconds."""
    rows = [{"who": {"id": 7}, "when": {"s": 1.5}}, {"who": None, "when": {"s": 2.0}}]
    spec = spec_of(key=["who.id"], time={"path": "when.s", "unit": "s"})
    found = [(r.key, r.timestamp) for _, r in read_records(write(tmp_path, ".jsonl", rows), spec)]
    assert found == [(b"7", 1500), (None, 2000)]


def test_a_row_is_stamped_by_its_iso_time(tmp_path):
    """Like by any other: the event time is the field, in UTC, and it moves stream time."""
    spec = spec_of(time={"path": "at", "unit": "iso8601"})
    rows = [{**ROWS[0], "at": "1970-01-01T00:00:02"}]
    records = [r for _, r in read_records(write(tmp_path, ".csv", rows), spec)]
    assert records[0].timestamp == 2000
    examples = make_events([records], spec, Settings.build()).examples
    assert examples.time_ms.tolist() == [2000]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e300, -1e300])
def test_a_row_with_an_impossible_time_costs_itself_alone(tmp_path, bad):
    """It has no timestamp, and the decoder says what is wrong with it."""
    rows = [{**ROWS[0], "at": at} for at in (1000.0, bad, 2000.0)]
    spec = spec_of()
    records = [r for _, r in read_records(write(tmp_path, ".parquet", rows), spec)]
    events = make_events([records], spec, Settings.build())
    assert events.offset.tolist() == [0, 2]
    assert events.examples.time_ms.tolist() == [1000, 2000]
    assert sum(events.skips.values()) == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("log.jsonl", None, "cannot read the log"),
        ("log.csv", None, "cannot read the log"),
        ("log.parquet", None, "cannot read the log"),
        ("log.parquet", b"PAR1 or not", "cannot read the log"),
        ("log.xlsx", b"", "a log is a .jsonl, .csv, .parquet or .avro file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, content, says):
    """The message names it."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        list(read_records(path, spec_of()))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("file", "name"),
    [("log.csv", "log"), ("my log (1).csv", "my_log__1_"), (".", "log"), (250 * "x", 249 * "x")],
)
def test_a_file_may_have_any_name(file, name):
    """A replay names its source by it, as a topic is named."""
    found = FileLog(Path(file), spec_of()).name
    assert found == name
    assert Settings.build(source=found).source == name


def test_a_directory_without_parts_is_no_log(tmp_path):
    """The message is about the argument, and not about a setting that nobody gave."""
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(ConfigError, match=r"the directory contains no part$") as caught:
        evaluate(tmp_path, BUNDLE)
    assert str(tmp_path) in str(caught.value)


def test_a_file_needs_a_key_in_the_spec(tmp_path):
    """Kafka's records have one, rows have not."""
    with pytest.raises(SpecError, match=r"a file needs event\.key"):
        next(read_records(write(tmp_path, ".csv"), spec_of(key=[])))


@pytest.mark.parametrize("partitions", [1, 2, 3, 7, 64])
def test_a_key_has_the_partition_that_kafka_gives_it(partitions):
    """As a producer's default partitioner does, for keys of any length and bytes."""
    rng, kafka = np.random.default_rng(partitions), DefaultPartitioner()
    places = list(range(partitions))
    for size in [*range(20), 100]:
        key = rng.bytes(size)
        assert partition_of(key, partitions) == kafka(key, places, places)


def test_a_record_without_a_key_is_in_the_first_partition():
    """It will be skipped; where does not matter, but it must be the same each time."""
    assert partition_of(None, 7) == 0


def log_of(count):
    """Make records of as many keys, a second apart, and their split column."""
    says = ["train", "training", "validation", "test"]
    return [
        record(
            i,
            f"k{i % 50}".encode(),
            {"part": says[i % 4], "half": None if i % 2 else "test"},
            i * 1000,
        )
        for i in range(count)
    ]


LOG = log_of(200)
TIMES = np.arange(200) * 1000


def split(text, rows=None, times=TIMES):
    """Split the log."""
    rows = np.arange(len(times)) if rows is None else rows
    events = make_events(
        [[LOG[row] for row in rows.tolist()]],
        spec_of(time=None),
        Settings.build(),
        split_column=column_of(text),
    )
    return split_parts(text, replace(events.split_events, time_ms=times))


def test_a_split_by_time_trains_on_the_past():
    """80 % train, of which the last 15 % validate; the rest is the test, all in time's order."""
    part = split("time:0.8")
    assert (np.diff(part) >= 0).all()
    assert np.bincount(part).tolist() == [136, 24, 40]


def test_a_split_by_time_goes_by_event_time_not_by_row():
    """Late events belong to the part of their time."""
    order = np.random.default_rng(1).permutation(200)
    assert (split("time:0.8", rows=order, times=TIMES[order]) == split("time:0.8")[order]).all()


@pytest.mark.parametrize("moment", ["1970-01-01T00:01:40", "1970-01-01T02:01:40+02:00"])
def test_a_split_by_a_date_is_in_utc(moment):
    """Events before that moment train and validate; a zone is heeded."""
    part = split(f"time:{moment}")
    assert (part[:100] < 2).all()
    assert (part[100:] == 2).all()
    assert np.bincount(part[:100]).tolist() == [85, 15]


def test_a_split_by_key_keeps_a_key_together():
    """All events of a key are in one part, the same whatever else is in the log."""
    part = split("key:0.6")
    assert set(part.tolist()) == {0, 1, 2}
    assert all(len(set(part[i::50].tolist())) == 1 for i in range(50))
    some = np.arange(0, 200, 3)
    assert (split("key:0.6", rows=some, times=TIMES[some]) == part[some]).all()


def test_a_split_by_a_column_does_as_it_says():
    """The field names the part."""
    assert split("column:part")[:4].tolist() == [0, 0, 1, 2]


def test_everything_may_train():
    """A share of 1 leaves no test part."""
    assert set(split("time:1").tolist()) == {0, 1, 2}
    assert set(split("key:1").tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("random:0.8", "none of time:0.8"),
        ("time", "not a share"),
        ("time:most", "not a share"),
        ("time:1.5", "not a share"),
        ("time:0", "not a share"),
        ("key:nan", "not a share"),
        ("time:2013-13-01", "not an ISO 8601 time"),
        ("time:1969-01-01", "leaves no event to train on"),
        ("column:", "none of time:0.8"),
        ("column:other", "split column other: no event has this field"),
        ("column:half", "offset 1 has None, not train, validation or test"),
    ],
)
def test_a_split_that_says_nothing_is_refused(text, says):
    """The message repeats it."""
    with pytest.raises(ConfigError, match=says):
        split(text)


@pytest.mark.parametrize(
    "photo", [b"x", [b"x"], {"small": b"x"}], ids=["bytes", "list of bytes", "object of bytes"]
)
def test_a_column_that_json_cannot_carry_matters_if_the_spec_names_it(tmp_path, photo):
    """It is refused by name then, and left out otherwise."""
    path = tmp_path / "log.parquet"
    pl.DataFrame([{**ROWS[0], "photo": photo}]).write_parquet(path)
    ((_, row),) = read_records(path, spec_of())
    assert json.loads(row.value) == ROWS[0]
    spec = spec_of(key=["carrier", "photo"])
    with pytest.raises(ConfigError, match=r"JSON cannot carry the values of column photo \(.*Bin"):
        list(read_records(path, spec))


def test_an_empty_text_is_a_key_in_json_and_parquet_and_missing_in_csv(tmp_path):
    """A delimited file cannot tell it from a missing value; a topic may have such a key."""
    rows = pl.DataFrame([{**ROWS[0], "carrier": ""}])
    rows.write_ndjson(tmp_path / "log.jsonl")
    rows.write_parquet(tmp_path / "log.parquet")
    rows.write_csv(tmp_path / "log.csv")
    keys = {}
    for suffix in (".jsonl", ".parquet", ".csv"):
        ((_, row),) = read_records(tmp_path / f"log{suffix}", spec_of(key=["carrier"]))
        keys[suffix] = row.key
    assert keys == {".jsonl": b"", ".parquet": b"", ".csv": None}


def test_rows_without_a_time_are_dated_by_their_number(tmp_path):
    """Where the spec names none: text as characters has an order and no clock."""
    spec = spec_of(time=None)
    records = [r for _, r in read_records(write(tmp_path, ".csv"), spec)]
    assert [record.timestamp for record in records] == [0, 1, 2, 3]
    assert make_events([records], spec, Settings.build()).examples.time_ms.tolist() == [0, 1, 3]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("unused", ["NaN", "-Infinity", "1e999", "9" * 400])
def test_a_row_whose_json_only_python_writes_keeps_its_key(tmp_path, suffix, unused):
    """As lines and as an array; without a key of its own, such a row becomes a dead letter."""
    rows = [
        f'{{"k":"a","t":1700000000000,"x":1,"u":{unused}}}',
        f'{{"t":1700000000000,"x":1,"u":{unused}}}',
    ]
    path = tmp_path / f"log{suffix}"
    path.write_text("\n".join(rows) if suffix == ".jsonl" else f"[{','.join(rows)}]")
    spec = spec_of(key=["k"], time={"path": "t"})
    records = [record for batch in read_batches(path, spec) for record in batch]
    assert [(r.key, r.timestamp) for r in records] == [(b"a", 1700000000000), (None, 1700000000000)]
