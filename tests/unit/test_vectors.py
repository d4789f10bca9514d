"""Arrays of numbers as features: what is an event, what a place becomes, and in which files."""

import json
import tomllib

import numpy as np
import polars as pl
import pytest

from stream_rnn import propose_spec
from stream_rnn.errors import ConfigError, SpecError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.frames import check_frame
from stream_rnn.replay.logs import FileLog
from stream_rnn.settings import Settings
from stream_rnn.spec.spec_check import check_log
from stream_rnn.testing import record
from stream_rnn.training.data_checks import check_examples
from stream_rnn.training.dataset import read_events
from stream_rnn.training.examples import fit

SETTINGS = Settings.build(app="app", source="log")
HEAD = {"name": "next", "kind": "regression", "path": "y"}
KEYED = {"key": ["k"], "time": {"path": "t", "unit": "s"}}


def spec_of(*others, event=KEYED, **more):
    """Make a spec with a vector of three places."""
    vector = {"name": "v", "kind": "vector", "path": "v", "length": 3, **more}
    content = {"name": "t", "event": event, "features": [vector, *others], "heads": [HEAD]}
    return FeatureSpec.parse(content, "t.toml")


def encoded(spec, *arrays):
    """Decode and encode events of some arrays; return x, and the reason of each skip."""
    records = [record(i, b"k", {"v": array}, 0) for i, array in enumerate(arrays)]
    decoded = Decoder(spec, SETTINGS).decode(records)
    x, errors = Encoder(spec).encode(decoded.columns, decoded.time_ms)
    reasons = {row: (e.code, str(e)) for row, e in decoded.skips.items()}
    rows = decoded.rows.tolist()
    return x, reasons | {rows[i]: (e.code, str(e)) for i, e in errors.items()}


PLACES = [{"mean": 1.0, "std": 2.0, "min": 0.0, "max": 4.0}] * 2 + [
    {"mean": 5.0, "std": 0.5, "min": 5.0, "max": 5.0}
]


@pytest.mark.parametrize(
    ("scaling", "whole", "gap"),
    [
        ("standard", [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]),
        ("minmax", [0.75, 0.25, 1e12], [0.25, 0.25, 0.0]),
        ("none", [3.0, 1.0, 6.0], [1.0, 1.0, 5.0]),
    ],
)
def test_each_place_is_scaled_by_itself_and_a_missing_one_has_its_mean(scaling, whole, gap):
    """The indicator is the share of places that are missing; an empty array is missing as null."""
    spec = spec_of(event={}, scaling=scaling, fitted=PLACES)

    x, errors = encoded(spec, [3, 1.0, 6], [None, 1, None], None, [])

    assert not errors
    expected = [[*whole, 0], [gap[0], whole[1], gap[2], 2 / 3], [*gap, 1], [*gap, 1]]
    assert np.allclose(x, np.array(expected, np.float32))
    assert Encoder(spec).names == ("v_0", "v_1", "v_2", "v_missing")


@pytest.mark.parametrize(
    ("array", "code", "message"),
    [
        ([1, 2], "wrong_schema", "v: an array of 2 values; its length must be 3"),
        ([1, 2, 3, 4], "wrong_schema", "v: an array of 4 values; its length must be 3"),
        ([1, "2", 3], "wrong_schema", "v: place 1: input should be a valid number"),
        ([1, 2, True], "wrong_schema", "v: place 2: input should be a valid number"),
        ([[1], 2, 3], "wrong_schema", "v: place 0: input should be a valid number"),
        ("[1, 2, 3]", "wrong_schema", "v: input should be an array"),
        (7, "wrong_schema", "v: input should be an array"),
        ([1, 2, -1e39], "not_finite", "v: place 2 is not finite as float32"),
    ],
)
def test_an_array_that_does_not_fit_costs_its_event_alone(array, code, message):
    """The reason names the place."""
    x, errors = encoded(spec_of(event={}, scaling="none"), [1, 2, 3], array, [4, 5, 6])

    assert errors == {1: (code, message)}
    assert x[0].tolist() == [1, 2, 3, 0]
    assert x[-1].tolist() == [4, 5, 6, 0]


def test_an_array_may_be_required_in_all_its_places():
    """With ``missing = "error"``, an event that lacks a place is skipped."""
    spec = spec_of(event={}, missing="error")

    _, errors = encoded(spec, [1, 2, 3], None, [], [1, None, 3])

    assert {row: code for row, (code, _) in errors.items()} == dict.fromkeys((1, 2, 3), "missing")
    assert errors[3][1] == "v: place 1 is missing"
    assert Encoder(spec).names == ("v_0", "v_1", "v_2")


def test_training_fits_each_place_and_names_places_that_teach_nothing(tmp_path):
    """Places of different units keep their own scaling."""
    path = tmp_path / "log.jsonl"
    lines = [
        {"k": i % 5, "t": i, "y": i, "v": [i, 1000.0 * (i % 7), 3.0 if i % 2 else None]}
        for i in range(300)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    spec = spec_of()
    examples = read_events(FileLog(path, spec), spec, SETTINGS).examples

    fitted = fit(spec, examples)

    places = fitted.features[0].fitted
    assert [place.max for place in places] == [299.0, 6000.0, 3.0]
    assert places[1].std == pytest.approx(np.std([1000.0 * (i % 7) for i in range(300)]))
    (warning,) = [text for text in check_examples(fitted, examples) if "places" in text]
    assert warning == (
        "feature v: 1 of 3 places of v are constant in the training part, the first of them 2"
    )


def test_the_same_arrays_are_the_same_events_in_every_file(tmp_path):
    """Lists of Parquet, arrays of JSON, and texts of JSON in a delimited file."""
    arrays = [[1.5, None, 3.0], [4.0, 5.0, 6.0], None, [], [1.0, 2.0]]
    frame = pl.DataFrame({"k": ["a"] * 5, "t": range(5), "y": range(5), "v": arrays})
    frame.write_parquet(tmp_path / "log.parquet")
    frame.write_ndjson(tmp_path / "log.jsonl")
    texts = [None if array is None else json.dumps(array) for array in arrays]
    frame.with_columns(v=pl.Series(texts)).write_csv(tmp_path / "log.csv")
    spec = spec_of(scaling="none")

    read = {}
    for name in ("log.parquet", "log.jsonl", "log.csv"):
        events = read_events(FileLog(tmp_path / name, spec), spec, SETTINGS)
        x, _ = Encoder(spec).encode(events.examples.columns, events.examples.time_ms)
        checked = check_log(tmp_path / name, spec, SETTINGS, 100).fields[0]
        counts = checked.has, checked.lacks, checked.wrong
        read[name] = (x.tolist(), dict(events.skips), counts)

    assert read["log.jsonl"] == read["log.parquet"] == read["log.csv"]
    assert read["log.csv"][1:] == ({"wrong_schema": 1}, (2, 2, 1))


def test_a_text_of_a_delimited_file_that_is_no_array_costs_its_row_alone(tmp_path):
    """Numbers that blanks separate are no array; the reason says so."""
    path = tmp_path / "log.csv"
    path.write_text('k,t,y,v\na,1,1,"[1,2,3]"\na,2,1,1 2 3\na,3,1,"[1,2"\na,4,1,NA\n')
    spec = spec_of()

    events = read_events(FileLog(path, spec), spec, SETTINGS)

    assert dict(events.skips) == {"wrong_schema": 2}
    assert events.examples.columns["v"] == [[1, 2, 3], None]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"name": "w", "kind": "vector", "path": "v", "length": 4}, "no value has them all"),
        ({"name": "w", "kind": "numeric", "path": "v"}, "no value has them all"),
        ({"name": "v_1", "kind": "boolean", "path": "b"}, "name of a column of another feature"),
        ({"name": "w", "kind": "vector", "path": "w", "length": 2049}, "length"),
        ({"name": "w", "kind": "vector", "path": "w", "length": 1, "fitted": [{}, {}]}, "2 places"),
    ],
)
def test_a_vector_that_cannot_be_is_refused(other, message):
    """Two lengths of one field, a scalar and an array, and names that meet."""
    with pytest.raises(SpecError, match=message):
        spec_of(other)


def test_a_column_of_another_type_is_refused_before_a_frame_is_read():
    """A list of texts is no array of numbers; a list of integers is one."""
    spec = spec_of()
    good = pl.DataFrame({"k": ["a"], "t": [1], "y": [1.0], "v": [[1, 2, 3]]})
    check_frame(good, good, spec)
    bad = good.with_columns(v=pl.Series([["a", "b", "c"]]))
    with pytest.raises(ConfigError, match=r"column v of the frame is List\(String\)"):
        check_frame(bad, bad, spec)


@pytest.mark.parametrize("name", ["log.jsonl", "log.parquet", "log.csv"])
def test_a_vector_is_proposed_for_arrays_of_numbers(name, tmp_path):
    """The comment gives the reason; every row of the sample is an event of the proposed spec."""
    arrays = [[float(i % 9), float(i * i % 31), None if i == 4 else 1.0] for i in range(600)]
    frame = pl.DataFrame(
        {
            "device": [f"d{i % 7}" for i in range(600)],
            "at": [1_700_000_000 + 60 * i for i in range(600)],
            "load": [float(i % 13) + i % 5 / 7 for i in range(600)],
            "sensors": arrays,
            "sensors_1": [float(i % 11) / 3 for i in range(600)],
            "ragged": [[1.0] * (1 + i % 3) for i in range(600)],
        }
    )
    if name == "log.csv":
        texts = {
            c: pl.Series([json.dumps(v) for v in frame[c].to_list()]) for c in ("sensors", "ragged")
        }
        frame.with_columns(**texts).write_csv(tmp_path / name)
    else:
        getattr(frame, {"log.jsonl": "write_ndjson", "log.parquet": "write_parquet"}[name])(
            tmp_path / name
        )

    text = propose_spec(tmp_path / name, key=["device"], time="at", target=["load"])

    spec = FeatureSpec.parse(tomllib.loads(str(text)), name)
    (vector,) = [feature for feature in spec.features if feature.kind == "vector"]
    assert (vector.path, vector.length, vector.missing) == ("sensors", 3, "indicator")
    assert "sensors: an array of 3 numbers" in str(text)
    assert "ragged is left out: " in str(text)
    result = check_log(tmp_path / name, spec, SETTINGS, 1000)
    assert (result.events, dict(result.skips)) == (600, {})
