"""The order of the rows of a file: refused if times go back by much, sorted on demand."""

import json
import random

import pytest

from stream_rnn.cli.verbs.send import command as send
from stream_rnn.errors import ConfigError, SpecError
from stream_rnn.notebook.log import open_log
from stream_rnn.notebook.options import LogOptions
from stream_rnn.replay import time_order
from stream_rnn.replay.files import partition_of, read_batches
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels
from tests.unit.test_delimited import spec_of

TIMED = spec_of("x", time={"path": "at", "unit": "s"})
HOUR_S = 3600


def write(tmp_path, rows, name="log.csv"):
    """Write rows of a key and a time in seconds; x is the number of the row."""
    path = tmp_path / name
    lines = [f"{key},{'' if at is None else at},{x}" for x, (key, at) in enumerate(rows)]
    path.write_text("\n".join(["id,at,x", *lines]) + "\n")
    return path


def read(path, spec=TIMED, partition=0, partitions=1, **more):
    """Return the offset, the key, the time in seconds and the row number of each record."""
    return [
        (r.offset, r.key, r.timestamp // 1000, json.loads(r.value)["x"])
        for batch in read_batches(path, spec, partition, partitions, **more)
        for r in batch
    ]


@pytest.mark.parametrize("batch", [1, 3, 10_000])
def test_sorting_is_stable_and_gives_new_offsets(tmp_path, monkeypatch, batch):
    """Rows of one time keep their order; a row without a time stays behind the row before it."""
    monkeypatch.setattr(time_order, "RECORDS_PER_BATCH", batch)
    rows = [("a", 5), ("b", 3), ("", None), ("c", 5), ("d", 1), ("e", 3), ("\0", 1)]
    found = read(write(tmp_path, rows), sort_by_time=True)
    assert [x for *_, x in found] == [4, 6, 1, 2, 5, 0, 3]
    assert [offset for offset, *_ in found] == list(range(7))
    assert [key for _, key, *_ in found] == [b"d", b"\0", b"b", None, b"e", b"a", b"c"]
    assert [at for *_, at, _ in found] == [1, 1, 3, -1, 3, 5, 5]


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_sorting_and_partitions_agree(tmp_path, partitions):
    """The offset of a row is its number among all rows, whatever the partitions."""
    draw = random.Random(1)
    path = write(tmp_path, [(f"k{i % 7}", draw.randrange(50)) for i in range(500)])
    whole = read(path, sort_by_time=True)
    assert [at for *_, at, _ in whole] == sorted(at for *_, at, _ in whole)
    parts = [read(path, TIMED, p, partitions, sort_by_time=True) for p in range(partitions)]
    assert sorted(row for part in parts for row in part) == whole
    for partition, part in enumerate(parts):
        assert all(partition_of(key, partitions) == partition for _, key, *_ in part)


def test_an_empty_log_is_sorted(tmp_path):
    """It has no rows to map into memory."""
    assert read(write(tmp_path, []), sort_by_time=True) == []


def test_rows_in_a_wrong_order_are_refused_with_the_numbers_and_both_remedies(tmp_path):
    """More than 1 % of them an hour late within their key."""
    rows = [("a", i) for i in range(97)] + [("a", 10 * HOUR_S), ("a", HOUR_S), ("a", 5)]
    path = write(tmp_path, rows)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: its rows are not in the order of their times: 2 of 100 rows are earlier than a "
        "row of their key above them, 2 of them by more than an hour; the worst is row 99, earlier "
        "by 35995 s.  Use --sort-by-time to read the rows in the order of their times, or "
        "--no-sort-by-time to take them as they stand"
    )
    assert [x for *_, x in read(path, sort_by_time=False)] == list(range(100))
    assert [x for *_, x in read(path, sort_by_time=True)][-3:] == [96, 98, 97]


@pytest.mark.parametrize(
    "rows",
    [
        [(f"k{i}", 1000 * HOUR_S * (10 - i) + j) for i in range(10) for j in range(10)],
        [("a", i * 60 - 300 * (i % 3)) for i in range(100)],
        [*(("a", i) for i in range(9000)), ("a", 10 * HOUR_S), ("a", 1)],
        [("a", None), ("a", 5), ("", 3), ("a", 6)],
    ],
    ids=["grouped by key", "some minutes late", "one very late", "no time or no key"],
)
def test_an_order_that_topics_have_too_is_taken(tmp_path, rows):
    """Keys one after the other, events that are late by less, and very late ones among many."""
    assert len(read(write(tmp_path, rows))) == len(rows)


def test_the_newest_row_first_is_refused_even_within_an_hour(tmp_path):
    """Most rows go back then."""
    with pytest.raises(ConfigError, match=r"99 of 100 rows .*, 0 of them by more than an hour"):
        read(write(tmp_path, [("a", 100 - i) for i in range(100)]))


def test_a_long_file_is_refused_before_its_end(tmp_path, monkeypatch):
    """The check goes with the rows."""
    monkeypatch.setattr(time_order, "ROWS_MIN", 100)
    path = write(tmp_path, [("a", 100_000 - i) for i in range(50_000)])
    batches = read_batches(path, TIMED)
    with pytest.raises(ConfigError, match=r"of 16384 rows"):
        next(batches)


def test_rows_without_a_time_have_no_order(tmp_path):
    """Where the spec names none, a file is as it stands, and cannot be sorted."""
    path = write(tmp_path, [("a", 100 - i) for i in range(100)])
    assert len(read(path, spec_of("x"))) == 100
    with pytest.raises(SpecError, match=r"--sort-by-time needs event\.time in the spec"):
        read(path, spec_of("x"), sort_by_time=True)


def test_a_topic_is_not_sorted():
    """It has its order."""
    with pytest.raises(ConfigError, match="--sort-by-time is for a file"):
        open_log(None, TIMED, LogOptions(topic="t", sort_by_time=True), Settings.build())


def test_labels_by_offset_and_sorting_exclude_each_other():
    """The number of a row would be another than in the labels file."""
    labels = Labels(None, {"late": {0: True}})
    with pytest.raises(ConfigError, match=r"join by an id with --labels-by"):
        labels.check("log", 0, is_sorted=True)
    Labels("id", {"late": {}}).check("log", 0, is_sorted=True)


def test_a_verb_takes_the_option_in_both_directions_and_checks_by_default():
    """One flag with three values."""
    option = next(param for param in send.params if param.name == "sort_by_time")
    parse = send.make_context
    found = [
        parse("send", ["log", "topic", *words]).params["sort_by_time"]
        for words in ([], ["--sort-by-time"], ["--no-sort-by-time"])
    ]
    assert found == [None, True, False]
    assert option.is_flag
