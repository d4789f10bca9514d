"""The parts of a directory: joined by the names of their columns, or refused with the reason."""

import polars as pl
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.file_parts import list_parts
from stream_rnn.replay.files import read_batches
from stream_rnn.spec.sample import read_sample
from tests.unit.spec_command import run


def write_parts(path, *parts):
    """Write texts or bytes as the parts of a directory."""
    path.mkdir(exist_ok=True)
    for number, content in enumerate(parts):
        data = content if isinstance(content, bytes) else content.encode()
        (path / f"part-{number}.csv").write_bytes(data)
    return path


def table(header, *rows):
    """Return a header and rows as the text of a part."""
    return "".join(f"{line}\n" for line in (header, *rows))


def values(sample):
    """Return the words of each column of a sample."""
    return {column.path: column.words.to_list() for column in sample.columns}


def test_parts_are_joined_by_the_names_of_their_columns(tmp_path):
    """Whatever their order in a part is, as the fold reads them."""
    log = write_parts(
        tmp_path / "log",
        table("device,gateway,temp", "d1,g1,1.5", "d2,g1,2.5"),
        table("gateway,temp,device", "g2,3.5,d1"),
    )
    assert values(read_sample(log, 10)) == {
        "device": ["d1", "d2", "d1"],
        "gateway": ["g1", "g1", "g2"],
        "temp": ["1.5", "2.5", "3.5"],
    }


def test_a_column_that_a_part_lacks_is_named(tmp_path):
    """Its values are missing in the rows of that part."""
    log = write_parts(
        tmp_path / "log",
        table("device,temp", *(f"d{i % 3},{i * i % 7}" for i in range(30))),
        table("device,temperature,fw", *(f"d{i % 3},{i * i % 7},1" for i in range(30))),
    )
    sample = read_sample(log, 100)
    assert values(sample)["temp"][28:32] == ["0", "1", None, None]
    (note,) = (reason for reason in sample.reasons if "parts" in reason)
    for says in (
        "temp is not in part-1.csv",
        "temperature is not in part-0.csv; fw is not in part-0.csv",
    ):
        assert says in note
    proposal = run("init", log, "--key", "device", "--target", "temp").replace("\n#", "")
    assert "temp is not in part-1.csv; temperature is not in" in proposal


def test_parts_are_read_until_there_are_rows_enough(tmp_path):
    """The part behind them is not opened."""
    broken = b"device,temp\nd1,\xff\n"
    log = write_parts(tmp_path / "log", table("device,temp", "d1,1", "d2,2"), broken)
    assert read_sample(log, 2).rows == 2
    with pytest.raises(ConfigError, match=r"part-1\.csv: byte 0xFF"):
        read_sample(log, 3, {"encoding": "utf-8"})


def test_a_part_without_the_header_is_refused(tmp_path):
    """The parts of ``split -l``: the first line of the second is a row."""
    log = write_parts(tmp_path / "log", table("device,temp", "d1,1", "d2,2"), table("d3,3", "d4,4"))
    with pytest.raises(ConfigError) as got:
        read_sample(log, 10)
    assert "the first line of part-1.csv is d3, 3, and names no column of part-0.csv" in str(
        got.value
    )
    assert "the header line, which split writes to the first part alone" in str(got.value)


@pytest.mark.parametrize(
    ("one", "two", "option"),
    [
        ("town;v\nKöln;1\nUlm;2\n", "town;v\nKöln;1\nUlm;2\n".encode("cp1252"), "encoding"),
        ("town;v\nBonn;1.5\nUlm;2.5\n", "town;v\nBonn;1,5\nUlm;2,5\n", "decimal"),
        ("town;v\nBonn;1'500\nUlm;2'500\n", "town;v\nBonn;1 500\nUlm;2 500\n", "thousands"),
        ("town;v\nBonn;1,500.5\nUlm;2,500.5\n", "town;v\nBonn;1,5\nUlm;2,5\n", "decimal"),
    ],
)
@pytest.mark.parametrize("is_swapped", [False, True])
def test_parts_that_no_format_reads_are_refused(tmp_path, one, two, option, is_swapped):
    """One table ``[file]`` holds for all of them."""
    log = write_parts(tmp_path / "log", *((two, one) if is_swapped else (one, two)))
    with pytest.raises(ConfigError) as got:
        read_sample(log, 10)
    assert f"part-0.csv and part-1.csv have no {option} in common" in str(got.value)


def test_any_part_may_show_the_format(tmp_path):
    """The first part has neither a letter beyond ASCII nor a decimal mark."""
    late = "town;v\nKöln;1,5\nUlm;2,5\n".encode("cp1252")
    log = write_parts(tmp_path / "log", "town;v\nBonn;1\nUlm;2\n", late)
    sample = read_sample(log, 10)
    assert sample.file == {"delimiter": ";", "encoding": "cp1252", "decimal": ","}
    assert any(reason.startswith("In part-1.csv: decimal") for reason in sample.reasons)
    assert values(sample)["town"] == ["Bonn", "Ulm", "Köln", "Ulm"]


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        ("_delta_log/00000000000000000000.json", "a table of Delta Lake"),
        (".hoodie/hoodie.properties", "a table of Hudi"),
        ("_spark_metadata/0", "the output of Spark's structured streaming"),
        ("metadata/00001-4f.metadata.json", "a table of Iceberg"),
    ],
)
@pytest.mark.parametrize("what", ["log", "labels"])
@pytest.mark.parametrize("read", [".", "lake", "lake/day=7/hour=1"])
def test_a_directory_that_keeps_replaced_files_is_refused(tmp_path, mark, kind, what, read):
    """A table of a lake, a directory around it, and one of its partitions."""
    for name in (mark, "day=7/hour=1/part-0.jsonl", "day=7/hour=1/part-1.jsonl"):
        path = tmp_path / "lake" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"device": "d1"}\n')
    with pytest.raises(ConfigError) as got:
        list_parts(tmp_path / read, what)
    assert f"cannot read the {what} " in str(got.value)
    assert f"shows {kind}, whose directory also keeps files" in str(got.value)
    assert "write the table's current state as Parquet" in str(got.value)


@pytest.mark.parametrize(
    "names", ["e.jsonl e.jsonl.gz", "e.csv.gz e.csv.zst", "b/e.csv b/e.csv.GZ"]
)
def test_a_part_beside_its_compressed_copy_is_refused(tmp_path, names):
    """Also if the copy is not compressed: only its name tells."""
    for name in names.split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"device": "d1"}\n')
    for what in ("log", "labels"):
        with pytest.raises(ConfigError, match="differ only in the extension of a compression"):
            list_parts(tmp_path, what)


def test_parts_of_one_name_in_several_folders_are_no_copies(tmp_path):
    """Nor are names that begin alike."""
    for name in ("day=1/e.csv", "day=2/e.csv.gz", "day=2/e-1.csv", "metadata/a.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("device\nd1\n")
    assert len(list_parts(tmp_path)) == 4


SPEC = FeatureSpec.model_validate(
    {
        "name": "t",
        "event": {"key": ["device"]},
        "features": [{"name": "temp", "kind": "numeric", "path": "temp"}],
        "heads": [{"name": "next", "kind": "regression", "path": "temp"}],
    }
)


def parquet(path, *parts):
    """Write columns as the Parquet parts of a directory."""
    path.mkdir(exist_ok=True)
    for number, columns in enumerate(parts):
        pl.DataFrame(columns).write_parquet(path / f"part-{number}.parquet")
    return path


def keys(log):
    """Return the keys of all rows of a log."""
    return [record.key for batch in read_batches(log, SPEC) for record in batch]


def test_parts_whose_keys_have_different_types_are_refused(tmp_path):
    """Pandas writes integers as floats where one is missing: 7 and 7.0 would be two keys."""
    one = {"device": [7, 8], "temp": [1.0, 2.0]}
    for other, dtype in (([7.0, None], "Float64"), ([True, False], "Boolean")):
        log = parquet(tmp_path / dtype, one, {"device": other, "temp": [1.0, 2.0]})
        with pytest.raises(ConfigError) as got:
            keys(log)
        where = f"device of the key is Int64 in {log}/part-0.parquet, and {dtype} in {log}/part-1"
        assert where in str(got.value)
        assert ("7 and 7.0 would be two keys" in str(got.value)) == (dtype == "Float64")
        assert "write it with one type in all parts" in str(got.value)


@pytest.mark.parametrize("kinds", [("long", "double"), (["null", "long"], ["null", "double"])])
def test_parts_of_avro_have_one_type_of_key(tmp_path, kinds):
    """By their schemas."""
    fastavro = pytest.importorskip("fastavro")
    for number, kind in enumerate(kinds):
        fields = [{"name": "device", "type": kind}, {"name": "temp", "type": "double"}]
        schema = fastavro.parse_schema({"type": "record", "name": "e", "fields": fields})
        with (tmp_path / f"part-{number}.avro").open("wb") as file:
            fastavro.writer(file, schema, [{"device": 7, "temp": 1.0}])
    with pytest.raises(ConfigError, match=r"is long in .*part-0\.avro, and double in .*part-1"):
        keys(tmp_path)


def test_types_whose_texts_are_equal_mix(tmp_path):
    """A part without any key has no type, either."""
    parts = [
        pl.Series([7, 8], dtype=pl.Int32),
        pl.Series([7, None], dtype=pl.UInt64),
        pl.Series(["7", "A"]),
        pl.Series([None, None], dtype=pl.Float64),
    ]
    log = parquet(tmp_path, *({"device": part, "temp": [1.0, 2.0]} for part in parts))
    assert keys(log) == [b"7", b"8", b"7", None, b"7", b"A", None, None]


def test_a_sample_has_the_texts_of_each_part(tmp_path):
    """As the fold reads them, and says whose types differ."""
    log = parquet(
        tmp_path,
        {"device": [7, 8], "temp": [1.0, 2.0], "ok": [True, False]},
        {"device": [7.0, None], "temp": ["3.0", "x"], "ok": [1, 0]},
    )
    sample = read_sample(log, 10)
    assert values(sample) == {
        "device": ["7", "8", "7.0", None],
        "temp": ["1.0", "2.0", "3.0", "x"],
        "ok": ["true", "false", "1", "0"],
    }
    device = next(column for column in sample.columns if column.path == "device")
    assert device.numbers.tolist() == [7, 8, 7]
    notes = [reason.partition(":")[0] for reason in sample.reasons]
    first, second = (f"{log}/part-{number}.parquet" for number in (0, 1))
    assert notes == [
        f"device is Int64 in {first}, and Float64 in {second}",
        f"temp is Float64 in {first}, and String in {second}",
        f"ok is Boolean in {first}, and Int64 in {second}",
    ]
    assert "7 and 7.0 would be two keys" in sample.reasons[0]
