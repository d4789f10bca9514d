"""A verb replaces what it wrote itself; what it did not make it neither deletes nor overwrites."""

import dataclasses
import json

import polars as pl
import pytest
import torch

from stream_rnn.errors import ConfigError
from stream_rnn.model.bundle import load_bundle, save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.model import Model
from stream_rnn.replay import overwriting
from stream_rnn.replay.logs import FileLog
from stream_rnn.replay.overwriting import check_picture, check_predictions, check_report
from stream_rnn.replay.parallel import Replay, replay_to_file
from stream_rnn.replay.training_run import Run, run
from stream_rnn.settings import Settings
from tests.unit.test_same_events import X, spec_of
from tests.unit.test_training import EXAMPLES, QUICK, RECALL

CELL = CellSpec(hidden=8)


class BrokenError(Exception):
    """The run is broken here."""


def plan_of(directory):
    """Make a plan of an epoch."""
    settings = dataclasses.replace(QUICK, epochs=1)
    return Run(RECALL, CELL, EXAMPLES, settings, 1, directory / "bundle", {})


@pytest.fixture
def plan(tmp_path):
    """Make a plan."""
    return plan_of(tmp_path)


def content_of(directory):
    """Return what is below a directory."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "name", "says"),
    [
        ("bundle.training", "thesis.txt", r"bundle\.training .*not made by training.*--out"),
        ("bundle.training", "seed-1-gru.safetensors", r"not made by training"),
        ("bundle", "thesis.txt", r"is there and is no bundle"),
        ("bundle", "bundle.json", r"is there and is no bundle"),
    ],
)
def test_training_deletes_no_directory_of_others(plan, tmp_path, place, name, says):
    """Whatever its name, it is refused before anything is trained, and stays as it is."""
    (tmp_path / place).mkdir()
    (tmp_path / place / name).write_text('{"private": true}')
    before = content_of(tmp_path)
    with pytest.raises(ConfigError, match=says):
        run(plan, lambda *_: pytest.fail("it trained"))
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("name", ["notes.txt", "memoryless/notes.txt"])
def test_training_again_keeps_what_was_put_beside_a_bundle(plan, name):
    """The file is named, and both stay; without it the bundle is replaced."""
    run(plan)
    (plan.out / name).write_text("mine")
    before = content_of(plan.out)
    with pytest.raises(ConfigError, match=rf"also holds {name}.*move it elsewhere"):
        run(plan)
    assert content_of(plan.out) == before
    (plan.out / name).unlink()
    run(dataclasses.replace(plan, settings=dataclasses.replace(plan.settings, seed=5)))
    assert load_bundle(plan.out)
    assert content_of(plan.out).keys() == before.keys() - {name}


def test_what_was_put_beside_checkpoints_stays(plan):
    """The broken run goes on; its own files go, the other one stays."""

    def stop(name, _progress):
        if name == "memoryless":
            raise BrokenError

    with pytest.raises(BrokenError):
        run(plan, stop)
    (plan.beside / "notes.txt").write_text("mine")
    again = []
    run(plan, lambda name, _: again.append(name))
    assert set(again) == {"memoryless"}
    assert content_of(plan.beside).keys() == {"notes.txt", "stream-rnn-training"}
    assert load_bundle(plan.out)


def test_training_replaces_no_link(plan, tmp_path):
    """Neither the link nor what it leads to."""
    (tmp_path / "other").mkdir()
    plan.out.symlink_to(tmp_path / "other")
    with pytest.raises(ConfigError, match="is no directory; name another"):
        run(plan)
    assert plan.out.is_symlink()


def test_a_replay_deletes_no_directory_of_others(tmp_path):
    """Its parts are in a directory that nothing else has; its target is a replay's, or not there."""
    spec = spec_of({"kind": "regression", "name": "n", "path": "x"}, features=(X,))
    spec = spec.model_copy(update={"event": spec.event.model_copy(update={"key": ("key",)})})
    torch.manual_seed(1)
    save_bundle(Model.initialize(spec, CELL), tmp_path / "b")
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"key": "k", "x": i}) + "\n" for i in range(5)))
    out = tmp_path / "p.jsonl"
    (tmp_path / "p.jsonl.replaying").mkdir()
    (tmp_path / "p.jsonl.replaying" / "thesis.txt").write_text("mine")
    before = content_of(tmp_path)
    settings = Settings.build(app="app", source="log")
    for _ in range(2):  # the second one replaces what the first one wrote
        plan = Replay(FileLog(log, spec), tmp_path / "b", settings, out)
        assert replay_to_file(plan) == 5
    assert content_of(tmp_path) == {**before, "p.jsonl": out.read_bytes()}
    with pytest.raises(
        ConfigError, match=r"cannot write the predictions .*log\.jsonl.*not overwri"
    ):
        replay_to_file(Replay(FileLog(log, spec), tmp_path / "b", settings, log))
    assert content_of(tmp_path)["log.jsonl"] == before["log.jsonl"]


@pytest.mark.parametrize("check", [check_predictions, check_report, check_picture])
def test_a_file_of_others_is_not_overwritten(tmp_path, check):
    """The message says what is there; an empty file and a free place are no one's."""
    for name in ("mine.jsonl", "mine.html", "mine.parquet"):
        path = tmp_path / name
        check(path)
        path.touch()
        check(path)
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
        with pytest.raises(ConfigError, match=rf"cannot write the .*{name}: .*not overwritten"):
            check(path)


def test_a_table_of_others_is_not_overwritten(tmp_path):
    """A Parquet file is a replay's if it has a replay's columns."""
    mine, ours = tmp_path / "mine.parquet", tmp_path / "ours.parquet"
    pl.DataFrame({"offset": [1]}).write_parquet(mine)
    pl.DataFrame({name: [1] for name in overwriting.PREDICTION_COLUMNS}).write_parquet(ours)
    check_predictions(ours)
    with pytest.raises(ConfigError, match="not overwritten"):
        check_predictions(mine)


def test_a_text_is_written_under_a_name_that_nothing_has(tmp_path):
    """Neighbours with the names that suggest themselves stay as they are."""
    for name in ("r.html.part", ".r.html.part"):
        (tmp_path / name).write_text("mine")
    overwriting.write_whole(tmp_path / "r.html", "text")
    assert content_of(tmp_path) == {
        "r.html": b"text",
        "r.html.part": b"mine",
        ".r.html.part": b"mine",
    }
