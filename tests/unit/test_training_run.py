"""A training run: resumed to the same bits, written whole or not at all, compared with naive rules."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from stream_rnn.errors import BundleError, ConfigError, SpecError, TrainingError
from stream_rnn.metrics.naive_baselines import Naive, predict
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.training import run as training_run
from stream_rnn.training.checkpoint import Checkpoint
from stream_rnn.training.dataset import concatenate_events, make_events
from stream_rnn.training.examples import fit, last_targets, targets
from stream_rnn.training.labels import read_labels
from stream_rnn.training.leakage import find_leaks
from stream_rnn.training.losses import WEIGHT_MAX, balanced_weights, window_loss
from stream_rnn.training.run import TrainingRun, fit_naive_rules, read_naive, run
from stream_rnn.training.search import search
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings
from tests.unit.test_training import EXAMPLES, RECALL, SETTINGS, C, log_of, spec_of

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
    run(plan, lambda name, progress: again.append((name, progress.epoch)))
    assert [name for name, _ in again if name == "gru"] == []
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
    """By validation loss; each seed's metrics are told."""
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
    plain = window_loss(spec, y, labels, {}, even).value
    heavy = window_loss(spec, y, labels, {"c": torch.tensor([2.0, 1.0, 1.0])}, even).value
    assert float(heavy) > float(plain)
    assert window_loss(spec, y, {"c": torch.full((4,), math.nan)}, {}, even) is None


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
WAIT = {"name": "wait", "kind": "time_to_next"}


def naive_examples():
    """Make a key that goes A, B, A, B, ... every 10 seconds."""
    spec = spec_of(NEXT, WAIT, features=[C])
    records = log_of(*[(b"k", "AB"[i % 2], 10 * i) for i in range(60)])
    examples = make_events([records], spec, SETTINGS).examples
    return spec, dataclasses.replace(examples, part=np.repeat([0, 1, 2], 20).astype(np.int8))


def test_the_better_naive_rule_is_the_markov_chain_where_order_is_all():
    """What followed a class in training is right each time; shares alone are right half the time."""
    spec, examples = naive_examples()
    naive, metrics, rules = fit_naive_rules(spec, examples)
    assert rules["next"] == "last"
    assert {name: head.rule for name, head in naive.heads.items()} == rules
    assert metrics["test"]["next"]["accuracy"] == 1.0
    shares = naive.heads["next"].predict("constant", np.array([0.0, np.nan]))
    assert shares.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert metrics["test"]["wait"]["mae"] == pytest.approx(0, abs=1e-4)
    assert naive.heads["wait"].value == pytest.approx(10)


def test_naive_rules_see_the_training_part_alone():
    """Other labels elsewhere change nothing."""
    spec, examples = naive_examples()
    labels = {**examples.labels, "next": [*examples.labels["next"][:21], *["B"] * 39]}
    naive, _, _ = fit_naive_rules(spec, examples)
    other, _, _ = fit_naive_rules(spec, dataclasses.replace(examples, labels=labels))
    assert naive.heads["next"] == other.heads["next"]


def test_only_next_heads_know_a_last_value():
    """What a head of now asks is not in the stream."""
    now = spec_of({"name": "n", "kind": "regression", "of": "now", "path": "d"}, features=[C])
    from stream_rnn.testing import record

    records = [record(i, b"k", {"c": "A", "d": float(i)}, i) for i in range(4)]
    examples = make_events([records], now, SETTINGS).examples
    assert np.isnan(last_targets(now.heads[0], examples)).all()
    naive = Naive.fit(now, {"n": targets(now.heads[0], examples)}, {"n": np.full(4, np.nan)})
    nothing = np.full(2, np.nan)
    assert predict(now.heads[0], naive.heads["n"], "last", nothing, nothing).tolist() == [
        1.5,
        1.5,
    ]


def test_naive_rules_that_are_not_ours_are_refused(tmp_path):
    """With the path and the remedy; a bundle without them has none."""
    assert read_naive(tmp_path) is None
    (tmp_path / "naive.json").write_text('{"format": 1, "heads": {"a": {"shares": [2]}}}')
    with pytest.raises(BundleError, match=r"naive\.json.*train the bundle again"):
        read_naive(tmp_path)


@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass"])
def test_a_planted_leak_is_seen(kind):
    """A feature that holds the next event's value is named; an honest one is not."""
    rng = np.random.default_rng(5)
    values = rng.integers(0, 2, 401)
    classes = {"classes": ["0", "1"]} if kind == "multiclass" else {}
    above = {"above": 0.5} if kind == "binary" else {}
    features = [
        {"kind": "categorical", "name": n, "path": n, "vocabulary": ["0", "1"]}
        if kind == "multiclass"
        else {"kind": "numeric", "name": n, "path": n, "missing": "mean"}
        for n in ("x", "future")
    ]
    head = {"name": "h", "kind": kind, "of": "next", "path": "x", **classes, **above}
    spec = spec_of(head, features=features)
    from stream_rnn.testing import record

    records = [
        record(i, b"k", {"x": int(values[i]), "future": int(values[i + 1])}, i) for i in range(400)
    ]
    examples = make_events([records], spec, SETTINGS).examples
    found = find_leaks(fit(spec, examples), examples)
    assert len(found) == 1
    assert "feature future alone determines the target of head h" in found[0]


LABELLED = {"name": "late", "kind": "binary", "of": "label", "path": "is_late"}


def test_labels_are_joined_by_place(tmp_path):
    """By the row of a file; of several rows for one event the last one counts."""
    spec = spec_of(LABELLED, features=[C])
    path = tmp_path / "labels.jsonl"
    rows = [(0, True), (2, True), (2, False), (9, True)]
    path.write_text("".join(json.dumps({"offset": o, "is_late": v}) + "\n" for o, v in rows))
    records = log_of((b"k", "A", 0), (b"m", "A", 1), (b"k", "B", 2))
    labels = read_labels(path, None, spec)
    events = make_events([records], spec, SETTINGS, labels=labels)
    found = targets(spec.heads[0], events.examples)
    assert [None if np.isnan(t) else t for t in found] == [1.0, None, 0.0]


def test_labels_are_joined_by_partition_and_offset(tmp_path):
    """Where the file names partitions, offsets of others are others."""
    spec = spec_of(LABELLED, features=[C])
    path = tmp_path / "labels.csv"
    path.write_text("partition,offset,is_late\n0,0,true\n1,1,false\n")
    labels = read_labels(path, None, spec)
    records = log_of((b"k", "A", 0), (b"m", "A", 1))
    found = [
        make_events([records], spec, SETTINGS, partition=p, labels=labels).examples.labels["late"]
        for p in (0, 1)
    ]
    assert found == [[True, None], [None, False]]


def test_labels_are_joined_by_an_id(tmp_path):
    """A field that the events and the labels share, nested or not."""
    spec = spec_of(LABELLED, features=[C])
    path = tmp_path / "labels.csv"
    path.write_text("trip.id,is_late\nb,true\na,false\n")
    from stream_rnn.testing import record

    records = [record(i, b"k", {"c": "A", "trip": {"id": t}}, i) for i, t in enumerate("abx")]
    labels = read_labels(path, "trip.id", spec)
    events = make_events([records], spec, SETTINGS, labels=labels)
    assert events.examples.labels == {"late": [False, True, None]}


@pytest.mark.parametrize(
    ("columns", "by", "head", "says"),
    [
        ("offset,other", None, LABELLED, r"no column is_late; it has offset, other"),
        ("place,is_late", None, LABELLED, r"no column offset"),
        ("offset,is_late", "trip", LABELLED, r"no column trip"),
        ("offset,is_late", None, NEXT, r'no head with of = "label"'),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, columns, by, head, says):
    """The message names the file and the column."""
    path = tmp_path / "labels.csv"
    path.write_text(columns + "\n1,true\n")
    with pytest.raises(ConfigError, match=says) as caught:
        read_labels(path, by, spec_of(head, features=[C]))
    assert str(path) in str(caught.value)


def test_a_head_of_labels_needs_a_file():
    """It is asked for before the log is read."""
    with pytest.raises(ConfigError, match=r"late.*needs a labels file; give --labels"):
        read_labels(None, None, spec_of(LABELLED, features=[C]))


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
