"""Avro container files, as logs and as labels: what fastavro writes, whole and damaged."""

import io
import json
from datetime import UTC, datetime

import fastavro
import numpy as np
import pytest
import zstandard

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.formats.logical import Moment
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.avro_files import CODECS, as_json, read_avro_contents, read_avro_values
from stream_rnn.replay.files import read_batches
from stream_rnn.training.labels import read_labels
from tests.unit.framed_records import SPEC, TIME_MS, WRITER, Shelf, avro, event, records, settings

FILE_WRITER = {**WRITER, "fields": [{"name": "machine", "type": "string"}, *WRITER["fields"]]}
SPEC_OF_FILE = FeatureSpec.model_validate(SPEC)


def row(i):
    """Return an event as fastavro takes it."""
    at = datetime.fromtimestamp((TIME_MS + i) / 1000, UTC)
    return {**event(i), "machine": f"m-{i % 3}", "at": at, "notes": {"a": "b"}}


def write(path, rows, codec="null", schema=FILE_WRITER, block_bytes=200):
    """Write a file, in small blocks."""
    with path.open("wb") as file:
        fastavro.writer(file, schema, rows, codec=codec, sync_interval=block_bytes)
    return path


def read(path, spec=SPEC_OF_FILE, **options):
    """Return the records of a file."""
    return [record for batch in read_batches(path, spec, **options) for record in batch]


def has(codec):
    """Return whether fastavro can write a codec here."""
    try:
        fastavro.writer(io.BytesIO(), "int", [1], codec=codec)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("codec", CODECS)
def test_a_file_of_each_codec_has_the_events_of_a_topic(tmp_path, codec):
    """The decoder gives the same for its rows as for framed records, and for JSON."""
    path = tmp_path / "log.avro"
    if has(codec):
        write(path, map(row, range(200)), codec)
    else:  # fastavro needs another package to write zstandard
        bodies = b"".join(avro(FILE_WRITER, row(i), 7)[5:] for i in range(200))
        data = zstandard.compress(bodies)
        path.write_bytes(container(codec, 200, data, json.dumps(FILE_WRITER)))
    found = Decoder(SPEC_OF_FILE, settings()).decode(read(path))
    schemas = Schemas(Shelf({"7": Schema("AVRO", json.dumps(FILE_WRITER))}))
    framed = [avro(FILE_WRITER, row(i), 7) for i in range(200)]
    topic = Decoder(SPEC_OF_FILE, settings(), schemas=schemas).decode(records(framed))
    as_text = [json.dumps(event(i)).encode() for i in range(200)]
    plain = Decoder(SPEC_OF_FILE, settings()).decode(records(as_text))
    for other in (topic, plain):
        assert repr(found.columns) == repr(other.columns)
        assert np.array_equal(found.time_ms, other.time_ms)
    assert found.keys == [f"m-{i % 3}".encode() for i in range(200)]
    assert not found.skips


def test_a_directory_and_partitions_and_the_order_of_times(tmp_path):
    """Files of .avro are parts as others are."""
    for part in (2, 10):
        folder = tmp_path / "log" / f"day={part}"
        folder.mkdir(parents=True)
        write(folder / f"part-{part}.avro", [row(part * 10 + i) for i in range(10)], "deflate")
    rows = read(tmp_path / "log")
    assert [record.timestamp - TIME_MS for record in rows] == [*range(20, 30), *range(100, 110)]
    assert json.loads(rows[0].value)["day"] == "2"
    some = [read(tmp_path / "log", partition=p, partitions=2) for p in range(2)]
    assert sorted(r.offset for part in some for r in part) == list(range(20))
    backwards = write(tmp_path / "back.avro", [row(10_000_000 * (9 - i)) for i in range(9)])
    with pytest.raises(ConfigError, match="sort-by-time"):
        read(backwards)
    assert len(read(backwards, sort_by_time=True)) == 9


def test_numbers_that_are_not_finite_stay_what_they_are(tmp_path):
    """A row with NaN is a dead letter as in a topic, and not a row without the field."""
    rows = [{**row(i), "load": value} for i, value in enumerate((1.0, float("nan"), float("inf")))]
    found = Decoder(SPEC_OF_FILE, settings()).decode(read(write(tmp_path / "log.avro", rows)))
    assert {i: error.code for i, error in found.skips.items()} == {
        1: "wrong_schema",
        2: "wrong_schema",
    }
    assert as_json({"a": None, "b": 2**70}) == b'{"a":null,"b":1180591620717411303424}'


def test_no_byte_of_a_damaged_file_is_lost_silently(tmp_path):
    """Each cut but those between blocks, and each changed marker, is an error with the place."""
    path = write(tmp_path / "log.avro", map(row, range(20)), "deflate")
    whole = path.read_bytes()
    count = len(read(path))
    (first, *_), damaged = _block_ends(whole), tmp_path / "damaged.avro"
    for end in range(1, len(whole)):
        damaged.write_bytes(whole[:end])
        if end in _block_ends(whole):
            assert len(read(damaged)) < count
            continue
        with pytest.raises(ConfigError, match=r"begins with Obj|header is damaged|at offset \d+"):
            read(damaged)
    damaged.write_bytes(whole[: first + 5] + b"\xff" * 9 + whole[first + 14 :])
    with pytest.raises(ConfigError, match=f"block 1 at offset {first} is damaged: .*copy or write"):
        read(damaged)


def _block_ends(whole):
    """Return the offsets behind the header and behind each block."""
    sync, ends, at = whole[-16:], [], 0
    while (at := whole.find(sync, at) + 16) > 15:
        ends.append(at)
    return ends


def container(codec, count, data, schema='"int"', size=None):
    """Return the bytes of a file with one block."""
    header = {"magic": b"Obj\x01", "meta": {"avro.schema": schema.encode()}, "sync": b"s" * 16}
    header["meta"]["avro.codec"] = codec.encode()
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.schema.parse_schema(HEADER), header)
    for number in (count, len(data) if size is None else size):
        fastavro.schemaless_writer(out, "long", number)
    return out.getvalue() + data + b"s" * 16


HEADER = {
    "type": "record",
    "name": "Header",
    "fields": [
        {"name": "magic", "type": {"type": "fixed", "name": "magic", "size": 4}},
        {"name": "meta", "type": {"type": "map", "values": "bytes"}},
        {"name": "sync", "type": {"type": "fixed", "name": "sync", "size": 16}},
    ],
}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (container("null", 2, b"\x02"), "not of the schema"),
        (container("null", 1, b"\x02\x02"), "bytes follow the last record"),
        (container("null", -1, b"\x02"), "-1 records"),
        (container("null", 1, b"\x02", size=2**40), "records in"),
        (container("null", 1, b"\x02", size=-1), "records in"),
        (container("null", 2**60, b"", schema='"null"'), "records in 0 bytes"),
        (container("deflate", 1, b"\xff\xff"), "does not decompress"),
        (container("deflate", 1, b""), "does not decompress"),
        (container("snappy", 1, b"\xff\xff\xff\xff\x0f\x00"), "does not decompress|decompressed"),
        (container("snappy", 1, b"\x01\x00\x02" + b"crc!"), "checksum"),
        (container("zstandard", 1, b"no zstd"), "does not decompress"),
        (container("bzip2", 1, b"no bzip2"), "does not decompress"),
        (container("xz", 1, b"no xz"), "does not decompress"),
        (container("lzo", 1, b""), "codec 'lzo' is not known"),
        (container("null", 1, b"", schema="{"), "no schema of Avro"),
        (b"Obj\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "header is damaged"),
        (b"Obj\x01\x02\x02a\xfe\xff\xff\xff\x0f", "header is damaged"),
        (b"Obj\x00", "begins with Obj"),
        (b"PAR1", "Parquet"),
        (b'{"a": 1}', "jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, content, why):
    """In one line, with the file; nothing else is raised."""
    path = tmp_path / "log.avro"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        list(read_avro_contents(path, Moment()))
    assert str(path) in str(caught.value)


def test_a_block_does_not_decompress_without_a_bound(tmp_path, monkeypatch):
    """A small file must not fill the memory."""
    monkeypatch.setattr("stream_rnn.replay.avro_files.DECOMPRESSED_BYTES_MAX", 1000)
    schema = {"type": "record", "name": "R", "fields": [{"name": "s", "type": "string"}]}
    for codec in filter(has, CODECS):
        if codec == "null":
            continue
        path = write(tmp_path / f"{codec}.avro", [{"s": "a" * 100_000}], codec, schema)
        with pytest.raises(ConfigError, match="decompressed"):
            list(read_avro_values(path, Moment()))


def test_labels_may_be_a_file_of_avro(tmp_path):
    """They join as those of other formats."""
    head = {
        "name": "why",
        "kind": "multiclass",
        "of": "label",
        "path": "why",
        "classes": ["a", "b"],
    }
    spec = FeatureSpec.model_validate({**SPEC, "heads": [head]})
    fields = [{"name": "id", "type": "long"}, {"name": "why", "type": ["null", "string"]}]
    schema = {"type": "record", "name": "Label", "fields": fields}
    rows = [{"id": 1, "why": "a"}, {"id": 2, "why": None}]
    labels = read_labels(write(tmp_path / "l.avro", rows, schema=schema), "id", spec)
    texts = tmp_path / "l.jsonl"
    texts.write_text("\n".join(map(json.dumps, rows)))
    assert labels.values == read_labels(texts, "id", spec).values


def test_a_container_with_another_name_names_the_right_one(tmp_path):
    """The content is never guessed from."""
    path = write(tmp_path / "log.jsonl", map(row, range(3)))
    with pytest.raises(ConfigError, match=r"ends in \.avro"):
        read(path)
