"""Directories of parts, JSON arrays, and the types of Parquet."""

import datetime as dt
import gzip
import json
from decimal import Decimal

import orjson
import polars as pl
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay import json_files
from stream_rnn.replay.files import read_batches
from stream_rnn.replay.logs import FileLog
from stream_rnn.settings import Settings
from tests.file_records import read_records
from tests.unit.test_delimited import spec_of

ROWS = [{"id": f"k{i % 3}", "x": i} for i in range(100)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def keys(path, spec=None, **more):
    """Return the keys of a file."""
    return [r.key.decode() for _, r in read_records(path, spec or spec_of(), **more)]


def rows_of(path, spec=None):
    """Return the values of a file."""
    return [json.loads(r.value) for _, r in read_records(path, spec or spec_of())]


def error(path, spec=None):
    """Return the message of the error."""
    with pytest.raises(ConfigError) as caught:
        rows_of(path, spec)
    return str(caught.value)


# --- directories --------------------------------------------------------------------------------


def write_part(path, content):
    """Write one part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pl.DataFrame(content).write_parquet(path)
    elif path.suffix in (".csv", ".gz"):
        text = pl.DataFrame(content).write_csv().encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in content))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz", ".json"])
def test_the_parts_of_a_directory_are_one_log(tmp_path, suffix):
    """In natural order; Spark's markers, checksums, hidden and empty files are no parts."""
    top = tmp_path / "events.parquet"
    for number in (10, 9, 0):
        part = ROWS[9 * number : 9 * number + 9]
        write_part(top / f"part-{number}-6f1c.snappy{suffix}", part)
        (top / f".part-{number}-6f1c.snappy{suffix}.crc").write_bytes(b"crc")
        (top / f"part-{number}.crc").write_bytes(b"crc")
    (top / "_SUCCESS").touch()
    (top / f"_metadata{suffix}").write_bytes(b"no rows")
    (top / f"part-11{suffix}").touch()
    write_part(top / ".hidden" / f"part-1{suffix}", ROWS[:3])
    expected = [*ROWS[:9], *ROWS[81:99]]
    assert rows_of(top) == expected
    assert [r.offset for _, r in read_records(top, spec_of())] == list(range(27))
    assert FileLog(top, spec_of()).name == "events"


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_folder_adds_a_column(tmp_path, suffix):
    """Its value is a text, which the spec may read as a number; a key keeps the text."""
    write_part(tmp_path / "site=a%2Fb" / "n=07" / f"part{suffix}", [{"x": 1}])
    write_part(tmp_path / "site=__HIVE_DEFAULT_PARTITION__" / "n=8" / f"part{suffix}", [{"x": 2}])
    write_part(tmp_path / "site=c" / "n=x" / f"part{suffix}", [{"x": 3, "site": "own"}])
    spec = spec_of("x", "n", key=["site", "n"])
    records = [record for _, record in read_records(tmp_path, spec)]
    assert [record.key for record in records] == [None, b"a/b-07", b"own-x"]
    values = [json.loads(record.value) for record in records]
    assert values == [
        {"x": 2, "site": None, "n": 8},
        {"x": 1, "site": "a/b", "n": 7},
        {"x": 3, "site": "own", "n": "x"},
    ]


def test_a_folder_beside_an_exact_number_in_a_key(tmp_path):
    """The number keeps its text, and the folder its own."""
    part = tmp_path / "n=07" / "part.jsonl"
    part.parent.mkdir()
    part.write_text('{"a": 1.10}\n{ }\n')
    spec = spec_of("n", key=["n", "a"])
    records = [record for _, record in read_records(tmp_path, spec)]
    assert [record.key for record in records] == [b"07-1.10", None]
    assert [json.loads(record.value) for record in records] == [{"n": 7, "a": 1.1}, {"n": 7}]


def test_a_directory_of_several_formats_is_refused(tmp_path):
    """It is not one log."""
    write_part(tmp_path / "a.csv", ROWS[:1])
    write_part(tmp_path / "b.jsonl", ROWS[:1])
    assert "a.csv and" in error(tmp_path)
    assert "have different formats" in error(tmp_path)


# --- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 10, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_array_is_a_log_of_its_elements(tmp_path, monkeypatch, chunk, indent, codec):
    """Each keeps its own text; the array is never in memory as a whole."""
    path, rows = tmp_path / "log.json", [12345, {"id": 'ü"]},', "x": [1, {"y": "["}]}, 7, ROWS[0]]
    path.write_text(json.dumps(rows, indent=indent) + "\n ", codec)
    monkeypatch.setattr(json_files, "CHUNK_CHARS", chunk)
    assert rows_of(path) == rows


def test_a_number_of_an_array_keeps_its_text(tmp_path):
    """It is the value of a record, byte for byte."""
    path = tmp_path / "log.json"
    path.write_text('[ {"id": 1.10, "x": 1e0} ,{"id": 12345678901234567890123}]')
    records = [record for _, record in read_records(path, spec_of())]
    assert [r.value for r in records] == [
        b'{"id": 1.10, "x": 1e0}',
        b'{"id": 12345678901234567890123}',
    ]
    assert [r.key for r in records] == [b"1.10", b"12345678901234567890123"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('[{"id": 1},\n{"id": 2', 2),
        ('[{"id": 1}\n{"id": 2}]', 2),
        ("[\n\n{},]", 3),
        ("[{}]\n{}", 2),
    ],
)
def test_a_broken_array_is_an_error_with_its_line_and_the_remedy(tmp_path, content, line):
    """A lost end would be lost events."""
    path = tmp_path / "log.json"
    path.write_text(content)
    if content.startswith("[{}]"):  # an array, and then lines: these are lines
        assert rows_of(path) == [[{}], {}]
        return
    message = error(path)
    assert f"line {line} of its JSON array" in message
    assert f"jq -c '.[]' {path}" in message


def test_objects_over_several_lines_are_named(tmp_path):
    """With the remedy; otherwise each line would be a dead letter."""
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(ROWS[0], indent=2))
    assert f"its objects extend over several lines; write one object a line: jq -c . {path}" in (
        error(path)
    )


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_the_first_line_is_read_with_a_byte_order_mark(tmp_path, codec):
    """And the first line of a file that is appended to another."""
    path, mark = tmp_path / "log.jsonl", "\ufeff" if codec == "utf-16-be" else ""
    path.write_bytes((mark + LINES.decode()).encode(codec) + b"")
    assert rows_of(path) == ROWS
    if codec == "utf-8-sig":
        path.write_bytes(2 * LINES.decode().encode(codec))
        assert rows_of(path) == ROWS * 2


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_a_spec_may_begin_with_a_byte_order_mark(tmp_path, codec):
    """As files do that a Windows shell redirects its output to."""
    path = tmp_path / "spec.toml"
    path.write_text(
        """name = "t"
        event = {key = ["Gerät"]}
        features = [{kind = "numeric", name = "x", path = "x"}]
        heads = [{kind = "time_to_next", name = "wait"}]
        """,
        codec,
    )
    assert FeatureSpec.read(path).event.key == ("Gerät",)


def test_a_key_of_json_is_its_text(tmp_path):
    """Numbers are as the file writes them; an object is no key."""
    path = tmp_path / "log.jsonl"
    texts = ["7", "7.0", "1.10", "1e2", "9007199254740993", "123456789012345678901", "true", '"07"']
    path.write_text("".join(f'{{"id": {text}}}\n' for text in [*texts, "{}", "[1]", "null"]))
    records = [record for _, record in read_records(path, spec_of())]
    assert [r.key for r in records[:8]] == [text.strip('"').encode() for text in texts]
    assert [r.key for r in records[8:]] == [None, None, None]


# --- Parquet ------------------------------------------------------------------------------------


def test_the_types_of_parquet_follow_the_rules_of_json(tmp_path):
    """Times are texts, decimal numbers are numbers where the spec reads one, and words are words."""
    at = dt.datetime(2024, 1, 2, 3, 4, 5, 678000)  # noqa: DTZ001  # it has no zone
    frame = pl.DataFrame(
        {
            "day": [dt.date(2024, 1, 2)],
            "us": [at],
            "ns": pl.Series([at], dtype=pl.Datetime("ns")),
            "zoned": pl.Series([at.replace(tzinfo=dt.UTC)]),
            "price": [Decimal("1.10")],
            "x": [Decimal("0.30")],
            "word": pl.Series(["a"], dtype=pl.Categorical),
            "large": pl.Series([2**64 - 1], dtype=pl.UInt64),
            "small": pl.Series([7], dtype=pl.Int8),
            "blob": [b"x"],
        }
    )
    path = tmp_path / "log.parquet"
    frame.write_parquet(path)
    elements = ["day", "price", "word", "large", "small"]
    time = {"path": "ns", "unit": "iso8601"}
    ((_, record),) = read_records(path, spec_of(key=elements, time=time))
    assert record.key == rb"2024\-01\-02-1.10-a-18446744073709551615-7"
    assert record.timestamp == 1704164645678
    content = orjson.loads(record.value)
    assert content["x"] == 0.3
    assert {name: content[name] for name in elements} == {
        "day": "2024-01-02",
        "price": "1.10",
        "word": "a",
        "large": 2**64 - 1,
        "small": 7,
    }
    decoded = Decoder(spec_of(time=time), Settings.build()).decode([record])
    assert decoded.columns["x"] == [0.3]
    for name in ("us", "zoned"):
        ((_, record),) = read_records(path, spec_of(key=["word"], time={**time, "path": name}))
        assert record.timestamp == 1704164645678


def test_a_parquet_file_without_the_column_of_the_key_is_refused(tmp_path):
    """Each of its rows would be a dead letter."""
    write_part(tmp_path / "log.parquet", ROWS)
    message = error(tmp_path / "log.parquet", spec_of(key=[["dev", "case"]]))
    assert "log.parquet: no column dev or case, which event.key or event.time names" in message
    assert message.endswith("the columns are id, x")


@pytest.mark.parametrize("partitions", [1, 3])
def test_every_format_of_one_log_gives_the_same_keys_and_partitions(tmp_path, partitions):
    """A producer's partitioner sees these keys, too."""
    paths = [tmp_path / name for name in ("a.csv", "a.jsonl", "a.parquet")]
    for path in paths:
        write_part(path, ROWS)
    batches = [
        [
            (r.key, r.offset)
            for partition in range(partitions)
            for batch in read_batches(path, spec_of(), partition, partitions)
            for r in batch
        ]
        for path in paths
    ]
    assert batches[0] == batches[1] == batches[2]
    assert len(batches[0]) == len(ROWS)
