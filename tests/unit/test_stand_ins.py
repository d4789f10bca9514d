"""Numbers that may stand for a missing value are named, and read as numbers."""

import tomllib

import polars as pl
import pytest

from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.options import SpecOptions
from stream_rnn.notebook.spec import propose_with
from stream_rnn.settings import Settings
from stream_rnn.spec.columns import Column
from stream_rnn.spec.spec_check import check_log
from stream_rnn.spec.stand_ins import describe_stand_ins

USUAL = [5 + i % 50 / 4 for i in range(200)]


def hint_of(numbers):
    """Return the hint for a column of numbers."""
    return describe_stand_ins(Column(("x",), "number", pl.Series(numbers, dtype=pl.Float64)))


@pytest.mark.parametrize("value", [-999, -9999, 9999, 99.99, -99.9, 999.9, 32767, -(2**31)])
def test_a_stand_in_is_named_with_its_share(value):
    """It lies apart from all other values."""
    assert "in 4 of 204 rows (2.0%) may mean that the value is missing" in hint_of(
        [*USUAL, *[value] * 4]
    )


@pytest.mark.parametrize(
    "numbers",
    [
        [*USUAL, -999],  # once
        [*USUAL, *[-1000.0] * 4],
        [float(i) for i in range(90, 101)] * 20,  # 99 among its neighbours
        [*[9999.0, 50.0] * 20, *map(float, range(0, 12_000, 7))],
        [99.0] * 20,
        [99.0, 1.0] * 20,
        [*USUAL, None, None],
    ],
)
def test_a_usual_number_is_no_stand_in(numbers):
    """It occurs once, lies among others, or there are none."""
    assert hint_of(numbers) == ""


def test_a_number_that_is_far_too_frequent_is_a_stand_in():
    """Among values that go beyond it."""
    assert "9999" in hint_of([*map(float, range(0, 12_000, 7)), *[9999.0] * 60])
    assert "-9999" in hint_of([*map(float, range(0, 40_000, 7)), *[-9999.0] * 2])


def test_the_remedy_of_the_hint_reads_the_value_as_missing(tmp_path):
    """In a delimited file, by the text of the file; the proposal itself changes nothing."""
    rows = [
        f"d{i % 5},{1_704_203_100 + i},{'-999.0' if i % 20 == 3 else x}"
        for i, x in enumerate(USUAL)
    ]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["device,at,temp", *rows]))
    proposed = propose_with(log, SpecOptions(), lambda question: question.candidates[0].answer)
    said = proposed.toml.replace("\n# ", " ")
    hint = "-999.0 in 10 of 200 rows (5.0%) may mean that the value is missing"
    assert said.count(hint) == 2  # at the feature and at the head
    assert 'add "-999.0" to the words of missing in [file]' in said
    assert proposed.spec.file.missing == FeatureSpec.model_fields["file"].default.missing
    toml = proposed.toml.replace("[event]", '[file]\nmissing = ["", "-999.0"]\n\n[event]', 1)
    spec = FeatureSpec.parse(tomllib.loads(toml), "mended")
    settings = Settings.build()
    lacks = [
        next(c for c in check_log(log, s, settings, 1000).fields if c.field.path == "temp").lacks
        for s in (proposed.spec, spec)
    ]
    assert lacks == [0, 10]
