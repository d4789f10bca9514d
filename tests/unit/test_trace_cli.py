"""``stream-rnn trace`` of a file: what it prints, and what it refuses."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stream_rnn.cli.verbs.replay import command as replay
from stream_rnn.cli.verbs.trace import command as trace
from stream_rnn.errors import ConfigError
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from tests import models

SPEC = {**models.SPEC, "event": {"key": ["key"], "time": {"path": "at"}}}
KEYS = ["UA-EWR", "UA-LGA", "hot", "hot"]
ESCAPE = "\x1b[2J"


def bundle_of(directory, kind="gru"):
    """Save a small bundle that dates events by their own field."""
    torch.manual_seed(2)
    spec = FeatureSpec.model_validate(SPEC)
    save_bundle(Model.initialize(spec, CellSpec(kind=kind, hidden=8)), directory)
    return str(directory)


@pytest.fixture
def log(tmp_path):
    """Write a log of 120 rows, some of them bad, with long silences."""
    rng, rows, at = np.random.default_rng(4), [], 0
    for i in range(120):
        at += 30_000 if i % 25 == 24 else 1000
        x = "one" if i % 17 == 16 else float(rng.normal())
        rows.append({"key": KEYS[i % 4], "at": at, "x": x, "kind": "A"})
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(command, *arguments):
    """Run a verb; return what it printed."""
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False).output


@pytest.mark.parametrize("kind", ["elman", "gru", "lstm", "none"])
def test_json_holds_what_a_replay_publishes_and_what_made_it(log, tmp_path, kind):
    """Each step has the prediction, x, gates and memory; the text of every float32 is the shortest."""
    bundle, out = bundle_of(tmp_path / "b", kind), tmp_path / "out.jsonl"
    options = ["--bundle", bundle, "--state-ttl", "20"]
    run(replay, log, *options, "--out", str(out))
    published = [json.loads(line) for line in out.read_text().splitlines()]
    found = json.loads(run(trace, log, "hot", *options, "--json"))
    expected = [p for p in published if p["key"] == "hot"]
    assert [step["prediction"] for step in found["steps"]] == expected
    assert found["events"] == len(expected) > 50
    assert {one["kind"] for one in found["between"]} == {"expired", "skipped"}
    first = found["steps"][0]
    assert len(first["x"]) == len(found["columns"])
    parts = {"none": [], "lstm": ["h", "c"]}.get(kind, ["h"])
    assert list(first["memory"]) == parts
    assert all(np.shape(first["memory"][part]) == (1, 8) for part in parts)
    gates = {"gru": ["r", "z", "n"], "lstm": ["i", "f", "g", "o"]}.get(kind, [])
    assert list(first["gates"]) == gates
    assert [step["since_previous_ms"] is None for step in found["steps"]] == [
        p["cold"] for p in expected
    ]


def test_the_table_has_a_line_a_step_and_lines_for_what_happened(log, tmp_path):
    """Header, offsets, times, gates, a bar a unit, outputs; expiries and skips in their places."""
    text = run(trace, log, "hot", "--bundle", bundle_of(tmp_path / "b"), "--state-ttl", "20")
    header, table = text.split("\n\n")
    assert "key          hot" in header
    assert "gru, hidden 8, layers 1" in header
    assert "all 8 units, each as a bar: low at -1, high at 1" in header
    titles, *lines = table.splitlines()
    assert titles.split()[-6:] == ["n", "h", "update_norm", "big", "wait", "next"]
    places = [i for i, line in enumerate(lines) if "memory expired, 3" in line]
    assert len(places) > 1
    assert all("cold" in lines[i + 1] for i in places)
    assert any("skipped at offset 50: x: input should be a valid number" in line for line in lines)
    first = lines[0].split()
    assert first[:5] == ["2", "1970-01-01", "00:00:03", "1", "cold"]
    assert re.fullmatch("[▁▂▃▄▅▆▇█]{8}", first[8])
    steps = [line for line in lines if not line.lstrip().startswith("—")]
    assert len(steps) == int(re.search(r"steps +(\d+)", header)[1])


def test_a_network_without_memory_has_a_table_without_it(log, tmp_path):
    """No gates, no h."""
    text = run(trace, log, "hot", "--bundle", bundle_of(tmp_path / "b", "none"))
    titles = text.split("\n\n")[1].splitlines()[0].split()
    assert titles == ["offset", "event", "time,", "UTC", "steps", "since", "big", "wait", "next"]


def test_until_stops_after_an_offset_and_last_keeps_the_end(log, tmp_path):
    """What it remembered when it said that is the last line."""
    options = ["--bundle", bundle_of(tmp_path / "b"), "--json"]
    whole = json.loads(run(trace, log, "UA-LGA", *options))
    ended = json.loads(run(trace, log, "UA-LGA", *options, "--until", "61", "--last", "4"))
    assert ended["events"] == 15  # of 16 records one is bad
    assert ended["steps"] == whole["steps"][11:15]
    assert ended["steps"][-1]["prediction"]["source"]["offset"] == 61
    said = run(trace, log, "UA-LGA", *options[:-1], "--until", "61", "--last", "4")
    assert "folded from offset 0 on, up to offset 61" in said
    assert "15, the last 4 below" in said


def test_a_picture_is_written(log, tmp_path):
    """It is an SVG, and the table is printed as well."""
    picture, bundle = tmp_path / "hot.svg", bundle_of(tmp_path / "b")
    said = run(trace, log, "hot", "--bundle", bundle, "--picture", str(picture), "--last", "9")
    assert "update_norm" in said
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert "the last 9 of" in picture.read_text()
    with pytest.raises(ConfigError, match=r"picture .*there is no directory"):
        run(trace, log, "hot", "--bundle", bundle, "--picture", str(tmp_path / "no" / "a.svg"))


def test_a_key_that_is_not_there_is_a_clear_error(log, tmp_path):
    """With what there is."""
    with pytest.raises(ConfigError, match="the range has 3 keys, similar: 'UA-EWR'"):
        run(trace, log, "UA-EWX", "--bundle", bundle_of(tmp_path / "b"))


def test_keys_are_typed_as_text_or_as_base64(tmp_path):
    """And what comes from the log cannot steer the terminal."""
    path = tmp_path / "log.jsonl"
    rows = [{"key": ESCAPE, "at": 1, "x": 1.0}, {"key": ESCAPE, "at": 2, "x": ESCAPE}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--bundle", bundle_of(tmp_path / "b")]
    said = run(trace, str(path), "base64:G1sySg==", *options)
    assert "key          base64:G1sySg==" in said
    assert "skipped at offset 1" in said
    assert "\x1b" not in said
    with pytest.raises(ConfigError, match="is not base64"):
        run(trace, str(path), "base64:?", *options)


@pytest.mark.parametrize(
    "words", [["hot"], ["log.jsonl", "hot", "more"], ["--topic", "t", "a", "b"]]
)
def test_too_few_or_too_many_words_are_wrong_use(words, tmp_path):
    """Status 2, and what is expected."""
    result = CliRunner().invoke(trace, [*words, "--bundle", bundle_of(tmp_path / "b")])
    assert result.exit_code == 2
    assert "KEY" in result.output
