"""Files that are not what their reader expects: the message names the cause and the remedy."""

import tomllib

import orjson
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.file_format import FileFormat
from stream_rnn.replay.delimited import read_text_rows
from stream_rnn.replay.delimited import require_columns as require
from stream_rnn.replay.files import read_batches
from stream_rnn.spec.sample import read_sample
from stream_rnn.spec.sniffing import Sniffer

TABLE = "device,temp\nd1,20.5\nd2,21.5\n"
OBJECTS = '{"device": "d1", "temp": 20.5}\n{"device": "d2", "temp": 21.5}\n'
SPEC = """
name = "t"
[event]
key = ["device"]
[[features]]
name = "temp"
kind = "numeric"
path = "temp"
[[heads]]
name = "next"
kind = "regression"
path = "temp"
"""


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_the_order_of_utf_16_is_that_of_its_zeros(tmp_path, encoding):
    """In a guess, and in the remedy of a file without a byte order mark."""
    content = TABLE.encode(encoding)
    assert Sniffer(content, {}).sniff().options["encoding"] == encoding
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    names = next(read_text_rows(path, FileFormat())).names
    with pytest.raises(ConfigError, match=f'set encoding = "{encoding}" in'):
        require(path, names, [["device"]], FileFormat())


def test_columns_of_a_file_with_a_header_are_refused(tmp_path):
    """The header would be a row."""
    path = tmp_path / "log.csv"
    path.write_text(TABLE)
    with pytest.raises(ConfigError, match=r"is for files without a header line: remove it from"):
        list(read_text_rows(path, FileFormat(columns=("device", "temp"))))
    rows = [row for b in read_text_rows(path, FileFormat(columns=("a", "b"))) for row in b.rows]
    assert rows == [["device", "temp"], ["d1", "20.5"], ["d2", "21.5"]]


def test_an_array_within_one_object_is_named(tmp_path):
    """With the command that writes its objects as lines."""
    path = tmp_path / "log.jsonl"
    rows = [{"device": "d", "v": i} for i in range(300)]
    for content, place in (
        ({"n": 300, "data": rows}, '["data"]'),
        ({"r": {"my rows": rows}}, '["r"]["my rows"]'),
    ):
        path.write_bytes(orjson.dumps(content))
        with pytest.raises(ConfigError) as got:
            read_sample(path, 1000)
        assert "has 300 objects; write these as lines" in str(got.value)
        assert f"jq -c '.{place}[]' LOG" in str(got.value)
    path.write_bytes(b'{"a": 1}\n')
    with pytest.raises(ConfigError, match=r"has 1 row; a proposal"):
        read_sample(path, 1000)


def test_framed_records_are_named(tmp_path):
    """As in the dead letters of the fold."""
    path = tmp_path / "log.jsonl"
    framed = b"\0\0\0\0\7" + b'{"device":"d"}\n'
    path.write_bytes(framed * 3)
    with pytest.raises(ConfigError, match="3 lines are framed by a schema registry, schema id 7"):
        read_sample(path, 1000)
    path.write_bytes(framed + b'{"device":"d"}\n' * 3)
    (note,) = read_sample(path, 1000).reasons
    assert note.startswith("1 line is framed by a schema registry, schema id 7")


@pytest.mark.parametrize(
    ("above", "remedy"),
    [
        ("# exported by x\n", "looks like a comment: remove it, as in tail -n +2"),
        ("#x,y\n", "looks like a comment: remove it, as in tail -n +2"),
        ("Report of 2024\n\n", "if the first line is a title, remove the lines above the header"),
        ('{"device": "d1", "temp": 20.5}\n', "looks like JSON: rename the file to .jsonl"),
        ('[{"device": "d1", "temp": 20.5}]\n', "looks like JSON: rename the file to .jsonl"),
    ],
)
def test_lines_above_a_table_are_no_columns(tmp_path, above, remedy):
    """The remedy is not another delimiter."""
    path = tmp_path / "log.csv"
    path.write_text(above + TABLE)
    names = next(read_text_rows(path, FileFormat())).names
    with pytest.raises(ConfigError) as got:
        require(path, names, [["device"]], FileFormat())
    assert remedy in str(got.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("log.jsonl", TABLE, "look like delimited text, not JSON: rename the file to .csv"),
        ("log.json", TABLE.replace(",", ";"), "look like delimited text, not JSON"),
        ("log.jsonl", "d1\t" + OBJECTS.replace("\n", "\nd2\t", 1), "remove it: cut -f2-"),
        ("log.jsonl", OBJECTS.replace('"', "'"), "texts of Python, not JSON; write them by json"),
        ("log.jsonl", "<html>\n<table>\n", "looks like HTML or XML: export the table as CSV"),
        ("log.csv", OBJECTS, "its first line looks like JSON: rename the file to .jsonl"),
        ("log.tsv", f"[{OBJECTS.replace('}', '},', 1)}]", "looks like JSON: rename the file"),
        ("log.csv", "<?xml version='1.0'?>\n<rows>\n", "looks like HTML or XML"),
        ("log.csv", "-- dump\nINSERT INTO t VALUES (1);\n", "looks like SQL: export the table"),
        ("log.csv", "INSERT INTO t VALUES (1, 2);\n" * 3, "looks like SQL: export the table"),
        ("log.csv", "BEGIN TRANSACTION;\nINSERT INTO t VALUES (1);\n", "looks like SQL"),
        ("log.csv", "BEGIN;\nINSERT INTO t VALUES (1, 2);\n" * 2, "looks like SQL"),
        ("log.csv", "SET NAMES utf8;\nINSERT INTO t VALUES (1);\n", "looks like SQL"),
        ("log.jsonl", "SET a.b = 'UTF8';\nINSERT INTO t VALUES (1);\n", "looks like SQL"),
        ("log.parquet", "begin\nINSERT INTO t VALUES (1);\n", "looks like SQL"),
        ("log.parquet", TABLE, "it is a text file, not Parquet; give it a name that ends in .csv"),
        ("log.parquet", OBJECTS, "its first line looks like JSON: rename the file to .jsonl"),
        ("log.parquet", "PK\x03\x04", "a workbook of Excel"),
        ("log.parquet", "\0\1\2\3", "it is no Parquet file, which begins with PAR1"),
    ],
)
def test_content_of_another_format_is_named(tmp_path, name, content, says):
    """By the proposal of a spec, and where a log is read by a spec."""
    path = tmp_path / name
    path.write_text(content)
    spec = FeatureSpec.parse(tomllib.loads(SPEC), "spec")
    for read in (lambda: read_sample(path, 1000), lambda: list(read_batches(path, spec))):
        with pytest.raises(ConfigError) as caught:
            read()
        assert says in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "header", ["begin,end,x", "begin;end;x", "Begin time,end,x", "set number,set=,x", "--,a,x"]
)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("log.csv", "no column device, which event.key"),
        ("log.jsonl", "look like delimited text, not JSON: rename the file to .csv"),
        ("log.parquet", "it is a text file, not Parquet; give it a name that ends in .csv"),
    ],
)
def test_a_header_with_a_word_of_sql_is_that_of_a_table(tmp_path, header, name, says):
    """A statement is recognized by more than its first word."""
    path, rows = tmp_path / name, "1,2,3\n".replace(",", header[-2]) * 3
    path.write_text(f"{header}\n{rows}")
    spec = FeatureSpec.parse(tomllib.loads(SPEC), "spec")
    with pytest.raises(ConfigError) as caught:
        list(read_batches(path, spec))
    assert says in str(caught.value)
    assert "SQL" not in str(caught.value)
    if name == "log.csv":
        assert len(read_sample(path, 1000).columns) == 3


@pytest.mark.parametrize(
    "content",
    [
        'torn, {"device"\n' + OBJECTS,
        OBJECTS + "a,b\nc,d\n",
        "one line of text\n",
        "lines\nof text\n",
    ],
)
def test_broken_lines_are_still_skipped(tmp_path, content):
    """A log of JSON with other lines is a log, and so is one whose content is not clear."""
    path = tmp_path / "log.jsonl"
    path.write_text(content)
    spec = FeatureSpec.parse(tomllib.loads(SPEC), "spec")
    records = [record for batch in read_batches(path, spec) for record in batch]
    assert len(records) == len(content.splitlines())
