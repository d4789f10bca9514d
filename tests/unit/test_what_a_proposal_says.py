"""What a proposed spec says about the columns that it takes, and about those that it leaves out."""

import json
import random

import pytest

from stream_rnn.notebook.options import SpecOptions
from stream_rnn.notebook.spec import propose_with
from stream_rnn.spec import json_columns

ROWS = 600


def rows_of(**more):
    """Make rows of ten devices; a function of the row number adds a field."""
    draw = random.Random(3)
    temps = [round(draw.gauss(20, 2), 3) for _ in range(ROWS + 10)]
    return [
        {"device": f"d{i % 10}", "ts": 1_704_203_100 + 60 * i, "temp": temps[i], "z": temps[-i - 1]}
        | {name: value(i, temps) for name, value in more.items()}
        for i in range(ROWS)
    ]


def proposed(path, rows, **options):
    """Propose a spec for lines of JSON; return its text without the line ends of comments."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return said_of(path, **options)


def said_of(path, **options):
    """Propose a spec for a file; return its text without the line ends of comments."""
    given = SpecOptions(**options)
    toml = propose_with(path, given, lambda question: question.candidates[0].answer).toml
    return toml.replace("\n# ", " ")


@pytest.mark.parametrize(
    ("value", "of", "says"),
    [
        (lambda i, t: 1.8 * t[i] + 32, "next", "x: a number; it repeats the target temp of the sa"),
        (lambda i, t: 1.8 * t[i] + 32, "now", "event (correlation 1.0000): leave it out, for it"),
        (lambda i, t: t[i + 10], "next", "it determines temp of the next event (correlation 1.0"),
    ],
)
def test_a_feature_that_may_contain_the_target_is_named(tmp_path, value, of, says):
    """By its values in the same event, or in the next one of its key."""
    text = proposed(tmp_path / "log.jsonl", rows_of(x=value), target=("temp",), of=of)
    assert says in text
    assert "path = " in text
    other = proposed(tmp_path / "log.jsonl", rows_of(x=value), target=("z",), of=of)
    assert "the target" not in other
    assert "determines" not in other


def test_classes_that_determine_the_target_are_named(tmp_path):
    """Yes and no in other words."""
    rows = rows_of(failed=lambda i, t: int(t[i] > 21), verdict=lambda i, t: "ab"[t[i] > 21])
    text = proposed(tmp_path / "log.jsonl", rows, target=("failed",))
    assert "verdict: 2 different values" in text
    assert text.count("it repeats the target failed of the same event (accuracy 1.0000)") == 1


def test_a_name_that_is_made_of_the_target_is_named(tmp_path):
    """Whatever its values are."""
    rows = rows_of(temp_encoded=lambda i, t: t[-i - 2], temp_outside=lambda i, t: t[-i - 3])
    text = proposed(tmp_path / "log.jsonl", rows, target=("temp",))
    note = "by its name, it may be made of the target temp"
    assert text.count(note) == 1
    assert f"temp_encoded: a number; {note}" in text


def test_every_column_is_used_or_named(tmp_path):
    """Arrays, objects, constants, columns that rows lack, empty ones, ids, and further targets."""
    rows = rows_of(
        tags=lambda *_: ["a", "b"],
        meta=lambda i, _: {"firmware": "1.2", "lat": i % 3 / 2},
        constant=lambda *_: 7,
        sole=lambda i, _: "x" if i % 3 else None,
        rare=lambda i, t: t[i] if i % 5 == 0 else None,
        note=lambda i, _: f"text {i}",
        empty=lambda *_: None,
        **{f"n{k}": (lambda i, t, k=k: t[(i * k) % ROWS]) for k in range(7, 12)},
    )
    text = proposed(tmp_path / "log.jsonl", rows, target=("temp",))
    for says in (
        "tags is left out: an array of 2 values",
        "meta.firmware is left out: it has the same value in every row, 1.2.",
        'path = "meta.lat"',
        "constant is left out: it has the same value in every row, 7.",
        "sole is left out: it has the same value, x, in 400 rows, and 200 lack it",
        "rare: a number, missing in 480 of 600 rows, which is more than half",
        "note is left out: 600 different texts",
        "empty is left out: it has no value at all",
        "Others, by --target: ",
    ):
        assert says in text
    assert all(name in text for name in rows[0])


def test_a_column_without_a_name_is_named_by_its_number(tmp_path):
    """As pandas writes an index."""
    log = tmp_path / "log.csv"
    lines = [f"{i},d{i % 7},{i * i % 11},x" for i in range(200)]
    log.write_text("\n".join([",device,v,", *lines]))
    said = said_of(log)
    assert "so left out: column 1, 4, such as the index that pandas writes" in said


def test_fields_beyond_the_largest_number_of_columns_are_counted(tmp_path, monkeypatch):
    """Objects whose names are ids."""
    monkeypatch.setattr(json_columns, "COLUMNS_MIN", 5)
    monkeypatch.setattr(json_columns, "CELLS_MAX", 0)
    text = proposed(tmp_path / "log.jsonl", rows_of(names=lambda i, _: {f"k{i}": i}))
    assert "599 values are left out, whose fields would be more than 5 columns" in text
