"""No network is trained worse than without memory: a second start from the memoryless baseline."""

import dataclasses

import numpy as np
import pytest
import torch

from stream_rnn.errors import ConfigError
from stream_rnn.model.bundle import load_bundle, read_bundle
from stream_rnn.model.cells import CellSpec, cell_of
from stream_rnn.model.network import Model
from stream_rnn.testing import record
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import fit
from stream_rnn.training.run import TrainingRun, run
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.warm_start import start_from_memoryless_
from tests import models
from tests.unit.test_training import EXAMPLES, RECALL, SETTINGS, spec_of

KEYS, EVENTS = 40, 60
QUICK = TrainingSettings(epochs=6, seed=2)
NUMBERS = [{"kind": "numeric", "name": n, "path": n, "scaling": "none"} for n in ("a", "b")]
PRODUCT = spec_of({"name": "y", "kind": "binary", "of": "now", "path": "y"}, features=NUMBERS)


def product_log(share_of_past, spec=PRODUCT):
    """Make events whose label is whether a b > 0; a share has that of the previous event."""
    rng = np.random.default_rng(5)
    a, b = rng.uniform(-2, 2, (2, EVENTS, KEYS)).round(3)
    is_past = rng.random((EVENTS, KEYS)) < share_of_past
    records = []
    for t in range(EVENTS):
        for key in range(KEYS):
            at = max(t - 1, 0) if is_past[t, key] else t
            event = {"a": a[t, key], "b": b[t, key], "y": bool(a[at, key] * b[at, key] > 0)}
            records.append(record(len(records), f"k{key}".encode(), event, t * 1000))
    part = np.repeat([0, 1, 2], [40 * KEYS, 8 * KEYS, 12 * KEYS]).astype(np.int8)
    return dataclasses.replace(make_events([records], spec, SETTINGS).examples, part=part)


PRESENT = product_log(0.0)


def plan_of(directory, examples=PRESENT, kind="gru", spec=PRODUCT, **settings):
    """Plan a run."""
    return TrainingRun(
        spec=spec,
        cell=CellSpec(kind=kind, hidden=16),
        examples=examples,
        settings=dataclasses.replace(QUICK, **settings),
        seeds=1,
        out=directory / "bundle",
        provenance={},
    )


def outputs_of(network, cell, x):
    """Return y (T, B, O) of a network without a past."""
    with torch.inference_mode():
        return network.eval()(x, torch.zeros(x.shape[1], *cell.hidden_shape))[0]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("hidden", [5, 16])
@pytest.mark.parametrize(("kind", "error"), [("elman", 1e-6), ("gru", 2e-3), ("lstm", 0.1)])
def test_a_network_starts_as_the_baseline(kind, error, hidden, layers):
    """With embeddings, several layers and any hidden size; whatever happened before."""
    torch.manual_seed(3)
    spec = models.small().spec
    memory, none = (CellSpec(kind=k, hidden=hidden, layers=layers) for k in (kind, "none"))
    network, baseline = (Model.initialize(spec, cell).network for cell in (memory, none))
    width = len(Model(spec, none, baseline).encoder.names)
    x = torch.randint(0, 2, (9, 7, width)).float()
    expected = outputs_of(baseline, none, x)
    assert (outputs_of(network, memory, x) - expected).abs().max() > 0.1
    start_from_memoryless_(network, memory, baseline)
    assert (outputs_of(network, memory, x) - expected).abs().max() < error


@pytest.mark.parametrize("kind", ["elman", "gru", "lstm"])
def test_a_network_is_never_trained_worse_than_its_baseline(tmp_path, kind):
    """Where only the present matters, random weights lose; the second start does not."""
    random = run(plan_of(tmp_path / "random", kind=kind, initial_weights="random"))
    assert random.seeds[0]["initial_weights"] == "random"
    loss = {n: getattr(random, n)["validation"]["y"]["log_loss"] for n in ("memory", "memoryless")}
    assert loss["memory"] > loss["memoryless"]
    plan = plan_of(tmp_path / "auto", kind=kind)
    auto = run(plan)
    assert auto.memoryless == random.memoryless
    assert auto.seeds[0]["initial_weights"] == "memoryless"
    assert auto.memory["validation"]["y"]["log_loss"] <= loss["memoryless"]
    assert read_bundle(plan.out).provenance["initial_weights"] == "memoryless"


def test_a_memory_that_helps_is_trained_once(tmp_path):
    """With the bits of random weights alone."""
    names = [set(), set()]
    plans = [
        plan_of(tmp_path / w, EXAMPLES, spec=RECALL, epochs=40, window=16, initial_weights=w)
        for w in ("auto", "random")
    ]
    for plan, seen in zip(plans, names, strict=True):
        run(plan, lambda name, _, seen=seen: seen.add(name))
    assert names == [{"gru", "memoryless"}] * 2
    auto, random = (load_bundle(plan.out).fingerprint for plan in plans)
    assert auto == random


def test_a_memory_is_added_to_the_baseline(tmp_path):
    """Past and present matter: the second start learns both, random weights only begin to."""
    plan = plan_of(tmp_path, product_log(0.4), initial_weights="memoryless", epochs=20)
    names = set()
    result = run(plan, lambda name, _: names.add(name))
    assert names == {"gru-restarted", "memoryless"}
    auc = [of["test"]["y"]["auc"] for of in (result.memory, result.memoryless)]
    assert auc[0] > auc[1] + 0.03


def test_a_second_start_that_is_interrupted_resumes_to_the_same_bits(tmp_path):
    """From its own checkpoint, as the first one would."""

    class Stop(Exception):  # noqa: N818  # it stands for Ctrl-C
        """The run is broken here."""

    def stop(name, progress):
        if name == "gru-restarted" and progress.epoch == 3:
            raise Stop

    plan, whole = plan_of(tmp_path / "broken"), plan_of(tmp_path / "whole")
    with pytest.raises(Stop):
        run(plan, stop)
    epochs = []
    run(plan, lambda name, p: epochs.append((name, p.epoch, p.phase)))
    assert {e for n, e, phase in epochs if n == "gru-restarted" and phase != "scoring"} == {
        3,
        4,
        5,
        6,
    }
    run(whole)
    assert load_bundle(plan.out).fingerprint == load_bundle(whole.out).fingerprint


def test_a_start_that_is_never_beaten_is_what_remains():
    """A rate that ruins the network leaves the function of the baseline, and its loss."""
    none = CellSpec(kind="none", hidden=16)
    baseline = train(PRODUCT, none, PRESENT, dataclasses.replace(QUICK, epochs=18))
    ruined = dataclasses.replace(QUICK, learning_rate=1.0, epochs=2)
    cell, start = CellSpec(hidden=16), baseline.model.network
    found = train(PRODUCT, cell, PRESENT, ruined, memoryless=start)
    assert found.is_from_memoryless
    assert found.validation_loss == pytest.approx(baseline.validation_loss, rel=1e-3)


def test_a_start_has_the_loss_by_which_its_epochs_are_chosen():
    """With the absolute error, too: a smaller loss of another kind would make every epoch lose."""
    head = {"name": "next_a", "kind": "regression", "path": "a"}
    spec = spec_of(head, features=NUMBERS)
    examples = product_log(0.0, spec)
    spec = fit(spec, examples)
    cells = [CellSpec(kind=kind, hidden=8) for kind in ("none", "gru")]
    settings = dataclasses.replace(QUICK, number_loss="l1", learning_rate=1e-5, epochs=1)
    baseline = train(spec, cells[0], examples, settings)
    found = train(spec, cells[1], examples, settings, memoryless=baseline.model.network)
    assert found.validation_loss == pytest.approx(baseline.validation_loss, rel=0.02)


def test_a_class_starts_from_random_weights_only(tmp_path):
    """Its gates are not known; memoryless is refused by name before anything is trained."""
    plan = dataclasses.replace(plan_of(tmp_path, epochs=1), cell=cell_of("mingru", 16, 1, {}))
    scores = run(plan)
    assert [seed["initial_weights"] for seed in scores.seeds] == ["random"]
    settings = dataclasses.replace(plan.settings, initial_weights="memoryless")
    refused = dataclasses.replace(plan, settings=settings, out=tmp_path / "refused")
    with pytest.raises(ConfigError, match=r"initial_weights: the cell mingru .* auto or random"):
        run(refused)
    assert not refused.checkpoint_directory.exists()
