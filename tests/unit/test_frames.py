"""A data frame as a log: of polars and of pandas, equal to a file of the same events."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pandas as pd
import polars as pl
import pytest

from stream_rnn import propose_spec
from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.log import LabelOptions, open_log
from stream_rnn.notebook.options import LogOptions
from stream_rnn.replay.contents import Contents
from stream_rnn.replay.files import read_batches
from stream_rnn.replay.frames import check_frame, is_frame, read_frame
from stream_rnn.settings import Settings
from stream_rnn.spec.sample import read_sample

SPEC = {
    "format": 1,
    "name": "frames",
    "event": {"key": ["machine", "line"], "time": {"path": "at", "unit": "s"}},
    "features": [
        {"name": "load", "kind": "numeric", "path": "load", "missing": "indicator"},
        {"name": "word", "kind": "categorical", "path": "word", "vocabulary": ["a", "1"]},
    ],
    "heads": [{"name": "past", "kind": "binary", "of": "now", "path": "past"}],
}
COLUMNS = {
    "machine": [1, 2, None, 1],
    "line": ["x", "y", "z", "x"],
    "at": [10, 11, 12, 13],
    "load": [0.5, None, 2.0, 1e300],
    "word": ["a", None, "a", "b"],
    "past": [True, False, None, True],
}


def spec_with(**event):
    """Return the spec with other parts of the event."""
    return FeatureSpec.parse(SPEC | {"event": SPEC["event"] | event}, "test")


def records_of(rows, spec):
    """Return the records of a file or frame as tuples."""
    batches = read_batches(rows, spec)
    return [(r.offset, r.timestamp, r.key, r.value) for batch in batches for r in batch]


def pandas_frame(**more):
    """Return the events as pandas holds integers with missing values."""
    columns = COLUMNS | {"machine": pd.array(COLUMNS["machine"], dtype="Int64")} | more
    return pd.DataFrame(columns)


@pytest.mark.parametrize("frame", [pl.DataFrame(COLUMNS), pl.LazyFrame(COLUMNS), pandas_frame()])
def test_a_frame_has_the_records_of_a_file(frame, tmp_path):
    """Keys, timestamps and values: as of Parquet, byte for byte, and as the texts of a CSV file."""
    spec = spec_with()
    pl.DataFrame(COLUMNS).write_csv(tmp_path / "log.csv")
    pl.DataFrame(COLUMNS).write_parquet(tmp_path / "log.parquet")
    read = read_frame(frame)
    check_frame(frame, read, spec)
    records = records_of(read, spec)
    assert records == records_of(tmp_path / "log.parquet", spec)
    assert [record[2] for record in records] == [b"1-x", b"2-y", None, b"1-x"]
    texts = records_of(tmp_path / "log.csv", spec)
    assert [record[:3] for record in texts] == [record[:3] for record in records]
    for of_frame, of_text in zip(records, texts, strict=True):
        machine = json.loads(of_frame[3])["machine"]  # no feature, so the file's own text
        own_text = {"machine": None if machine is None else str(machine)}
        assert json.loads(of_text[3]) == json.loads(of_frame[3]) | own_text


@pytest.mark.parametrize(
    "moments",
    [
        pd.to_datetime(["2026-01-01T02:00:00", "2026-01-01T02:00:01"]).tz_localize("Europe/Berlin"),
        pd.to_datetime(["2026-01-01T01:00:00", "2026-01-01T01:00:01"], utc=True),
        pd.to_datetime(["2026-01-01T01:00:00", "2026-01-01T01:00:01"]),
        pd.Series(
            [datetime(2026, 1, 1, 4, 0, s, tzinfo=timezone(timedelta(hours=3))) for s in (0, 1)]
        ),
        ["2026-01-01T01:00:00Z", "2026-01-01T01:00:01Z"],
    ],
    ids=["zone", "utc", "no zone is UTC", "offset", "text"],
)
def test_a_moment_of_pandas_keeps_its_zone(moments):
    """The event time is the moment, whatever the zone that it is written in."""
    spec = spec_with(key=["line"], time={"path": "at", "unit": "iso8601"})
    given = pd.DataFrame({"line": ["x", "y"], "at": moments})
    frame = read_frame(given)
    check_frame(given, frame, spec)
    start = int(datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp() * 1000)
    assert [record[1] for record in records_of(frame, spec)] == [start, start + 1000]


def test_a_decimal_number_is_a_number_where_the_spec_reads_one():
    """As in a Parquet file; elsewhere it is the text that JSON carries."""
    frame = pandas_frame(load=[Decimal("1.50")] * 4, price=[Decimal("1.50")] * 4)
    check_frame(frame, read_frame(frame), spec_with())
    content = json.loads(records_of(read_frame(frame), spec_with())[0][3])
    assert (content["load"], content["price"]) == (1.5, "1.50")


def test_missing_values_of_pandas_are_null():
    """None, NaN, NaT and NA all mean that there is no value."""
    frame = read_frame(
        pd.DataFrame(
            {
                "float": [1.5, float("nan")],
                "time": pd.to_datetime(["2026-01-01", None]),
                "whole": pd.array([1, None], dtype="Int64"),
                "kind": pd.Categorical(["a", None]),
                "is": [True, None],
            }
        )
    )
    assert frame.row(1) == (None,) * 5
    assert frame.row(0) == (1.5, datetime(2026, 1, 1), 1, "a", True)  # noqa: DTZ001  # it has no zone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"machine": [1.0, None, 2.0, 1.0]}, "column machine of the frame contains floats"),
        ({"word": [1.0, None, 2.0, 1.0]}, "column word of the frame contains floats"),
        ({"at": pd.to_datetime([0, 1, 2, 3])}, "column at of the frame is Datetime.*needs number"),
        ({"load": ["1", "2", "3", "4"]}, "column load of the frame is String.*needs number"),
        (
            {"word": [1, "a", 2.5, None]},
            r"column word of the frame cannot be read as one type: TypeError: [^\n]*; cast it$",
        ),
        ({3: [1, 2, 3, 4]}, "column 3 of the frame: column names must be texts"),
    ],
)
def test_what_the_types_cannot_say_is_an_error_that_names_the_column(change, message):
    """A file would skip every row; a person who has the frame at hand can cast a column."""
    frame = pd.concat([pandas_frame().drop(columns=list(change), errors="ignore")], axis=1)
    frame = frame.assign(**{k: v for k, v in change.items() if isinstance(k, str)})
    for name in change:
        frame[name] = change[name]
    with pytest.raises(ConfigError, match=message):
        check_frame(frame, read_frame(frame), spec_with())


def test_a_key_that_is_the_index_is_said_to_be():
    """Pandas keeps an index beside the columns, and ``set_index`` moves a column there."""
    frame = pandas_frame().set_index("line")
    with pytest.raises(ConfigError, match=r"column line is not in the frame.*call reset_index\(\)"):
        check_frame(frame, read_frame(frame), spec_with())


def test_a_frame_is_recognized_by_what_it_can_do():
    """Pandas need not be installed."""
    assert is_frame(pl.DataFrame())
    assert is_frame(pl.LazyFrame())
    assert is_frame(pd.DataFrame())
    assert not any(map(is_frame, ("events.csv", [1], {"a": [1]})))


def test_a_proposal_takes_the_first_rows_of_a_frame():
    """As it does of a file."""
    assert read_sample(pl.DataFrame(COLUMNS), 3).columns[2].floats.tolist() == [10, 11, 12]
    with pytest.raises(ConfigError, match="the data frame has 1 row;"):
        read_sample(pl.DataFrame(COLUMNS).head(1), 3)


@pytest.mark.parametrize("value", [None, 5, pl.Series([1]), {"a": [1]}])
def test_what_is_no_frame_is_an_error_with_its_type(value):
    """The message names what a log or labels may be."""
    of = "a path or a data frame of polars or pandas, not"
    with pytest.raises(ConfigError, match=f"a log is {of} {type(value).__name__}"):
        propose_spec(value)
    with pytest.raises(ConfigError, match=f"labels are {of} {type(value).__name__}"):
        read_frame(value, "labels")


def test_labels_that_are_no_frame_are_an_error():
    """As a log is."""
    with pytest.raises(ConfigError, match=r"labels are a path or a data frame .*, not int"):
        LabelOptions(5).read(spec_with())


@pytest.mark.parametrize("frame", [pl.DataFrame(), pl.DataFrame(COLUMNS).clear(), pd.DataFrame()])
def test_a_frame_without_rows_has_too_few_for_a_proposal(frame):
    """A frame without rows has no batches."""
    with pytest.raises(ConfigError, match="the data frame has 0 rows; a proposal needs at least 2"):
        propose_spec(frame)


def test_a_proposal_without_a_key_names_the_index():
    """The key can be the index, which is no column."""
    frame = pd.DataFrame(
        {"x": [0.5, 1.5, 0.5, 1.5]}, index=pd.Index(["a", "b", "a", "b"], name="dev")
    )
    with pytest.raises(
        ConfigError, match=r"no field looks like a key.* The index dev .*call reset_index\(\)"
    ):
        propose_spec(frame)
    with pytest.raises(ConfigError) as raised:
        propose_spec(frame.reset_index(drop=True))
    assert "index" not in str(raised.value)


def test_a_lazy_frame_that_cannot_be_collected_is_an_error(tmp_path):
    """The file may be missing."""
    lazy = pl.scan_csv(tmp_path / "missing.csv")
    with pytest.raises(ConfigError, match="cannot read the log from the frame: FileNotFoundError"):
        read_frame(lazy)


OBJECTS = {
    "period": pd.period_range("2020-01", periods=4, freq="M"),
    "range": pd.interval_range(0, 4),
    "complex": [1j] * 4,
    "object": [object()] * 4,
}


def test_columns_of_objects_that_no_field_reads_are_dropped():
    """The records are those of the frame without them, and a proposal accepts the same frame."""
    spec, frame = spec_with(), pandas_frame(**OBJECTS)
    log = open_log(frame, spec, LogOptions(), Settings())
    assert records_of(log.rows, spec) == records_of(read_frame(pandas_frame()), spec)
    proposed = propose_spec(frame, key=["machine", "line"], target="past").spec
    assert open_log(frame, proposed, LogOptions(), Settings()).rows.columns == list(COLUMNS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("line", "column line of the frame is Object; cast it to text or numbers"),
        ("at", "column at of the frame is Object; cast it"),
        ("load", "column load of the frame is Object, but the spec needs number"),
        ("word", "column word of the frame is Object, but the spec needs"),
        ("past", "column past of the frame is Object, but the spec needs"),
    ],
)
def test_a_column_of_objects_that_a_field_reads_is_refused_by_its_type(name, message):
    """Key, event time, feature and target."""
    frame = pandas_frame(**{name: OBJECTS["period"]})
    with pytest.raises(ConfigError, match=message):
        open_log(frame, spec_with(), LogOptions(), Settings())


def test_columns_of_objects_in_labels_are_ignored():
    """No head reads them."""
    heads = [{"name": "late", "kind": "binary", "of": "label", "path": "late"}]
    spec = FeatureSpec.parse(SPEC | {"heads": heads}, "test")
    frame = pd.DataFrame({"offset": [0, 1, 2, 3], "late": [True, False] * 2} | OBJECTS)
    records = [LogRecord(offset, 0, b"k", b"{}") for offset in range(4)]
    contents = Contents(spec, Settings())
    assert LabelOptions(frame).read(spec).of(0, records, contents) == {"late": [True, False] * 2}
