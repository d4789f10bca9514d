"""Compressed logs: read whatever their name is, and named if they are damaged."""

import gzip

import pytest
import zstandard

from stream_rnn.replay import text_files
from stream_rnn.replay.logs import FileLog
from stream_rnn.training.labels import read_labels
from tests.unit.test_delimited import spec_of
from tests.unit.test_file_formats import LINES, ROWS, error, rows_of

TABLE = ("id,x\n" + "".join(f"{row['id']},{row['x']}\n" for row in ROWS)).encode()
FRAMES = zstandard.ZstdCompressor()


def zstd(content):
    """Compress by zstd, as two frames with a frame between them that is skipped."""
    half = len(content) // 2
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"
    return FRAMES.compress(content[:half]) + skippable + FRAMES.compress(content[half:])


def gz(content):
    """Compress by gzip, as two members."""
    half = len(content) // 2
    return gzip.compress(content[:half]) + gzip.compress(content[half:])


@pytest.mark.parametrize("chunk", [1, 7, 1 << 17])
@pytest.mark.parametrize("compress", [gz, zstd])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.jsonl.gz", LINES),
        ("log.ndjson.zst", LINES),
        ("log.csv.gz", TABLE),
        ("log.csv.zst", TABLE),
        ("log.tsv.zst", TABLE.replace(b",", b"\t")),
        ("log.csv", TABLE),
        ("log.jsonl", LINES),
    ],
)
def test_a_compressed_file_is_read_whatever_its_name(
    tmp_path, monkeypatch, name, content, compress, chunk
):
    """Its magic bytes decide, and all of its members and frames are read."""
    monkeypatch.setattr(text_files, "BUFFER_BYTES", chunk)
    path = tmp_path / name
    path.write_bytes(compress(content))
    assert rows_of(path) == ROWS
    assert FileLog(path, spec_of()).name == "log"


def test_a_name_of_a_compressed_file_may_lie(tmp_path):
    """A file that is not compressed is read as it is."""
    path = tmp_path / "log.csv.gz"
    path.write_bytes(TABLE)
    assert rows_of(path) == ROWS


@pytest.mark.parametrize("compress", [gzip.compress, FRAMES.compress])
@pytest.mark.parametrize("cut", [1, 5, 20])
@pytest.mark.parametrize(("name", "content"), [("log.jsonl.x", LINES), ("log.csv.x", TABLE)])
def test_a_truncated_archive_is_an_error(tmp_path, name, content, compress, cut):
    """However little of it is missing; a shorter log would be another fold."""
    path = (tmp_path / name).with_suffix(".gz")
    path.write_bytes(compress(content)[:-cut])
    message = error(path)
    assert f"{path}: the compressed file ends early; it is incomplete" in message


@pytest.mark.parametrize("compress", [gzip.compress, FRAMES.compress])
def test_a_damaged_archive_is_an_error(tmp_path, compress):
    """Its checksum, or its structure."""
    path, content = tmp_path / "log.csv.gz", bytearray(compress(TABLE))
    content[len(content) // 2 : len(content) // 2 + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert "the compressed file is damaged, so copy or write it again" in error(path)


@pytest.mark.parametrize(
    ("magic", "says"),
    [
        (b"PK\x03\x04", "a zip archive, or a workbook of Excel"),
        (b"BZh9", "bunzip2"),
        (b"\xfd7zXZ\0", "unxz"),
        (b"PAR1", "give it a name that ends in .parquet"),
        (b"Obj\x01", "an Avro container file"),
        (b"\xd0\xcf\x11\xe0", "a workbook of an old Excel (.xls); save it as CSV"),
        (b"SQLite format 3\0", "export the table as CSV"),
        (b"ARROW1", "write it as Parquet"),
        (b"\x04\x22\x4d\x18", "compressed by lz4"),
        (b"\x89HDF\r", "write the table as Parquet or CSV"),
    ],
)
def test_another_format_is_named(tmp_path, magic, says):
    """With what to do about it."""
    path = tmp_path / "log.csv"
    path.write_bytes(magic + b"more")
    assert says in error(path)


def test_labels_may_be_compressed(tmp_path):
    """They are read by the same rules, and ids are texts."""
    head = {"kind": "binary", "name": "late", "of": "label", "path": "y"}
    path = tmp_path / "labels.csv.gz"
    path.write_bytes(gzip.compress(b"id;y\n007;1\n7;false\n;1\n8;NA\n"))
    labels = read_labels(path, "id", spec_of(heads=[head], delimiter=";"))
    assert labels.values == {"late": {"007": True, "7": False, "8": None}}
