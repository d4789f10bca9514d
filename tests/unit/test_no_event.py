"""The message of all verbs that read a log of which no record is an event."""

import json

import pytest
from click.testing import CliRunner

from stream_rnn import evaluate, train
from stream_rnn.cli.verbs.replay import command as replay_command
from stream_rnn.errors import SpecError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.example import example_bundle, machines
from stream_rnn.replay.no_event import field_advice, near_paths
from stream_rnn.settings import Settings
from stream_rnn.spec.spec_check import check_log

BUNDLE = example_bundle()


@pytest.fixture
def log(tmp_path):
    """Path of a log whose vibrations are texts, with a decimal comma."""
    rows = machines(3, 8).to_dicts()
    lines = [row | {"vibration": f"{row['vibration']:.2f}".replace(".", ",")} for row in rows]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line, default=str) + "\n" for line in lines))
    return path


def reason(log):
    """Return what the message must contain."""
    first = json.loads(log.read_text().splitlines()[0])["vibration"]
    return f'24 of 24 are skipped because of wrong_schema: vibration: input should be a valid number; in record 0, vibration is "{first}"'


def test_training_evaluation_replay_and_check_say_the_same(log, tmp_path):
    """The commonest reason, the field, and one value."""
    spec = json.loads((BUNDLE / "bundle.json").read_text())["spec"]
    parsed = FeatureSpec.parse(spec, "spec")
    messages = [check_log(log, parsed, Settings.build(), 100).problem]
    for call in (lambda: train(log, parsed, tmp_path / "b"), lambda: evaluate(log, BUNDLE)):
        with pytest.raises(SpecError) as caught:
            call()
        messages.append(str(caught.value))
    out = tmp_path / "p.jsonl"
    result = CliRunner().invoke(
        replay_command,
        [str(log), "--bundle", str(BUNDLE), "--out", str(out)],
        catch_exceptions=False,
    )
    messages.append(" ".join(result.stderr.split()))
    for message in messages:
        assert reason(log) in message
        assert "stream-rnn spec check counts each field" in message
    assert out.read_text() == ""


@pytest.mark.parametrize(
    ("path", "known", "near"),
    [
        ("Temp", [("temp",), ("load",)], ["temp"]),
        ("temp", [("data", "temp")], ["data.temp"]),
        ("data.temp", [("payload", "temp")], ["payload.temp"]),
        ("device_id", [("deviceId",), ("id",)], ["deviceId"]),
        ("http.status_code", [("http.status_code",)], ['"http.status_code"']),
        ("vibraton", [("vibration",)], ["vibration"]),
        ("temp", [("temp",)], []),
        ("x", [("completely",), ("other",)], []),
    ],
)
def test_near_spellings_are_found(path, known, near):
    """Other cases and separators, other parents, a letter that is missing."""
    assert near_paths(path, known) == near


def test_the_advice_for_a_topic_is_a_command_that_reads_topics():
    """``spec check`` reads files alone."""
    assert field_advice(None) == "stream-rnn spec check counts each field"
    assert "stream-rnn spec init --topic flights" in field_advice("flights")
