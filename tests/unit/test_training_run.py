"""A training run: resumed to the same bits, and written whole or not at all."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from stream_rnn.errors import ConfigError, SpecError, TrainingError
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.training import run as training_run
from stream_rnn.training.checkpoint import Checkpoint
from stream_rnn.training.dataset import concatenate_events, make_events
from stream_rnn.training.examples import targets
from stream_rnn.training.losses import WEIGHT_MAX, balanced_weights, window_loss
from stream_rnn.training.run import TrainingRun, run
from stream_rnn.training.search import search
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings
from tests.unit.test_training import EXAMPLES, RECALL, SETTINGS, spec_of
from tests.unit.test_training_labels import C, log_of

CELL = CellSpec(hidden=8)
QUICK = TrainingSettings(epochs=4, patience=4, window=16, dropout=0.3, ema_decay=0.9)


def plan_of(directory, **more):
    """Plan a quick run."""
    given = {"settings": QUICK, "seeds": 1, "examples": EXAMPLES, "spec": RECALL, "cell": CELL}
    return TrainingRun(out=directory / "bundle", provenance={"log": "t"}, **{**given, **more})


class Stop(Exception):  # noqa: N818  # it stands for Ctrl-C
    """The run is broken here."""


@pytest.mark.parametrize("kind", ["gru", "lstm", "none"])
@pytest.mark.parametrize("after", [1, 3])
def test_training_gone_on_with_gives_the_same_bits(tmp_path, kind, after):
    """As if it had never stopped: dropout, order of batches, moments and schedule included."""
    cell, path = CellSpec(kind=kind, hidden=8), tmp_path / "c.safetensors"
    whole = train(RECALL, cell, EXAMPLES, QUICK)

    def keep(checkpoint):
        checkpoint.write(path, "recipe")
        if checkpoint.epoch == after:
            raise Stop

    with pytest.raises(Stop):
        train(RECALL, cell, EXAMPLES, QUICK, on_checkpoint=keep)
    torch.manual_seed(99)
    found = Checkpoint.read(path, "recipe")
    assert found.epoch == after
    resumed = train(RECALL, cell, EXAMPLES, QUICK, resume=found)
    ours, theirs = (t.model.network.state_dict() for t in (resumed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert resumed.metrics == whole.metrics


def test_a_checkpoint_of_another_recipe_or_a_torn_one_is_none(tmp_path):
    """Then training starts again."""
    path = tmp_path / "c.safetensors"
    train(RECALL, CELL, EXAMPLES, QUICK, on_checkpoint=lambda c: c.write(path, "recipe"))
    assert Checkpoint.read(path, "other") is None
    assert Checkpoint.read(tmp_path / "nothing", "recipe") is None
    path.write_bytes(path.read_bytes()[:-100])
    assert Checkpoint.read(path, "recipe") is None


def test_a_broken_run_goes_on_and_leaves_a_whole_bundle(tmp_path):
    """The same plan ends with the fingerprint of an unbroken run; nothing else stays behind."""
    told = []

    def say(name, progress):
        told.append((name, progress.epoch))
        if (name, progress.epoch) == ("memoryless", 2):
            raise Stop

    plan = plan_of(tmp_path)
    with pytest.raises(Stop):
        run(plan, say)
    assert not plan.out.exists()
    assert plan.checkpoint_directory.exists()
    again = []
    run(plan, lambda name, progress: again.append((name, progress.phase)))
    assert {phase for name, phase in again if name == "gru"} <= {"scoring"}
    other = plan_of(tmp_path / "other")
    run(other)
    for place in ("", training_run.MEMORYLESS_NAME):
        resumed, whole = load_bundle(plan.out / place), load_bundle(other.out / place)
        assert resumed.fingerprint == whole.fingerprint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "other"]


def test_a_run_of_other_settings_does_not_go_on(tmp_path):
    """Its checkpoints are of another recipe."""
    plan = plan_of(tmp_path)

    def say(_name, progress):
        if progress.epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        run(plan, say)
    told = []
    settings = dataclasses.replace(QUICK, learning_rate=0.01)
    run(dataclasses.replace(plan, settings=settings), lambda n, p: told.append((n, p.epoch)))
    assert told[0] == ("gru", 1)


def test_a_bundle_never_stands_where_checkpoints_of_another_are_removed(tmp_path):
    """Neither may be written there, nor may one that was put there be removed in the end."""
    plan = plan_of(tmp_path)
    alike = plan.out.with_name(plan.out.name + ".training")
    with pytest.raises(ConfigError, match="has the name of the checkpoints of"):
        run(dataclasses.replace(plan, out=alike))
    run(plan)
    plan.out.rename(alike)
    with pytest.raises(ConfigError, match="this version did not create it"):
        run(plan)
    assert load_bundle(alike)


def test_a_bundle_is_replaced_and_nothing_else(tmp_path):
    """A directory that holds something else is refused before anything is trained."""
    plan = plan_of(tmp_path)
    run(plan)
    first = load_bundle(plan.out).fingerprint
    run(dataclasses.replace(plan, settings=dataclasses.replace(QUICK, seed=9)))
    assert load_bundle(plan.out).fingerprint != first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ConfigError, match="exists and is not a bundle"):
        run(dataclasses.replace(plan, out=tmp_path / "mine"))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    with pytest.raises(ConfigError, match="cannot write"):
        run(dataclasses.replace(plan, out=tmp_path / "mine" / "thesis.txt" / "bundle"))


def test_the_best_of_several_seeds_is_kept(tmp_path):
    """The validation loss decides; the result has the metrics of each seed."""
    plan = plan_of(tmp_path, seeds=3)
    result = run(plan)
    assert [seed["seed"] for seed in result.seeds] == [1, 2, 3]
    losses = [
        train(RECALL, CELL, EXAMPLES, dataclasses.replace(QUICK, seed=s)).validation_loss
        for s in (1, 2, 3)
    ]
    best = result.seeds[int(np.argmin(losses))]
    assert result.memory == best["memory"]
    assert len({json.dumps(seed["memory"]) for seed in result.seeds}) == 3


def test_a_search_never_looks_at_the_test_part():
    """Other test labels give the same trials, the best one first."""
    past = [
        (not v if part == 2 else v)
        for v, part in zip(EXAMPLES.labels["past"], EXAMPLES.part.tolist(), strict=True)
    ]
    lying = dataclasses.replace(EXAMPLES, labels={**EXAMPLES.labels, "past": past})
    trials, others = (search(RECALL, CELL, e, QUICK, 4) for e in (EXAMPLES, lying))
    assert trials == others
    assert len(trials) == 4
    losses = [trial.validation_loss for trial in trials]
    assert losses == sorted(losses)
    given = [
        t.settings for t in trials if t.cell == CELL and t.settings.dropout == pytest.approx(0.3)
    ]
    assert QUICK in [dataclasses.replace(settings, dropout=QUICK.dropout) for settings in given]
    assert len({t.settings.learning_rate for t in trials}) > 1


def test_a_loss_that_is_not_finite_is_said():
    """With the epoch and the remedy, and no model."""
    spec = spec_of(
        {"name": "y", "kind": "regression", "of": "next", "path": "x"},
        features=[
            {"kind": "numeric", "name": "x", "path": "x", "scaling": "none", "missing": "mean"}
        ],
    )
    from stream_rnn.testing import record

    records = [record(i, b"k", {"x": 3e38 * (-1) ** i}, i) for i in range(300)]
    examples = make_events([records], spec, SETTINGS).examples
    settings = dataclasses.replace(QUICK, learning_rate=1.0, clip_grad_norm=1e6)
    with pytest.raises(TrainingError, match=r"not finite in epoch \d.*learning-rate"):
        train(spec, CellSpec(kind="none", hidden=8), examples, settings)


def test_balanced_weights_let_classes_count_alike():
    """The weighted sum of each class's events is the same; a rare one has a bound."""
    spec = spec_of(
        {"name": "c", "kind": "multiclass", "path": "c", "classes": ["A", "B", "D"]}, features=[C]
    )
    target = np.array([0] * 90 + [1] * 10 + [np.nan] * 5)
    weights = balanced_weights(spec, {"c": target})["c"].tolist()
    assert weights[0] * 90 == pytest.approx(weights[1] * 10) == pytest.approx(50)
    rare = balanced_weights(spec, {"c": np.array([0.0] * 10_000 + [1.0])})["c"].tolist()
    assert rare[1] == WEIGHT_MAX
    y, labels = torch.zeros(4, 3), {"c": torch.tensor([0.0, 0.0, 1.0, math.nan])}
    y[2] = torch.tensor([0.0, 5.0, 0.0])
    even = {"c": 3.0}
    plain = window_loss(spec, y, labels, {}, even, QUICK).value
    heavy = window_loss(spec, y, labels, {"c": torch.tensor([2.0, 1.0, 1.0])}, even, QUICK).value
    assert float(heavy) > float(plain)
    assert window_loss(spec, y, {"c": torch.full((4,), math.nan)}, {}, even, QUICK) is None


def test_dropout_is_of_training_alone():
    """A bundle answers the same whatever its dropout was; training differs."""
    one, other = (
        train(RECALL, CELL, EXAMPLES, dataclasses.replace(QUICK, dropout=share)).model
        for share in (0.0, 0.5)
    )
    x, h = torch.zeros(3, one.feature_count), one.initial_hidden(3)
    assert torch.equal(other.step(x, h)[0], other.step(x, h)[0])
    assert not torch.equal(one.step(x, h)[0], other.step(x, h)[0])


NEXT = {"name": "next", "kind": "multiclass", "of": "next", "path": "c", "classes": ["A", "B"]}


def test_partitions_are_trained_on_together():
    """Their runs stay apart, their events are all there, and columns stay with their events."""
    spec = spec_of(NEXT, features=[C])
    logs = [
        log_of((b"k", "A", 0), (b"k", "B", 1)),
        [],
        log_of((b"k", "B", 0), (b"m", "A", 1), (b"k", "A", 5)),
    ]
    parts = [make_events([records], spec, SETTINGS, partition=p) for p, records in enumerate(logs)]
    events = concatenate_events(parts)
    assert events.partition.tolist() == [0, 0, 2, 2, 2]
    assert events.examples.columns["c"] == ["A", "B", "B", "A", "A"]
    found = targets(spec.heads[0], events.examples)
    assert [None if np.isnan(t) else t for t in found] == [1.0, None, 0.0, None, None]
    with pytest.raises(SpecError, match="no record of the log is a valid event; skipped: none"):
        concatenate_events([parts[1]])
