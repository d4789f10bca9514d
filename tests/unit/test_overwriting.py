"""A verb replaces what it wrote itself; what it did not make it neither deletes nor overwrites."""

import dataclasses
import errno
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from stream_rnn import overwriting
from stream_rnn.errors import ConfigError
from stream_rnn.model.bundle import load_bundle, save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.heads import Binary
from stream_rnn.model.network import Model
from stream_rnn.operate.archive import export
from stream_rnn.overwriting import check_picture, check_report
from stream_rnn.predictions.writer import PredictionWriter
from stream_rnn.replay import to_file
from stream_rnn.replay.logs import FileLog
from stream_rnn.replay.to_file import ReplayPlan, check_predictions, replay_to_file
from stream_rnn.settings import Settings
from stream_rnn.training.run import TrainingRun, check_out, run
from tests.unit.test_same_events import X, spec_of
from tests.unit.test_training import EXAMPLES, QUICK, RECALL

CELL = CellSpec(hidden=8)


class BrokenError(Exception):
    """The run is broken here."""


def plan_of(directory):
    """Make a plan of an epoch."""
    settings = dataclasses.replace(QUICK, epochs=1)
    return TrainingRun(RECALL, CELL, EXAMPLES, settings, 1, directory / "bundle", {})


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
        (
            "bundle.training",
            "thesis.txt",
            r"bundle\.training .*this version did not create it.*--out",
        ),
        (
            "bundle.training",
            "seed-1-gru.safetensors",
            r"this version did not create it.*an earlier version",
        ),
        ("bundle", "thesis.txt", r"exists and is not a bundle"),
        ("bundle", "bundle.json", r"exists and is not a bundle"),
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
    with pytest.raises(ConfigError, match=rf"also contains {name}.*move it elsewhere"):
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
    (plan.checkpoint_directory / "notes.txt").write_text("mine")
    again = []
    run(plan, lambda name, progress: again.append((name, progress.phase)))
    trained = {name for name, phase in again if phase == "training"}
    assert trained == {"memoryless", "gru-restarted"}
    assert content_of(plan.checkpoint_directory).keys() == {"notes.txt", "stream-rnn-training"}
    assert load_bundle(plan.out)


def test_training_replaces_no_link(plan, tmp_path):
    """Neither the link nor what it leads to."""
    (tmp_path / "other").mkdir()
    plan.out.symlink_to(tmp_path / "other")
    with pytest.raises(ConfigError, match="is not a directory; name another"):
        run(plan)
    assert plan.out.is_symlink()


@pytest.fixture
def small_replay(tmp_path):
    """Make a replay of five events."""
    spec = spec_of({"kind": "regression", "name": "n", "path": "x"}, features=(X,))
    spec = spec.model_copy(update={"event": spec.event.model_copy(update={"key": ("key",)})})
    torch.manual_seed(1)
    save_bundle(Model.initialize(spec, CELL), tmp_path / "b")
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"key": "k", "x": i}) + "\n" for i in range(5)))
    settings = Settings.build(app="app", source="log")
    return ReplayPlan(FileLog(log, spec), tmp_path / "b", settings, tmp_path / "p.jsonl")


def test_a_replay_deletes_no_directory_of_others(tmp_path, small_replay):
    """Its parts are in a directory that nothing else has; its target is a replay's, or not there."""
    out, log = small_replay.out, tmp_path / "log.jsonl"
    (tmp_path / "p.jsonl.replaying").mkdir()
    (tmp_path / "p.jsonl.replaying" / "thesis.txt").write_text("mine")
    before = content_of(tmp_path)
    for _ in range(2):  # the second one replaces what the first one wrote
        assert replay_to_file(small_replay).predictions == 5
    assert content_of(tmp_path) == {**before, "p.jsonl": out.read_bytes()}
    with pytest.raises(
        ConfigError, match=r"cannot write the predictions .*log\.jsonl.*not overwri"
    ):
        replay_to_file(dataclasses.replace(small_replay, out=log))
    assert content_of(tmp_path)["log.jsonl"] == before["log.jsonl"]


@pytest.mark.parametrize("name", ["thesis.txt", "bundle.json"])
def test_what_comes_to_a_bundles_place_during_training_is_not_deleted(plan, name):
    """Training takes long; what it made stays beside until somebody decides."""

    def put(_name, _progress):
        plan.out.mkdir(exist_ok=True)
        (plan.out / name).write_text('{"private": true}')

    with pytest.raises(ConfigError, match="exists and is not a bundle"):
        run(plan, put)
    assert content_of(plan.out) == {name: b'{"private": true}'}
    assert load_bundle(plan.checkpoint_directory / "bundle")


def test_what_comes_to_the_predictions_place_during_a_replay_is_not_overwritten(small_replay):
    """A replay takes long."""
    with pytest.raises(ConfigError, match="the existing file is not the predictions"):
        replay_to_file(small_replay, lambda *_: small_replay.out.write_text("mine"))
    assert small_replay.out.read_text() == "mine"
    assert not small_replay.parts_directory.exists()


@pytest.mark.parametrize(
    "key", [b"k", b"k" * 1000, b"\x00" * 4096, b"\xff" * 4096, b"\x01" * 10**6]
)
def test_a_replay_replaces_its_own_predictions_whatever_the_key(tmp_path, key):
    """The key stands before what tells a prediction from other JSON."""
    head = Binary(name="late", kind="binary", path="late")
    writer = PredictionWriter(
        heads=[head],
        name="m",
        fingerprint="ab" * 32,
        numerics="n",
        topic="t",
        partition=0,
        app="app",
        fold_id="0" * 12,
        top_k=5,
    )
    one, half = np.full(1, 1), {"late": np.full(1, 0.5, np.float32)}
    (value,) = writer.write([key], one, one, one, half)
    path = tmp_path / "p.jsonl"
    path.write_bytes(value + b"\n" + value + b"\n")
    check_predictions(path)
    path.write_bytes(value.replace(b'"outputs"', b'"others"'))
    with pytest.raises(ConfigError, match="is not the predictions of an earlier run"):
        check_predictions(path)


@pytest.mark.parametrize("check", [check_predictions, check_report, check_picture])
def test_what_is_no_file_is_called_so(tmp_path, check):
    """Neither a device nor a directory gives way to a file, nor a link, whatever it leads to."""
    (tmp_path / "file").touch()
    link = tmp_path / "link"
    for path in (Path("/dev/null"), tmp_path):
        with pytest.raises(ConfigError, match=f"{path}: the path is not a file"):
            check(path)
    for leads_to in ("/dev/null", tmp_path / "file", tmp_path / "nothing"):
        link.symlink_to(leads_to)
        with pytest.raises(ConfigError, match="link: the path is a link"):
            check(link)
        link.unlink()


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
    pl.DataFrame({name: [1] for name in to_file.PREDICTION_COLUMNS}).write_parquet(ours)
    check_predictions(ours)
    with pytest.raises(ConfigError, match="not overwritten"):
        check_predictions(mine)


def test_a_text_that_comes_too_late_does_not_overwrite(tmp_path):
    """What came meanwhile stays, and nothing is left beside it."""
    path = tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is not the report"):
        overwriting.write_whole(path, "text", "the report", check_report)
    assert content_of(tmp_path) == {"r.html": b"mine"}


def test_a_text_is_written_under_a_name_that_nothing_has(tmp_path):
    """Neighbours with the names that suggest themselves stay as they are."""
    for name in ("r.html.part", ".r.html.part"):
        (tmp_path / name).write_text("mine")
    overwriting.write_whole(tmp_path / "r.html", "text", "the report", check_report)
    assert content_of(tmp_path) == {
        "r.html": b"text",
        "r.html.part": b"mine",
        ".r.html.part": b"mine",
    }


def test_what_cannot_be_written_is_called_by_its_own_name(tmp_path, monkeypatch):
    """Not by the hidden one that it has meanwhile, with the directory that is missing, and what to do."""
    path = tmp_path / "no" / "x.svg"
    says = f"the picture {path}: there is no directory {path.parent}; name a file in a directory "
    writers = (
        lambda: check_picture(path),
        lambda: overwriting.write_whole(path, "text", "the picture", check_picture),
    )
    for write in writers:
        with pytest.raises(ConfigError) as caught:
            write()
        assert says in str(caught.value)
    with pytest.raises(ConfigError, match=r"cannot write the report .*there is no directory"):
        check_report(path)
    (tmp_path / "no").write_text("a file")
    for write in writers[1:]:
        with pytest.raises(ConfigError, match=r"x\.svg: Not a directory; name a file") as caught:
            write()
        assert ".x.svg" not in str(caught.value)

    def refuse(_self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(overwriting.Path, "is_dir", refuse)
    with pytest.raises(ConfigError, match=r"cannot write the report .*Permission denied; name a"):
        check_report(tmp_path / "r.html")


async def test_an_export_that_cannot_be_written_is_called_by_its_own_name(tmp_path):
    """The fold is not looked at before."""
    path = tmp_path / "no" / "states"
    with pytest.raises(ConfigError, match=r"the export .*no/states: there is no directory .*/no;"):
        await export(None, path, print)
    path.parent.write_text("a file")
    with pytest.raises(ConfigError, match=r"cannot write the export .*no/states: Not a directory"):
        await export(None, path, print)


@pytest.mark.parametrize("name", ["memoryless", "other", "memoryless/deeper/still"])
def test_a_neighbours_baseline_is_not_replaced(plan, name, monkeypatch):
    """Nothing is trained into a bundle, however the place is called."""
    run(plan)
    held = content_of(plan.out)
    places = [plan.out / name, plan.out.parent / "x" / ".." / plan.out.name / name]
    (plan.out.parent / "x").mkdir()
    (plan.out.parent / "link").symlink_to(plan.out)
    places.append(plan.out.parent / "link" / name)
    for place in places:
        with pytest.raises(
            ConfigError, match=rf"is inside the bundle .*/{plan.out.name}[/\w]* and would"
        ):
            run(dataclasses.replace(plan, out=place))
    monkeypatch.chdir(plan.out)
    with pytest.raises(ConfigError, match=r"--out \w+[/\w]* is inside the bundle"):
        check_out(Path(name))
    assert content_of(plan.out) == held
    check_out(plan.out)


@pytest.mark.parametrize("name", [".", "..", "a/..", "/"])
def test_a_place_without_a_name_is_refused(name, tmp_path, monkeypatch):
    """There would be no name for its checkpoints."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="does not end with the name of a directory; give one"):
        check_out(Path(name))
