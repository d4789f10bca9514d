"""The losses of numbers and times: what each is, and which prediction it leads to."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import fit
from stream_rnn.training.losses import MeanLoss, window_loss
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import EncodedExamples, validation_loss

SETTINGS = Settings.build(app="app", source="events")
MEAN, STD = 3.0, 2.0
SPEC = FeatureSpec.parse(
    {
        "name": "t",
        "features": [{"kind": "numeric", "name": "x", "path": "x", "missing": "error"}],
        "heads": [
            {"kind": "regression", "name": "n", "path": "x", "fitted": {"mean": MEAN, "std": STD}},
            {"kind": "time_to_next", "name": "wait", "fitted": {"mean": MEAN, "std": STD}},
        ],
    },
    "t",
)


def test_l1_is_the_absolute_error_in_the_unit_of_the_prediction():
    """Of a number in standard deviations; of a time in seconds, not of its logarithm."""
    y = torch.tensor([[0.5, -0.2], [-3.0, 1.5]])
    numbers, seconds = [7.0, -1.0], [4.0, 900.0]
    loss = MeanLoss(SPEC, TrainingSettings(number_loss="l1"))

    loss.add(y, {"n": torch.tensor(numbers), "wait": torch.tensor(seconds).log1p()})

    predicted = [SPEC.heads[i].output(y.numpy()[:, [i]].T.astype(float)) for i in (0, 1)]
    unit = math.exp(MEAN + STD) - 1  # one standard deviation above the mean
    expected = np.abs(predicted[0] - numbers).mean() / STD
    expected += np.abs(predicted[1] - seconds).mean() / unit
    assert loss.value == pytest.approx(expected, rel=1e-5)


def test_a_time_beyond_all_bounds_has_a_finite_l1_loss():
    """The loss has the bound of the output."""
    y = torch.tensor([[0.0, 1e6]])
    loss = MeanLoss(SPEC, TrainingSettings(number_loss="l1"))
    loss.add(y, {"n": torch.tensor([math.nan]), "wait": torch.tensor([1.0])})
    assert math.isfinite(loss.value)


def waits_of(seed):
    """Make keys whose next event comes soon in most cases, and otherwise after a day."""
    rng, records = np.random.default_rng(seed), []
    for key in range(60):
        at = 0
        for _ in range(12):
            records.append((at, b"k%d" % key))
            at += 10_000 if rng.random() < 0.6 else 86_400_000
    records.sort(key=lambda row: row[0])
    return [record(i, key, {"x": 1.0}, at) for i, (at, key) in enumerate(records)]


def train_on_waits(**options):
    """Train a network that sees only a constant.

    Returns:
        The error of the chosen epoch, its loss, and its loss computed again from the outputs.
    """
    head = SPEC.heads[1].model_copy(update={"fitted": None})
    spec = SPEC.model_copy(update={"heads": (head,)})
    events = make_events([waits_of(1)], spec, SETTINGS)
    part = np.array([int(key[-1:] in b"05") for key in events.keys], np.int8)
    examples = dataclasses.replace(events.examples, part=part)
    fitted = fit(spec, examples)
    settings = TrainingSettings(epochs=30, learning_rate=0.02, **options)
    trained = train(fitted, CellSpec(kind="none", hidden=8), examples, settings)
    data = EncodedExamples.encode(fitted, examples)
    computed = validation_loss(trained.model, data, settings)
    return trained.metrics["validation"]["wait"]["mae"], trained.validation_loss, computed


def test_l1_leads_to_the_median_and_to_the_least_absolute_error():
    """Six waits of ten are ten seconds: the mean of the logarithms is far from each of the two."""
    l1, chosen, computed = train_on_waits(number_loss="l1")
    smooth, _, _ = train_on_waits(number_loss="smooth_l1")
    assert chosen == computed
    assert l1 < smooth

    events = make_events([waits_of(1)], SPEC, SETTINGS)
    waits = [
        seconds
        for key, seconds in zip(events.keys, _seconds_to_next(events), strict=True)
        if key[-1:] in b"05" and math.isfinite(seconds)
    ]
    assert l1 == pytest.approx(np.abs(np.array(waits) - np.median(waits)).mean(), rel=0.02)


def _seconds_to_next(events):
    examples = events.examples
    order, result = examples.runs.order, np.full(len(events.keys), np.nan)
    result[order[:-1]] = examples.since_ms[order[1:]] / 1000
    return result.tolist()


def minimum(settings, targets):
    """Return the constant prediction, in standard deviations, with the least loss of a number."""
    head = SPEC.heads[0].model_copy(update={"fitted": None})
    spec = SPEC.model_copy(update={"heads": (head,)})
    y = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([y], lr=0.02)
    for _ in range(2000):
        columns = y.expand(len(targets))[:, None]
        loss = window_loss(spec, columns, {"n": targets}, {}, {"n": len(targets)}, settings)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    return float(y.detach())


def test_a_weight_of_overestimates_makes_smooth_l1_predict_an_expectile():
    """Errors above and below balance once the former count three times."""
    targets = torch.tensor([-0.4, -0.3, -0.1, 0.0, 0.2, 0.4])  # where smooth_l1 is quadratic
    found = minimum(TrainingSettings(overestimate_weight=3.0), targets)

    errors = found - targets.numpy()
    assert found < float(targets.mean()) - 0.05
    assert 3 * errors[errors > 0].sum() == pytest.approx(-errors[errors < 0].sum(), rel=1e-3)
    assert minimum(TrainingSettings(), targets) == pytest.approx(float(targets.mean()), abs=1e-4)


def test_a_weight_of_overestimates_makes_l1_predict_a_quantile():
    """With a weight of 3, a quarter of the targets are below the prediction."""
    targets = torch.arange(1, 100) / 100
    settings = TrainingSettings(number_loss="l1", overestimate_weight=3.0)
    assert minimum(settings, targets) == pytest.approx(0.25, abs=0.02)


def test_both_sides_of_a_time_are_weighed_in_seconds():
    """The two weights have a mean of 1, so that other heads count as before."""
    y = torch.tensor([[0.0, -0.2], [0.0, 1.5]])
    labels = {"n": torch.full((2,), math.nan), "wait": torch.tensor([4.0, 900.0]).log1p()}
    loss = MeanLoss(SPEC, TrainingSettings(number_loss="l1", overestimate_weight=3.0))
    loss.add(y, labels)

    errors = SPEC.heads[1].output(y.numpy()[:, [1]].T.astype(float))[0] - [4.0, 900.0]
    assert errors[0] > 0 > errors[1]
    weighed = (1.5 * errors[0] - 0.5 * errors[1]) / 2
    assert loss.value == pytest.approx(weighed / (math.exp(MEAN + STD) - 1), rel=1e-5)


def test_training_chooses_the_epoch_by_the_weighed_loss():
    """The loss of validation is weighed as that of training is."""
    _, plain, _ = train_on_waits(number_loss="l1")
    _, chosen, computed = train_on_waits(number_loss="l1", overestimate_weight=3.0)
    assert chosen == computed
    assert chosen != plain
