"""``stream-rnn train``, ``evaluate`` and ``compare`` as people call them, with good and bad input."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from click.testing import CliRunner

from stream_rnn.cli import main
from stream_rnn.cli.verbs.compare import command as compare
from stream_rnn.cli.verbs.evaluate import command as evaluate
from stream_rnn.cli.verbs.train import command as train
from stream_rnn.errors import ConfigError, SpecError
from stream_rnn.model.bundle import load_bundle

SPEC = """
format = 1
name = "bits"
[event]
key = ["key"]
time = {path = "at", unit = "s"}
[[features]]
name = "bit"
kind = "boolean"
path = "bit"
missing = "error"
[[heads]]
name = "past"
kind = "binary"
of = "now"
path = "past"
"""
QUICK = ["--epochs=3", "--hidden=8", "--window=8", "--threads=1"]


def rows(keys=30, events=20):
    """Make bits, and what the bit was two events ago."""
    return [
        {
            "key": f"k{key}",
            "at": t,
            "bit": (t * 7 + key * 3 + t * t) % 3 == 0,
            "past": ((t - 2) * 7 + key * 3 + (t - 2) ** 2) % 3 == 0,
        }
        for t in range(events)
        for key in range(keys)
    ]


@pytest.fixture
def log(tmp_path):
    """Write the log and its spec."""
    pl.DataFrame(rows()).write_csv(tmp_path / "log.csv")
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path / "log.csv"


def trained(log, *more, out="bundle"):
    """Train by the command line; return the result."""
    options = [str(log), f"--spec={log.parent / 'spec.toml'}", f"--out={log.parent / out}"]
    return CliRunner().invoke(train, [*options, *QUICK, *more], standalone_mode=False)


def test_train_writes_a_bundle_its_baseline_and_naive_rules(log):
    """And prints all three side by side, with what the memory is worth."""
    result = trained(log)
    assert result.exception is None, result.output
    assert load_bundle(log.parent / "bundle").cell.kind == "gru"
    assert load_bundle(log.parent / "bundle" / "memoryless").cell.kind == "none"
    assert (log.parent / "bundle" / "naive.json").is_file()
    assert sorted(p.name for p in log.parent.iterdir()) == ["bundle", "log.csv", "spec.toml"]
    assert "past (test part): The " in result.stdout
    assert "memoryless" in result.stdout


def test_train_as_json_is_one_object(log):
    """With the metrics of each seed, the trials of the search, and the settings that won."""
    result = trained(log, "--json", "--seeds=2", "--search=2", "--cell=lstm")
    assert result.exception is None, result.output
    found = json.loads(result.stdout)
    assert [seed["seed"] for seed in found["seeds"]] == [1, 2]
    assert len(found["trials"]) == 2
    assert found["cell"]["kind"] == "lstm"
    assert set(found["memory"]["test"]["past"]) == set(found["naive"]["test"]["past"])
    provenance = json.loads((log.parent / "bundle" / "bundle.json").read_text())["provenance"]
    assert provenance["training"] == found["training"]


def test_evaluate_and_compare_read_what_train_has_written(log):
    """The test part's figures are those that training printed."""
    said = json.loads(trained(log, "--json").stdout)
    options = [str(log), f"--bundle={log.parent / 'bundle'}", "--split=time:0.8", "--json"]
    result = CliRunner().invoke(evaluate, options, standalone_mode=False)
    assert result.exception is None, result.output
    found = json.loads(result.stdout)["heads"]["past"]
    for name in ("memory", "memoryless", "naive"):
        for metric, value in said[name]["test"]["past"].items():
            assert found[name][metric] == pytest.approx(value, rel=1e-5), (name, metric)
    trained(log, "--seed=5", out="other")
    words = [str(log), str(log.parent / "bundle"), str(log.parent / "other")]
    result = CliRunner().invoke(compare, [*words, "--json"], standalone_mode=False)
    assert result.exception is None, result.output
    both = json.loads(result.stdout)["heads"]["past"]["metrics"]["auc"]
    assert both["difference"]["value"] == both["second"] - both["first"]
    result = CliRunner().invoke(compare, words, standalone_mode=False)
    assert "B - A" in result.stdout


def test_evaluate_writes_a_report(log):
    """One page, with the network unrolled over keys of the log."""
    trained(log)
    report = log.parent / "report.html"
    options = [str(log), f"--bundle={log.parent / 'bundle'}", f"--report={report}"]
    result = CliRunner().invoke(evaluate, options, standalone_mode=False)
    assert result.exception is None, result.output
    page = report.read_text()
    assert "most events" in page
    assert "sr-trace" in page
    assert re.search(
        r"The AUC is \d\S* with memory and \d\S* without: .* with 95 % confidence \S+ to \S+; higher",
        " ".join(result.stdout.split()),
    )


@pytest.mark.parametrize(
    ("change", "options", "error", "says"),
    [
        ({"key": None}, [], SpecError, "no record of log is a valid event.*no_key"),
        ({"at": "soon"}, [], SpecError, "wrong_schema"),
        ({"bit": None}, [], SpecError, "skipped because of missing"),
        ({"past": None}, [], SpecError, "no training event has a label"),
        ({}, ["--split=time:1960-01-01"], ConfigError, "leaves no event to train on"),
        ({}, ["--split=key:2"], ConfigError, "not a share"),
        ({}, ["--split=column:part"], ConfigError, "split column part"),
        ({}, ["--labels=labels.csv"], ConfigError, 'no head with of = "label"'),
    ],
)
def test_bad_input_is_a_clear_error_and_no_bundle(log, change, options, error, says):
    """Before anything is trained."""
    frame = pl.DataFrame([{**row, **change} for row in rows(5, 5)])
    frame.write_csv(log)
    result = trained(log, *options)
    assert isinstance(result.exception, error), result.output
    assert re.search(says, str(result.exception)), result.exception
    assert not (log.parent / "bundle").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: {**r, "bit": True}, "feature bit: bit is constant in the training part"),
        (lambda r: {**r, "past": True}, "head past: the answer is yes"),
        (lambda r: {**r, "past": r["bit"]}, "feature bit alone determines the target of head past"),
        (
            lambda r: {**r, "at": 1000 - r["at"]},
            "of the events are earlier than an event before them",
        ),
    ],
)
def test_what_is_hardly_meant_is_a_warning(log, change, says):
    """The bundle is made all the same."""
    pl.DataFrame([change(row) for row in rows()]).write_csv(log)
    result = trained(log, "--split=key:0.8", "--no-sort-by-time")
    assert result.exception is None, result.output
    assert "warning:" in result.stderr
    assert says in " ".join(result.stderr.split())


def test_empty_parts_are_said(log):
    """Without a test part nothing is tested."""
    result = trained(log, "--split=key:1")
    assert result.exception is None
    assert "leaves the test part empty" in " ".join(result.stderr.split())


@pytest.mark.parametrize("name", ["torn.parquet", "missing.csv", "log.xlsx"])
def test_a_log_that_cannot_be_read_is_named(log, name):
    """Whatever is wrong with it."""
    path = log.parent / name
    if name == "torn.parquet":
        pl.DataFrame(rows()).write_parquet(path)
        path.write_bytes(path.read_bytes()[:-20])
    result = trained(path)
    assert isinstance(result.exception, ConfigError)
    assert str(path) in str(result.exception)
    assert not (log.parent / "bundle").exists()


def test_a_missing_spec_is_wrong_use(log, capsys):
    """Exit status 2, and the remedy."""
    with pytest.raises(SystemExit) as ended:
        main(["train", str(log), "--out", str(log.parent / "bundle")])
    assert ended.value.code == 2
    assert "stream-rnn spec init LOG" in " ".join(capsys.readouterr().err.split())


def test_a_full_disk_leaves_no_bundle(log, monkeypatch):
    """The message names the place; a second run succeeds."""
    from stream_rnn.training.checkpoint import Checkpoint

    def full(_self, _path, _recipe):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "write", full)
        result = trained(log)
    assert isinstance(result.exception, ConfigError)
    assert "cannot write" in str(result.exception)
    assert "No space left" in str(result.exception)
    assert not (log.parent / "bundle").exists()
    assert trained(log).exception is None


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(log):
    """No bundle is left half-written; the result is that of a run without the break."""
    options = [f"--spec={log.parent / 'spec.toml'}", "--epochs=400", "--patience=400", *QUICK[1:]]
    command = [sys.executable, "-m", "stream_rnn.cli", "train", str(log), *options]
    out, beside = log.parent / "bundle", log.parent / "bundle.training"
    process = subprocess.Popen([*command, f"--out={out}"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(beside.glob("*.safetensors")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    assert b"the same command resumes" in b" ".join(process.stderr.read().split())
    assert not out.exists()
    assert beside.exists()
    quick = [o if not o.startswith("--epochs") else "--epochs=3" for o in options]
    subprocess.run([*command[:5], *quick, f"--out={out}"], check=True, capture_output=True)
    assert load_bundle(out)
    assert not beside.exists()
