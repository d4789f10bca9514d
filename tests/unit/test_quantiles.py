"""Quantile heads: their loss, order, names, metrics and rules, from training to a report."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn import Prediction, compare, evaluate, propose_spec, replay, trace, train
from stream_rnn.cli.tail import describe_output
from stream_rnn.errors import SpecError
from stream_rnn.evaluation.questions import question
from stream_rnn.evaluation.worst_predictions import calibration_bins, describe_prediction
from stream_rnn.metrics.bootstrap import draw_keys, resampled_metrics
from stream_rnn.metrics.naive_baselines import Naive, predict
from stream_rnn.metrics.scores import better, main_metric, score
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import Quantile
from stream_rnn.predictions.frames import to_polars
from stream_rnn.training.losses import MeanLoss
from stream_rnn.training.training_settings import TrainingSettings

HEAD = {"name": "range", "kind": "quantile", "path": "y", "quantiles": [0.1, 0.5, 0.9]}


def head_of(**more):
    """Make a quantile head."""
    return Quantile.model_validate({**HEAD, **more})


def spec_of(**more):
    """Make a spec with a quantile head."""
    feature = {"name": "x", "kind": "numeric", "path": "x"}
    return FeatureSpec.parse({"name": "t", "features": [feature], "heads": [{**HEAD, **more}]}, "t")


def pinball(quantile, target, value):
    """Return the pinball loss by its definition."""
    return quantile * (target - value) if target > value else (1 - quantile) * (value - target)


@given(st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3))
def test_quantiles_ascend_in_every_event(y):
    """In the unit of the target, below the cap; each event by itself."""
    head = head_of(fitted={"mean": 100.0, "std": 10.0}, cap=120.0)
    columns = np.array([y, [0.0, 0.0, 0.0]], np.float64).T

    output = head.output(columns)

    expected = sorted(min(100 + 10 * value, 120) for value in y)
    assert output[:, 0].tolist() == pytest.approx(expected)
    assert np.array_equal(output[:, :1], head.output(columns[:, :1]))
    assert head.labels == ("p10", "p50", "p90")


def test_the_loss_is_the_pinball_loss():
    """The mean over the quantiles, of scaled targets."""
    spec = spec_of(fitted={"mean": 2.0, "std": 4.0})
    y, labels = torch.tensor([[-1.0, 0.0, 2.0], [0.5, 0.1, 0.3]]), torch.tensor([3.0, -6.0])
    loss = MeanLoss(spec, TrainingSettings())

    loss.add(y, {"range": labels})

    scaled = [(label - 2) / 4 for label in labels.tolist()]
    expected = np.mean(
        [
            pinball(quantile, target, value)
            for row, target in zip(y.tolist(), scaled, strict=True)
            for quantile, value in zip((0.1, 0.5, 0.9), row, strict=True)
        ]
    )
    assert loss.value == pytest.approx(expected)


def test_metrics_are_pinball_loss_coverage_and_width():
    """In the unit of the target; a bootstrap of every key once gives the same."""
    head = head_of()
    output = np.array([[0, 1, 2], [5, 6, 9], [1, 1, 1]] * 10, np.float32)
    target = np.array([1.5, 4.0, 1.0] * 10)

    found = score(head, output, target)

    losses = [
        pinball(quantile, t, float(value))
        for row, t in zip(output, target, strict=True)
        for quantile, value in zip(head.quantiles, row, strict=True)
    ]
    assert found == pytest.approx({"pinball": np.mean(losses), "coverage": 2 / 3, "width": 2.0})
    assert (main_metric(head), better("pinball")) == ("pinball", "lower")
    draws = draw_keys(30, seed=1, samples=5) * 0 + 1
    drawn = resampled_metrics(head, output, target, np.arange(30), draws)
    assert {name: values[0] for name, values in drawn.items()} == pytest.approx(found)
    bins = calibration_bins(head, output, target)
    assert [(b.predicted, b.observed) for b in bins] == [
        (0.1, pytest.approx(2 / 3)),
        (0.5, pytest.approx(2 / 3)),
        (0.9, 1.0),
    ]
    assert describe_prediction(head, output, 1, 4.0) == ("6 (5 to 9)", "4")
    assert set(score(head_of(quantiles=[0.5]), output[:, :1], target)) == {"pinball"}


def test_naive_rules_are_quantiles_of_targets_and_of_changes():
    """``last`` adds the quantiles of the changes in training to the latest value."""
    spec, rng = spec_of(), np.random.default_rng(1)
    last = np.concatenate([[np.nan], rng.normal(0, 50, 999)])
    target = np.where(np.isnan(last), 0.0, last) + rng.normal(3, 1, 1000)
    naive = Naive.fit(spec, {"range": target}, {"range": last}).heads["range"]
    (head,) = spec.heads

    constant = predict(head, naive, "constant", last, target)
    after = predict(head, naive, "last", last, target)

    assert constant.shape == after.shape == (1000, 3)
    assert constant[0].tolist() == pytest.approx(np.quantile(target, [0.1, 0.5, 0.9]).tolist())
    assert after[0].tolist() == constant[0].tolist()
    assert (after[1:, 1] - last[1:]).tolist() == pytest.approx([3.0] * 999, abs=0.2)
    assert score(head, after, target)["coverage"] == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantiles": []}, "quantiles"),
        ({"quantiles": [0.5, 0.1]}, "quantiles must ascend"),
        ({"quantiles": [0.5, 0.5]}, "quantiles must ascend"),
        ({"quantiles": [0.0]}, "quantiles"),
        ({"quantiles": [1]}, "quantiles"),
        ({"quantiles": [0.9999]}, "quantiles"),
        ({"quantiles": [0.1234]}, "more than three decimals"),
    ],
)
def test_quantiles_that_cannot_be_are_refused(change, message):
    """Each has a name of its own, and a field number of its own."""
    with pytest.raises(SpecError, match=message):
        spec_of(**change)


def frame():
    """Make a log whose next value spreads the more, the larger this one is."""
    rng = np.random.default_rng(7)
    rows, keys = 6000, 30
    x = rng.uniform(0, 1, rows)
    y = np.zeros(rows)
    y[keys:] = x[:-keys] * rng.normal(0, 1, rows - keys)
    return pl.DataFrame(
        {
            "k": [f"k{i % keys}" for i in range(rows)],
            "at": [1_700_000_000 + i for i in range(rows)],
            "x": x,
            "y": y,
        }
    )


def test_an_interval_is_as_wide_as_the_event_says(tmp_path):
    """Trained, judged beside the naive rule, traced, compared and read as a data frame."""
    log = frame()
    content = propose_spec(log, key=["k"], time="at", target=["y"]).spec.model_dump(mode="json")
    content["heads"] = [HEAD]
    spec, out = FeatureSpec.parse(content, "t"), tmp_path / "bundle"
    train(log, spec, out, hidden=16, epochs=15, threads=1)

    report = tmp_path / "report.html"
    result = evaluate(log, out, split="time:0.8", report=report).evaluation.heads["range"]

    memory, naive = result.models["memory"], result.models["naive"]
    assert memory["pinball"].value < 0.95 * naive["pinball"].value
    assert memory["coverage"].value == pytest.approx(0.8, abs=0.06)
    assert 0 < memory["width"].value < naive["width"].value
    assert "pinball loss" in report.read_text()
    unrolled = trace(log, "k3", out, picture=tmp_path / "k3.svg").to_polars()
    assert {"range.p10", "range.p50", "range.p90"} <= set(unrolled.columns)
    assert "p90" in (tmp_path / "k3.svg").read_text()
    assert compare(log, out, out, split="time:0.8") is not None
    predictions = list(replay(log, out))
    table = to_polars(predictions)
    low, middle, high = (table[f"range.{name}"].to_numpy() for name in ("p10", "p50", "p90"))
    assert (low <= middle).all()
    assert (middle <= high).all()
    width = high - low
    assert np.corrcoef(width, log["x"].to_numpy())[0, 1] > 0.9
    output = predictions[0].outputs["range"]
    assert output["p50"] == output.root["p50"]
    assert describe_output(output).startswith("p10 ")
    again = json.loads(predictions[0].model_dump_json(exclude_none=True))
    assert Prediction.parse(json.dumps(again).encode()) == predictions[0]


@pytest.mark.parametrize(
    ("quantiles", "says"),
    [([0.5], "what is the quantile 0.5 of"), ([0.1, 0.9], "what are the quantiles 0.1, 0.9 of")],
)
def test_the_question_is_a_sentence(quantiles, says):
    """Of one quantile as well."""
    head = head_of(quantiles=quantiles)
    assert question(head) == f"{says} the key's next y?"
