"""Windows: each event once and in its order, little padding, and progress within an epoch."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model, Network
from stream_rnn.training.examples import Examples, fit
from stream_rnn.training.targets import Runs
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.windows import choose_steps, cut_windows

SPEC = FeatureSpec.parse(
    {
        "name": "t",
        "features": [{"kind": "numeric", "name": "x", "path": "x", "missing": "error"}],
        "heads": [{"kind": "regression", "name": "n", "of": "now", "path": "n"}],
    },
    "t",
)
RNG = np.random.default_rng(5)
LENGTHS = {
    "short": np.full(2000, 5),
    "long": np.full(3, 3000),
    "both": np.array([2] * 1000 + [900] * 8),
    "power law": np.minimum(RNG.pareto(1.0, 1500).astype(np.int64) + 1, 2000),
    "any": RNG.integers(1, 200, 100),
}


def runs_of(lengths, seed=3):
    """Return runs of these lengths, with the events of all runs in any order in the log."""
    first = np.cumsum(lengths) - lengths
    order = np.random.default_rng(seed).permutation(int(lengths.sum()))
    return Runs(order, first, lengths, np.zeros(len(first), bool))


def examples_of(lengths):
    """Return examples of runs; the last part of each run is validation and test."""
    runs, count = runs_of(lengths), int(lengths.sum())
    part = np.zeros(count, np.int8)
    for first, length in zip(runs.first, lengths.tolist(), strict=True):
        at = np.searchsorted([0.7, 0.85], np.arange(length) / length, side="right")
        part[runs.order[first : first + length]] = at
    values = np.random.default_rng(1).normal(size=count).tolist()
    since = np.full(count, np.nan)
    return Examples({"x": values}, np.arange(count), since, runs, part, {"n": values})


@pytest.mark.parametrize("is_shuffled", [False, True])
@pytest.mark.parametrize("runs_max", [1, 3, None])
@pytest.mark.parametrize("events_max", [1, 12, 1000])
def test_windows_have_each_event_once_and_in_order(events_max, runs_max, is_shuffled):
    """A run goes from window to window, and from block to block, at one place."""
    lengths = np.array([4, 9, 1, 9, 6, 30])
    runs = runs_of(lengths)
    seen = {}
    is_needed = np.ones(len(runs.order), bool)
    cut = cut_windows(runs, is_needed, 4, events_max, runs_max, is_shuffled=is_shuffled)
    for window in cut:
        assert window.is_first == (window.runs.start not in seen)
        assert runs_max is None or window.runs.stop - window.runs.start <= runs_max
        rows = [len(block.events) for block in window.blocks]
        assert rows[0] == window.runs.stop - window.runs.start
        assert all(a > b for a, b in pairwise(rows))
        assert sum(block.events.shape[1] for block in window.blocks) <= 4
        for block in window.blocks:
            places = range(window.runs.start, window.runs.start + len(block.events))
            for place, events, valid in zip(places, block.events, block.valid, strict=True):
                seen.setdefault(place, []).extend(events[valid].tolist())
    expected = [
        runs.order[at : at + length].tolist()
        for at, length in zip(runs.first, lengths.tolist(), strict=True)
    ]
    assert sorted(seen.values()) == sorted(expected)


def test_windows_end_with_the_last_event_that_counts():
    """A run without one has no window at all; events before the last one remain."""
    runs = runs_of(np.array([6, 5, 3]))
    is_needed = np.zeros(14, bool)
    is_needed[[runs.order[3], runs.order[1], runs.order[11]]] = True
    cut = cut_windows(runs, is_needed, 2, 100)
    assert sorted(np.concatenate([window.events for window in cut]).tolist()) == sorted(
        [*runs.order[:4].tolist(), runs.order[11]]
    )


def test_shuffled_windows_put_other_runs_together_each_time():
    """Runs of like length, so that late windows still have several runs."""
    lengths = np.repeat([4, 40], 50)
    runs = runs_of(lengths)
    is_needed = np.ones(len(runs.order), bool)
    of_event = np.empty(len(runs.order), np.int64)
    of_event[runs.order] = np.repeat(np.arange(100), lengths)
    torch.manual_seed(1)
    groups = []
    for _ in range(3):
        cut = cut_windows(runs, is_needed, 64, 10_000, 10, is_shuffled=True)
        assert len(cut) == 10
        groups.append([sorted(set(of_event[window.events].tolist())) for window in cut])
        assert all(len(set(lengths[group].tolist())) == 1 for group in groups[-1])
    assert groups[0] != groups[1] != groups[2]


@pytest.mark.parametrize("shape", LENGTHS)
def test_the_network_steps_hardly_more_often_than_there_are_events(shape, monkeypatch):
    """In training, validation and scoring, whatever the lengths of the runs."""
    examples = examples_of(LENGTHS[shape])
    steps = {"training": 0, "validation": 0, "scoring": 0}
    now = []
    train_step, model_step = Network.forward, Model.forward

    def count_training(network, x, h):
        steps["training"] += x.shape[0] * x.shape[1] if network.training else 0
        return train_step(network, x, h)

    def count_others(model, x, h):
        steps["scoring" if now and now[-1].epoch_loss == now[-1].epoch_loss else "validation"] += (
            x.shape[0] * x.shape[1]
        )
        return model_step(model, x, h)

    monkeypatch.setattr(Network, "forward", count_training)
    monkeypatch.setattr(Model, "forward", count_others)

    def keep(progress):
        if progress.phase != "scoring":
            now.append(progress)

    settings = TrainingSettings(epochs=1)
    train(fit(SPEC, examples), CellSpec(hidden=8), examples, settings, keep)
    events = len(examples.part)
    assert 0 < steps["training"] <= 1.3 * (examples.part == 0).sum()
    assert 0 < steps["validation"] <= 1.3 * (examples.part <= 1).sum()
    assert events <= steps["scoring"] <= 1.3 * events


@pytest.mark.parametrize("kind", ["gru", "none"])
def test_progress_moves_within_an_epoch(kind):
    """While the network trains, while it is validated, and while it is scored."""
    examples = examples_of(LENGTHS["any"])
    found = []
    settings = TrainingSettings(epochs=2, window=16)
    train(fit(SPEC, examples), CellSpec(kind=kind, hidden=8), examples, settings, found.append)
    events = [progress.events for progress in found]
    assert events == sorted(events)
    assert all(progress.events <= progress.events_max for progress in found)
    for epoch in (1, 2):
        of_epoch = [p for p in found if p.epoch == epoch and p.phase != "scoring"]
        assert [p.phase for p in of_epoch] == sorted(p.phase for p in of_epoch)
        assert {p.phase for p in of_epoch} == {"training", "validation"}
        assert [p.done for p in of_epoch] == sorted(p.done for p in of_epoch)
        assert [p.done for p in of_epoch if not math.isnan(p.epoch_loss)] == [1.0]
    assert found[-1].phase == "scoring"
    assert found[-1].done == 1.0
    assert found[-1].events == found[-1].events_max
    trained = [p for p in found if p.phase != "scoring"]
    assert trained[-1].events == trained[-1].events_max


def test_a_run_without_a_validation_event_costs_a_validation_nothing():
    """Its outputs count nowhere, and no other run's memory comes from it."""
    examples = examples_of(LENGTHS["any"])
    runs = examples.runs
    part = examples.part.copy()
    for first, length in zip(runs.first[10:], runs.length[10:], strict=True):
        part[runs.order[first : first + length]] = 0
    examples = dataclasses.replace(examples, part=part)
    found = []
    train(
        fit(SPEC, examples), CellSpec(hidden=8), examples, TrainingSettings(epochs=1), found.append
    )
    parts = [part[runs.order[at : at + n]] for at, n in zip(runs.first, runs.length, strict=True)]
    validated = sum((of_run <= 1).sum() for of_run in parts if (of_run == 1).any())
    assert 0 < validated < len(part) / 10
    assert found[0].events_max == (part == 0).sum() + validated


@pytest.mark.parametrize(
    ("lengths", "labelled", "steps"),
    [
        ([500] * 4, lambda *_: True, 64),
        ([5] * 90, lambda at, length: at == length - 1, 64),
        ([201] * 4, lambda at, length: at == length - 1, 256),
        ([201] * 4, lambda at, _: at % 50 == 0, 64),
        ([11, 31, 101, 301, 1001] * 4, lambda at, length: at == length - 1, 1024),
        ([9000] * 2, lambda at, length: at == length - 1, 1024),
        ([9], lambda *_: False, 64),
    ],
)
def test_windows_reach_from_a_label_to_the_one_before(lengths, labelled, steps):
    """A label at the end of a key alone must teach about the key's first events."""
    lengths = np.array(lengths)
    runs = runs_of(lengths)
    is_labelled = np.zeros(len(runs.order), bool)
    is_labelled[runs.order] = [labelled(at, n) for n in lengths.tolist() for at in range(n)]
    assert choose_steps(runs, is_labelled) == steps
