"""Guesses of ``spec init`` that look sure and are wrong: each is a question with its reason."""

import json
import random

import pytest
from click.testing import CliRunner

from stream_rnn.cli.verbs.spec import command as spec_command
from stream_rnn.notebook.spec import propose_spec

START_S = 1_704_067_200


def written(tmp_path, rows, name="log.jsonl"):
    """Write rows as JSON lines, and return the path."""
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(make, count=300):
    """Return rows with a time a minute apart and a draw of their own."""
    draw = random.Random(1)
    return [{"ts": START_S + 60 * i} | make(i, draw) for i in range(count)]


def answer(path, *words):
    """Run ``spec init`` without a terminal, and return its question; empty without one."""
    out = str(path.with_suffix(".toml"))
    done = CliRunner().invoke(spec_command, ["init", str(path), *words, "--out", out, "--force"])
    return str(done.exception) if done.exit_code else ""


@pytest.mark.parametrize("mark", [".", ","])
def test_keys_that_a_spreadsheet_has_cut_are_a_question(tmp_path, mark):
    """And a comment if the key is given, and a remark of the check."""
    path = tmp_path / "log.csv"
    draw = random.Random(1)
    rows = [
        f"{draw.randrange(3)}{mark}90123E+12;{START_S + 60 * i};{draw.random()}" for i in range(90)
    ]
    path.write_text("\n".join(["device;ts;temp", *rows]))
    asked = answer(path)
    assert "Which field is the key?" in asked
    assert "a spreadsheet has cut long ids so" in asked
    assert "export the column as text" in asked
    assert not answer(path, "--key", "device", "--target", "temp")
    spec = path.with_suffix(".toml")
    assert "a spreadsheet has cut" in " ".join(spec.read_text().replace("#", "").split())
    done = CliRunner().invoke(spec_command, ["check", str(spec), str(path)])
    assert f"keys such as 0{mark}90123E+12: a spreadsheet has cut" in done.stdout.replace("\n", " ")
    path.write_text(path.read_text().replace("E+12", "E12"))
    assert not answer(path, "--target", "temp")


def test_another_name_of_the_key_is_no_sure_target(tmp_path):
    """The only field to predict never changes within a key; the measure that is left out is named."""

    def make(i, draw):
        node = draw.randrange(9)
        value = "NaN" if i % 5 == 0 else f"{draw.gauss(20, 3):.2f}"
        return {"instance": f"10.0.0.{node}", "name": f"load{{{node}}}", "value": value}

    asked = answer(written(tmp_path, rows_of(make)), "--key", "instance")
    assert "Which field is to be predicted?" in asked
    assert "it is another name of instance, so it says nothing new" in asked
    assert "value is left out: it has 240 numbers and 60 texts such as 'NaN'" in asked


def test_digits_with_a_point_under_the_name_of_an_id_are_a_key_and_no_number(tmp_path):
    """Whether they are texts in JSON or in CSV; the same digits under another name are numbers."""

    def make(_, draw):
        user = draw.randrange(12)
        ident = f"10000000{user:02}.16000000{user:02}"
        return {"user_pseudo_id": ident, "reading": ident, "kind": draw.choice("ab")}

    path = written(tmp_path, rows_of(make))
    spec = propose_spec(path, target="kind").spec
    assert spec.event.key_paths == ("user_pseudo_id",)
    spec = propose_spec(path, key="kind", target="reading").spec
    kinds = {feature.name: feature.kind for feature in spec.features}
    assert kinds["user_pseudo_id"] == "categorical"
    assert kinds["reading"] == "numeric"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda i: (START_S + 60 * i) * (1000 if i >= 150 else 1),
            "times in several units since 1970, 150 in s and 150 in ms; write all of them in one",
        ),
        (
            lambda i: f"/Date({1000 * (START_S + 60 * i)})/",
            "such as '/Date(1704067200000)/', are of no format that is known",
        ),
    ],
    ids=["seconds and milliseconds", "of .NET"],
)
def test_a_column_named_as_a_time_and_not_read_is_a_question(tmp_path, make, said):
    """Instead of the row number in its place without a question."""
    rows = rows_of(lambda i, draw: {"device": f"d{draw.randrange(9)}", "ts": make(i)})
    asked = answer(written(tmp_path, rows), "--key", "device")
    assert "A field is named as a time, but is not read: ts" in asked
    assert said in asked
