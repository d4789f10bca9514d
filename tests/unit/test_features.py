"""Feature specs and the encoder: what is refused, and how a field becomes numbers."""

import copy
from pathlib import Path

import numpy as np
import pytest

from stream_rnn.errors import SpecError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec, Numeric
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from tests import models

HEAD = {"name": "late", "kind": "binary", "of": "next", "path": "late"}
CLASSES = {"name": "h", "kind": "multiclass", "path": "k", "end": True}
FITTED = {"mean": 10.0, "std": 4.0, "min": -30.0, "max": 50.0}
OTHER = {"mean": -1.0, "std": 0.5, "min": -2.0, "max": 2.0}
SCALINGS = ("standard", "minmax", "log", "none")
HOUR_MS = 3_600_000


def spec_of(*features, heads=(HEAD,), **more):
    """Make a spec of some features."""
    content = {"name": "t", "features": list(features), "heads": list(heads), **more}
    return FeatureSpec.parse(content, "t.toml")


def numeric(**more):
    """Make a numeric feature named x."""
    return {"kind": "numeric", "name": "x", "path": "x", "scaling": "none", **more}


def categorical(**more):
    """Make a categorical feature named c."""
    vocabulary = ["A", "1", "true"]
    return {"kind": "categorical", "name": "c", "path": "c", "vocabulary": vocabulary, **more}


def encoded(spec, times=(0,), **columns):
    """Encode some events."""
    rows = max([len(times), *map(len, columns.values())])
    time_ms = np.resize(np.array(times, np.int64), rows)
    return Encoder(spec).encode(columns, time_ms)


def vector(scaling, missing, **more):
    """Make a vector of three places, fitted."""
    content = {"kind": "vector", "path": "v", "length": 3, "fitted": [FITTED, FITTED, OTHER]}
    name = f"v_{scaling}_{missing}"
    return {**content, "name": name, "scaling": scaling, "missing": missing, **more}


def spec_with_everything():
    """Make a spec with every kind of feature and of scaling, fitted."""
    scalings = [
        numeric(name=f"x_{scaling}_{missing}", scaling=scaling, missing=missing, fitted=FITTED)
        for scaling in SCALINGS
        for missing in ("indicator", "mean", "error")
    ]
    return spec_of(
        *scalings,
        numeric(name="x_clipped", scaling="log", clip=[-30, 300]),
        categorical(),
        {"kind": "boolean", "name": "b", "path": "b"},
        {"kind": "hashed", "name": "hashed", "path": "c", "buckets": 1000},
        {"kind": "multi_categorical", "name": "many", "path": "tags", "buckets": 1000},
        *(vector(scaling, missing) for scaling in SCALINGS for missing in ("indicator", "mean")),
        {"kind": "since_previous", "name": "since", "scaling": "log", "fitted": FITTED},
        {"kind": "calendar", "name": "hour", "unit": "hour"},
        {"kind": "calendar", "name": "weekday", "unit": "weekday"},
    )


def random_events(rng, rows):
    """Make columns, event times and times since the previous event, some of them missing or bad."""
    x = [None if rng.random() < 0.1 else float(rng.normal(0, 50)) for _ in range(rows)]
    x[rows // 2] = 1e39
    columns = {
        "x": x,
        "c": [["A", "1", 1, True, None, "other"][i] for i in rng.integers(0, 6, rows)],
        "b": [[True, False, None][i] for i in rng.integers(0, 3, rows)],
        "tags": [[None, [], ["A"], ["B", "A", None]][i] for i in rng.integers(0, 4, rows)],
        "v": [
            [None, [float(one), 1.0, None], [2.0, float(one), 1e39]][i]
            for i, one in zip(rng.integers(0, 3, rows), rng.normal(0, 9, rows), strict=True)
        ],
    }
    since = np.where(rng.random(rows) < 0.2, np.nan, rng.exponential(1e5, rows))
    return columns, rng.integers(-(10**12), 2 * 10**12, rows), since


def bits(encoder, columns, time_ms, since, rows):
    """Encode some rows of the events; return their bits and who is refused."""
    chosen = {path: [values[i] for i in rows] for path, values in columns.items()}
    x, errors = encoder.encode(chosen, time_ms[rows])
    encoder.fill_since_previous(x, since[rows])
    return [row.tobytes() for row in x], [errors[i].code if i in errors else None for i in rows]


@pytest.mark.parametrize("seed", range(5))
def test_the_bits_of_a_row_do_not_depend_on_other_rows(seed):
    """200 rows in random order, cut at random places, have the bits they have alone."""
    rng = np.random.default_rng(seed)
    encoder = Encoder(spec_with_everything())
    columns, time_ms, since = random_events(rng, 200)
    alone = [bits(encoder, columns, time_ms, since, [i])[0][0] for i in range(200)]
    order = rng.permutation(200)
    cuts = np.sort(rng.choice(np.arange(1, 200), int(rng.integers(0, 12)), replace=False))
    for part in np.split(order, cuts):
        found, _ = bits(encoder, columns, time_ms, since, part.tolist())
        assert found == [alone[i] for i in part]


def test_a_bad_row_costs_itself_alone():
    """Zeros and an error stand where a row cannot be encoded; its neighbours are as without it."""
    spec = spec_of(numeric(missing="error"))
    x, errors = encoded(spec, x=[1.0, None, 1e39, -1e39, 2.0])
    assert x[:, 0].tolist() == [1.0, 0.0, 0.0, 0.0, 2.0]
    assert {row: error.code for row, error in errors.items()} == {
        1: "missing",
        2: "not_finite",
        3: "not_finite",
    }
    assert "x" in str(errors[1])


def test_a_value_that_scaling_makes_too_large_is_not_finite():
    """What counts is the value after scaling, as float32."""
    spec = spec_of(numeric(scaling="standard", fitted={**FITTED, "std": 1e-6}))
    _, errors = encoded(spec, x=[1e38, 1.0])
    assert {row: error.code for row, error in errors.items()} == {0: "not_finite"}


def test_an_integer_beyond_float64_is_not_finite():
    """JSON may hold integers of any size."""
    _, errors = encoded(spec_of(numeric()), x=[10**400, None, 3])
    assert {row: error.code for row, error in errors.items()} == {0: "not_finite"}


def test_a_number_outside_the_clip_is_clipped_but_never_1e39():
    """Clipping is for the world's outliers, not for numbers that are none."""
    x, errors = encoded(spec_of(numeric(clip=[-30, 300])), x=[-31, 301, 5, 1e39])
    assert x[:3, 0].tolist() == [-30.0, 300.0, 5.0]
    assert {row: error.code for row, error in errors.items()} == {3: "not_finite"}


def test_the_logarithm_is_signed_and_comes_after_the_clip():
    """Scaling log is sign(v) log(1 + |v|) of the clipped value."""
    x, _ = encoded(spec_of(numeric(scaling="log", clip=[-100, 7])), x=[-7.0, 0.0, 7.0, 9.0])
    assert x[:, 0] == pytest.approx([-np.log(8), 0, np.log(8), np.log(8)])


@pytest.mark.parametrize(
    ("scaling", "expected"), [("standard", 5.0), ("minmax", 0.75), ("none", 30.0)]
)
def test_scaling_uses_what_was_fitted(scaling, expected):
    """30 is 5 standard deviations of 4 above 10, and three quarters of the way from -30 to 50."""
    x, _ = encoded(spec_of(numeric(scaling=scaling, fitted=FITTED)), x=[30.0])
    assert x[0, 0] == expected


@pytest.mark.parametrize("scaling", ["standard", "minmax", "none", "log"])
def test_a_missing_number_stands_as_the_mean(scaling):
    """With missing = mean a missing value is what the mean becomes, without an indicator."""
    feature = Numeric.model_validate(numeric(scaling=scaling, missing="mean", fitted=FITTED))
    x, errors = encoded(spec_of(feature.model_dump()), x=[None])
    mean = {"standard": 0.0, "log": 0.0, "minmax": 0.5, "none": 10.0}[scaling]
    assert not errors
    assert x.tolist() == [[mean]]


def test_a_missing_number_has_an_indicator():
    """With missing = indicator a second column says so."""
    x, errors = encoded(spec_of(numeric()), x=[None, 3.0])
    assert not errors
    assert x.tolist() == [[0.0, 1.0], [3.0, 0.0]]


@pytest.mark.parametrize(
    "feature", [categorical(missing="error"), {"kind": "boolean", "name": "c", "path": "c"}]
)
def test_a_missing_word_or_truth_may_be_refused(feature):
    """With missing = error an event without the field is skipped."""
    _, errors = encoded(spec_of({**feature, "missing": "error"}), c=[None, True])
    assert {row: error.code for row, error in errors.items()} == {0: "missing"}


def test_what_is_not_in_the_vocabulary_has_index_zero():
    """So has what is missing; words count from one in the vocabulary's order."""
    x, errors = encoded(spec_of(categorical()), c=["A", "1", "true", "b", "", None])
    assert not errors
    assert x[:, 0].tolist() == [1, 2, 3, 0, 0, 0]


def test_integers_and_booleans_are_categories():
    """1 is the word "1" and true the word "true"; 1.0 is neither."""
    x, _ = encoded(spec_of(categorical()), c=[1, True, False, 1.0])
    assert x[:, 0].tolist() == [2, 3, 0, 0]


def test_an_integer_category_is_decoded_as_an_integer():
    """From the record's bytes to the index: the decoder does not make a float of it."""
    spec = spec_of(categorical())
    records = [record(i, b"k", {"c": value}) for i, value in enumerate((1, "1", True, "A", 2))]
    decoded = Decoder(spec, Settings.build()).decode(records)
    x, _ = Encoder(spec).encode(decoded.columns, decoded.time_ms)
    assert x[:, 0].tolist() == [2, 2, 3, 1, 0]


def test_a_boolean_has_a_value_and_an_indicator():
    """Missing is not false."""
    x, _ = encoded(spec_of({"kind": "boolean", "name": "b", "path": "b"}), b=[True, False, None])
    assert x.tolist() == [[1, 0], [0, 0], [0, 1]]


def test_a_cold_event_has_no_previous_one():
    """The value is 0 and the indicator 1, where a previous event gives seconds, scaled, and 0."""
    spec = spec_of({"kind": "since_previous", "name": "since", "scaling": "none"})
    encoder = Encoder(spec)
    x, _ = encoder.encode({}, np.zeros(3, np.int64))
    encoder.fill_since_previous(x, np.array([np.nan, 0.0, 2500.0]))
    assert encoder.names == ("since", "since_cold")
    assert x.tolist() == [[0, 1], [0, 0], [2.5, 0]]


def test_a_cold_event_is_zero_after_scaling():
    """Zero seconds and no previous event differ, whatever was fitted."""
    spec = spec_of(
        {"kind": "since_previous", "name": "since", "scaling": "standard", "fitted": FITTED}
    )
    encoder = Encoder(spec)
    x, _ = encoder.encode({}, np.zeros(2, np.int64))
    encoder.fill_since_previous(x, np.array([np.nan, 0.0]))
    assert x.tolist() == [[0, 1], [-2.5, 0]]


def test_the_calendar_is_utc():
    """1970-01-01 00:00 UTC begins a day, and a Monday begins a week, before 1970 too."""
    spec = spec_of({"kind": "calendar", "name": "hour", "unit": "hour"})
    x, _ = encoded(spec, times=(0, 6 * HOUR_MS, 12 * HOUR_MS, -6 * HOUR_MS))
    assert x == pytest.approx(np.array([[0, 1], [1, 0], [0, -1], [-1, 0]]), abs=1e-7)
    spec = spec_of({"kind": "calendar", "name": "day", "unit": "weekday"})
    day = 24 * HOUR_MS
    x, _ = encoded(spec, times=(4 * day, -3 * day, 5 * day - 1, 5 * day))  # Mon, Mon, Mon, Tue
    assert x[0].tolist() == [0.0, 1.0] == x[1].tolist() == x[2].tolist()
    assert x[3] == pytest.approx([np.sin(2 * np.pi / 7), np.cos(2 * np.pi / 7)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"heads": [{**HEAD, "of": "now", "path": "x"}]},
            'head late: x is a target with of = "now"',
        ),
        ({"features": [numeric(), numeric(path="y")]}, "two features have the same name"),
        ({"heads": [HEAD, HEAD]}, "two heads have the same name"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"features": [numeric(widht=3)]}, "features.0.numeric.widht: Extra inputs"),
        ({"features": []}, "features: "),
        ({"heads": []}, "heads: "),
        ({"format": 2}, "format: "),
        ({"format": True}, "format: "),
        ({"heads": [{**HEAD, "above": True}]}, "above: Input should be a valid number"),
        ({"heads": [{**HEAD, "above": "1"}]}, "above: Input should be a valid number"),
        ({"heads": [{**CLASSES, "classes": ["a", "b"], "end": 1}]}, "end: Input should be a valid"),
        ({"features": [numeric(clip=[False, 2])]}, "clip.0: Input should be a valid number"),
        ({"features": [categorical(embedding="4")]}, "embedding: Input should be a valid integer"),
        ({"features": [numeric(kind="text")]}, "features.0: "),
        ({"features": [numeric(path="a..b")]}, "features.0.numeric.path: "),
        ({"features": [numeric(fitted={"std": 0.0})]}, "fitted.std: "),
        ({"features": [numeric(fitted={"mean": float("nan")})]}, "fitted.mean: "),
        ({"features": [numeric(fitted={"min": 2.0, "max": 1.0})]}, "fitted: 2 is above 1"),
        ({"features": [numeric(clip=[300, -30])]}, "clip: 300 is above -30"),
        (
            {"features": [categorical(vocabulary=["A", "A"])]},
            "the vocabulary contains a word twice",
        ),
        ({"features": [categorical(vocabulary=["A" * 257])]}, "vocabulary.0: "),
        (
            {"features": [numeric(), numeric(name="x_missing")]},
            "a feature has the name of a column of another feature",
        ),
        (
            {"heads": [{"name": "h", "kind": "multiclass", "path": "k", "classes": ["a", "a"]}]},
            "two classes have the same name",
        ),
        ({"heads": [{**CLASSES, "classes": ["a", "end"]}]}, "head h: two classes have the same"),
    ],
)
def test_an_impossible_spec_is_refused(change, says):
    """The message names the file and what is wrong in it."""
    content = {**copy.deepcopy(models.SPEC), **change}
    with pytest.raises(SpecError) as caught:
        FeatureSpec.parse(content, "small.toml")
    assert str(caught.value).startswith("feature spec small.toml: ")
    assert says in str(caught.value)


def test_a_target_of_next_may_be_a_feature():
    """Only a target of now gives itself away."""
    content = {**models.SPEC, "heads": [{**HEAD, "path": "x", "above": 1.0}]}
    assert FeatureSpec.parse(content, "t").heads[0].path == "x"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name = [", "bad.toml"),
        (b"\xff\xfa", "utf-8"),
        (b"name = " + 2000 * b"[" + 2000 * b"]", "nested too deeply"),
        (None, "No such file"),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused(tmp_path, content, says):
    """Bad TOML, bad text and a missing file are one error with the path."""
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        FeatureSpec.read(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_an_oversized_spec_is_refused_unread(tmp_path, monkeypatch):
    """Its size is asked for before it is read."""
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * 4_000_001)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(SpecError, match=r"large.toml has 4000001 bytes, more than 4000000"):
        FeatureSpec.read(path)


def test_a_spec_from_toml_is_the_spec_from_json(tmp_path):
    """People write TOML, some editors with a byte order mark; a bundle holds JSON."""
    path = tmp_path / "spec.toml"
    path.write_text(
        '\ufeffname = "t"\n[event]\nkey = ["a", "b"]\ntime = {path = "at", unit = "s"}\n'
        '[[features]]\nkind = "numeric"\nname = "x"\npath = "x"\nclip = [-30, 300]\n'
        '[[heads]]\nname = "late"\nkind = "binary"\npath = "late"\n',
        encoding="utf-8",
    )
    spec = FeatureSpec.read(path)
    assert spec.event.key == ("a", "b")
    assert FeatureSpec.model_validate_json(spec.model_dump_json()) == spec
