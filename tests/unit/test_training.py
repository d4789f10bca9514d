"""Training: labels, determinism, memory that is learned, and no look into the future."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from stream_rnn.errors import SpecError
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from stream_rnn.training import validation
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import fit
from stream_rnn.training.noise import Noise
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings
from tests import models

SETTINGS = Settings.build(app="app", source="events")
SECOND_MS = 1000


def spec_of(*heads, features=None):
    """Make a spec of one boolean feature, or of others."""
    bit = {"kind": "boolean", "name": "bit", "path": "bit", "missing": "error"}
    return FeatureSpec.parse({"name": "t", "features": features or [bit], "heads": heads}, "t")


RECALL = spec_of({"name": "past", "kind": "binary", "of": "now", "path": "past"})


def recall_task(seed, keys=24, events=40):
    """Make events of random bits that also say what the bit was three events ago."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (events, keys)).astype(bool).tolist()
    records = []
    for t in range(events):
        for key in range(keys):
            past = bits[t - 3][key] if t >= 3 else None
            event = {"bit": bits[t][key], "past": past}
            records.append(record(len(records), f"k{key}".encode(), event, t * SECOND_MS))
    events = make_events([records], RECALL, SETTINGS)
    examples = events.examples
    assert not events.skips
    part = np.repeat([0, 1, 2], [24 * keys, 6 * keys, 10 * keys]).astype(np.int8)
    return dataclasses.replace(examples, part=part)


EXAMPLES = recall_task(1)
QUICK = TrainingSettings(epochs=2, window=16)


def test_a_memory_learns_what_was_three_events_ago():
    """A GRU recalls a bit that its memoryless twin, with the same events, can only guess."""
    settings = TrainingSettings(epochs=30, patience=30, window=5, learning_rate=0.03)
    memory = train(RECALL, CellSpec(hidden=16), EXAMPLES, settings)
    memoryless = train(RECALL, CellSpec(kind="none", hidden=16), EXAMPLES, QUICK)
    assert memory.metrics["test"]["past"]["auc"] > 0.95
    assert 0.4 < memoryless.metrics["test"]["past"]["auc"] < 0.6


@pytest.mark.parametrize("kind", ["gru", "none"])
def test_training_is_deterministic_for_a_seed(kind):
    """The same seed gives the same tensors to the bit, another one others."""
    cell = CellSpec(kind=kind, hidden=8)
    one, same, other = (
        with_fingerprint(train(RECALL, cell, EXAMPLES, dataclasses.replace(QUICK, seed=seed)).model)
        for seed in (4, 4, 5)
    )
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_noise_is_only_on_numbers():
    """For each event, or once for each run; categories, truths and hours stay what they are."""
    spec = FeatureSpec.model_validate(models.SPEC)
    encoder = Encoder(spec)
    torch.manual_seed(1)
    x = torch.zeros(3, 200, encoder.feature_count)
    runs = slice(4, 7)
    each = Noise(spec, 0.5, 0.0, 9).add(x, runs)
    of_run = Noise(spec, 0.0, 0.5, 9).add(x, runs)
    without_runs = Noise(spec, 0.3, 0.4, 0).add(x, slice(3))
    numbers = {f.name for f in spec.features if f.kind in ("numeric", "since_previous")}
    for at, name in enumerate(encoder.names):
        if name not in numbers:
            assert not each[..., at].any(), name
            assert not of_run[..., at].any(), name
            continue
        assert 0.4 < float(each[..., at].std()) < 0.6
        assert (of_run[:, :1, at] == of_run[..., at]).all()
        assert len(set(of_run[:, 0, at].tolist())) == 3
        assert 0.4 < float(without_runs[..., at].std()) < 0.6
    assert numbers


def test_noise_is_never_on_what_judges():
    """It changes what is learned, the same way each time, and the loss is that without it."""
    x = {"kind": "numeric", "name": "x", "path": "x", "missing": "error"}
    spec = spec_of({"name": "n", "kind": "regression", "of": "next", "path": "x"}, features=[x])
    rows = [record(i, b"k%d" % (i % 5), {"x": float(i % 7)}, i * SECOND_MS) for i in range(200)]
    examples = make_events([rows], spec, SETTINGS).examples
    examples = dataclasses.replace(examples, part=np.repeat([0, 1], [150, 50]).astype(np.int8))
    fitted = fit(spec, examples)
    noisy = dataclasses.replace(QUICK, noise=0.2, key_noise=0.2)
    one, same, other = (
        train(fitted, CellSpec(hidden=8), examples, settings) for settings in (noisy, noisy, QUICK)
    )
    prints = [with_fingerprint(t.model).fingerprint for t in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]
    data = validation.EncodedExamples.encode(fitted, examples)
    assert one.validation_loss == validation.validation_loss(one.model, data, QUICK)


@pytest.mark.parametrize("bound", [{"EVENTS_MAX": 5}, {"WINDOW": 7}, {"FLOATS_MAX": 40}])
def test_predictions_do_not_depend_on_how_many_events_go_at_once(monkeypatch, bound):
    """The metrics of a model are the same to the bit."""
    whole = train(RECALL, CellSpec(hidden=8), EXAMPLES, QUICK)
    data = validation.EncodedExamples.encode(RECALL, EXAMPLES)
    for name, value in bound.items():
        monkeypatch.setattr(validation, name, value)
    assert validation.score_parts(whole.model, data) == whole.metrics


def test_training_says_how_far_it_is():
    """A progress bar gets every epoch up to its end."""
    told = []
    trained = train(RECALL, CellSpec(hidden=8), EXAMPLES, QUICK, told.append)
    assert trained.epochs == 2
    ends = [p for p in told if not math.isnan(p.epoch_loss)]
    assert [(p.epoch, p.done) for p in ends] == [(1, 1.0), (2, 1.0)]
    assert [p.validation_loss for p in ends] == [
        ends[0].epoch_loss,
        min(p.epoch_loss for p in ends),
    ]
    assert all(p.what == "gru" and p.epochs == 2 for p in told)
    assert all(np.isfinite(p.training_loss) for p in told)


def test_training_stops_when_validation_gets_no_better():
    """After so many epochs of patience; a learning rate of nothing never gets better."""
    settings = dataclasses.replace(QUICK, epochs=9, patience=2)
    object.__setattr__(settings, "learning_rate", 0.0)  # below its bound
    assert train(RECALL, CellSpec(hidden=8), EXAMPLES, settings).epochs == 3


def test_training_without_a_label_is_refused():
    """Where no training event has a label there is nothing to learn."""
    unlabelled = dataclasses.replace(
        EXAMPLES, labels={**EXAMPLES.labels, "past": [None] * len(EXAMPLES.time_ms)}
    )
    with pytest.raises(SpecError, match="no training event has a label"):
        train(RECALL, CellSpec(hidden=8), unlabelled, QUICK)


def test_keys_of_one_event_have_no_next_one_to_learn():
    """The refusal says so, and what to ask instead."""
    spec = spec_of({"name": "b", "kind": "binary", "of": "next", "path": "bit"})
    rows = [record(i, b"k%d" % i, {"bit": True}, i) for i in range(20)]
    examples = make_events([rows], spec, SETTINGS).examples
    with pytest.raises(SpecError, match=r'no key has a second event.*of = "now"'):
        train(spec, CellSpec(hidden=8), examples, QUICK)


def test_the_test_part_teaches_nothing():
    """Other labels in the test part give the same tensors, and other test metrics alone."""
    past = [
        (not v if part == 2 else v)
        for v, part in zip(EXAMPLES.labels["past"], EXAMPLES.part.tolist(), strict=True)
    ]
    lying = dataclasses.replace(EXAMPLES, labels={**EXAMPLES.labels, "past": past})
    cell = CellSpec(hidden=8)
    honest, other = train(RECALL, cell, EXAMPLES, QUICK), train(RECALL, cell, lying, QUICK)
    assert with_fingerprint(honest.model).fingerprint == with_fingerprint(other.model).fingerprint
    assert honest.metrics["validation"] == other.metrics["validation"]
    assert honest.metrics["test"] != other.metrics["test"]


@pytest.mark.parametrize("kind", ["elman", "gru", "lstm", "none"])
def test_a_future_event_never_changes_an_earlier_prediction(kind):
    """Whatever comes after event t, the predictions up to t keep their bits."""
    model, rng = models.small(kind, 8, 2), np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(4, 30, model.feature_count)).astype(np.float32))
    x[..., model.encoder.names.index("kind")] = 1
    for t in (0, 7, 28):
        future = x.clone()
        future[:, t + 1 :] = 1.0
        one, _ = model.forward(x, model.initial_hidden(4))
        other, _ = model.forward(future, model.initial_hidden(4))
        assert torch.equal(one[:, : t + 1], other[:, : t + 1])
        assert not torch.equal(one[:, t + 1 :], other[:, t + 1 :])


def test_the_fit_sees_the_training_part_alone():
    """Scalings come from events that train; the others may hold anything."""
    spec = spec_of(
        {"name": "y", "kind": "regression", "of": "next", "path": "x"},
        features=[{"kind": "numeric", "name": "x", "path": "x", "missing": "mean"}],
    )
    values = [1.0, 3.0, None, 5.0, 1e6, 2e6]
    records = [record(i, b"k", {"x": x}, i) for i, x in enumerate(values)]
    examples = make_events([records], spec, SETTINGS).examples
    part = np.array([0, 0, 0, 0, 1, 2], np.int8)
    fitted = fit(spec, dataclasses.replace(examples, part=part))
    assert fitted.features[0].fitted.model_dump() == {
        "mean": 3.0,
        "std": pytest.approx(np.std([1.0, 3.0, 5.0])),
        "min": 1.0,
        "max": 5.0,
    }
    assert fitted.heads[0].fitted.mean == pytest.approx((3.0 + 5.0 + 1e6) / 3)
    nothing = dataclasses.replace(examples, part=np.full(6, 2, np.int8))
    with pytest.raises(SpecError, match="the training part has no valid event"):
        fit(spec, nothing)


@pytest.mark.parametrize("unit", [1e-20, 1e-9, 1.0, 1e12])
def test_a_scaling_does_not_depend_on_the_unit(unit):
    """A small unit is no constant; the rounded mean of a constant is no spread."""
    spec = spec_of(
        {"name": "y", "kind": "regression", "of": "now", "path": "y"},
        features=[
            {"kind": "numeric", "name": name, "path": name, "missing": "mean"} for name in "xc"
        ],
    )
    records = [
        record(i, b"k", {"x": x * unit, "y": x * unit, "c": 0.1}, i)
        for i, x in enumerate((1, 3, 5))
    ]
    fitted = fit(spec, make_events([records], spec, SETTINGS).examples)
    expected = pytest.approx(np.std([1, 3, 5]) * unit, rel=1e-9, abs=0)
    assert fitted.features[0].fitted.std == expected
    assert fitted.heads[0].fitted.std == expected
    assert fitted.features[1].fitted.std == 1e-6
