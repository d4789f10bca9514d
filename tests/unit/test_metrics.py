"""Heads and metrics: what the network's numbers become, and how good they are, by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torchmetrics.functional import classification as of_classes

from stream_rnn.metrics import ranked
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import PROBABILITY_MIN, area_under_roc, score
from stream_rnn.model.heads import FLOAT32_MAX, Head
from tests import models

Y_EXTREME = [-3e38, -1e30, -800.0, -1.0, 0.0, 1.0, 800.0, 1e30, 3e38]


def head_of(kind, **more):
    """Make a head."""
    path = {} if kind == "time_to_next" else {"path": "v"}
    return TypeAdapter(Head).validate_python({"kind": kind, "name": "h", **path, **more})


def output(head, *rows):
    """Return what readers get for rows of y, in float64."""
    return head.output(np.array(rows, np.float64).T).T


def test_probabilities_of_classes_sum_to_one():
    """For any y that float32 holds, and they keep the order of y."""
    head = head_of("multiclass", classes=["A", "B", "C"])
    rows = list(itertools.product(Y_EXTREME, repeat=3))
    found = output(head, *rows)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-12)
    assert output(head, [math.log(1), math.log(2), math.log(5)])[0] == pytest.approx(
        [1 / 8, 2 / 8, 5 / 8]
    )


@pytest.mark.parametrize("classes", [2, 9, 50, 300])
def test_the_sum_over_classes_is_the_same_alone_and_together(classes):
    """To the last bit of float64, however numpy adds up."""
    head = head_of("multiclass", classes=[str(i) for i in range(classes)])
    rows = np.random.default_rng(classes).normal(0, 3, (200, classes))
    together = output(head, *rows)
    for row, expected in zip(rows, together, strict=True):
        assert output(head, row)[0].tobytes() == expected.tobytes()


def test_a_probability_is_the_logistic_function():
    """Between 0 and 1 for any y, without a warning."""
    head = head_of("binary")
    found = output(head, *[[y] for y in Y_EXTREME])[:, 0]
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()
    assert output(head, [math.log(3)])[0, 0] == pytest.approx(0.75)


def test_a_regression_answers_in_the_targets_unit():
    """Mean and standard deviation of the target are put back, and the cap holds."""
    fitted = {"mean": 10.0, "std": 4.0}
    found = output(head_of("regression", fitted=fitted, cap=15.0), [0.0], [1.0], [2.0], [-9.0])
    assert found[:, 0].tolist() == [10.0, 14.0, 15.0, -26.0]


def test_seconds_are_never_negative_and_never_above_the_cap():
    """Learned as log(1 + seconds); what would be below nought is nought."""
    head = head_of("time_to_next", cap=100.0)
    found = output(head, *[[y] for y in Y_EXTREME])[:, 0]
    assert ((found >= 0) & (found <= 100)).all()
    assert output(head, [math.log(8)])[0, 0] == pytest.approx(7.0)


@pytest.mark.parametrize("kind", ["regression", "time_to_next"])
def test_answers_stay_within_float32(kind):
    """However large y and the target were, JSON never meets an infinity."""
    head = head_of(kind, fitted={"mean": 1e30, "std": 1e30})
    found = output(head, *[[y] for y in Y_EXTREME]).astype(np.float32)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= FLOAT32_MAX


def test_each_head_gets_its_own_columns_of_y():
    """In the spec's order; classes come as (N, C), the others as (N,)."""
    model = models.small()
    y = np.array([[0.0, 0.0, 1.0, 1.0, 1.0], [50.0, 1.0, 0.0, 50.0, 0.0]], np.float32)
    found = model.outputs(y)
    assert list(found) == ["big", "wait", "next"]
    assert found["big"] == pytest.approx([0.5, 1.0])
    assert found["wait"] == pytest.approx([0.0, math.e - 1])
    assert found["next"].shape == (2, 3)
    assert found["next"][1] == pytest.approx([0.0, 1.0, 0.0])
    assert all(values.dtype == np.float32 for values in found.values())


@pytest.mark.parametrize(
    ("head", "value", "label"),
    [
        (head_of("binary", above=15), 15, 0.0),
        (head_of("binary", above=15), 15.5, 1.0),
        (head_of("binary", above=15), None, None),
        (head_of("binary"), True, 1.0),
        (head_of("binary"), False, 0.0),
        (head_of("regression", cap=9.0), 12, 9.0),
        (head_of("regression", cap=9.0), -12, -12.0),
        (head_of("regression"), None, None),
        (head_of("regression"), "many", None),
        (head_of("regression"), 1e300, None),
        (head_of("regression", cap=9.0), 1e300, 9.0),
        (head_of("multiclass", classes=["None", "B"]), None, None),
        (head_of("multiclass", classes=["1", "true"]), 1, 0.0),
        (head_of("multiclass", classes=["1", "true"]), True, 1.0),
        (head_of("multiclass", classes=["1", "true"]), "?", None),
        (head_of("multiclass", classes=["1", "true"]), None, None),
        (head_of("time_to_next"), -3.0, 0.0),
        (head_of("time_to_next"), None, None),
    ],
)
def test_a_field_becomes_its_label(head, value, label):
    """A number, or nothing where the field says nothing."""
    assert head.target(value) == label


@pytest.mark.parametrize(
    ("positive", "output", "area"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 1.0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], 0.0),
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], 0.75),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([0, 1, 1], [0.5, 0.5, 0.9], 0.75),
        ([0, 0, 1, 1], [0.2, 0.5, 0.5, 0.5], 0.75),
    ],
)
def test_auc_counts_ties_as_half(positive, output, area):
    """The share of pairs in which the positive ranks higher, counted by hand."""
    found = area_under_roc(np.array(positive, bool), np.array(output, np.float32))
    assert found == pytest.approx(area)


def test_auc_equals_counting_all_pairs():
    """Ranks give what every pair, looked at one by one, gives, with many ties."""
    rng = np.random.default_rng(8)
    positive, values = rng.random(300) < 0.3, rng.integers(0, 12, 300).astype(np.float32)
    above = values[positive][:, None] - values[~positive][None, :]
    pairs = (above > 0).mean() + (above == 0).mean() / 2
    assert area_under_roc(positive, values) == pytest.approx(pairs)


@pytest.mark.parametrize("positive", [[True, True], [False, False], []])
def test_auc_of_one_class_is_not_a_number(positive):
    """There is no pair to compare, and 0.5 would be a claim."""
    assert math.isnan(area_under_roc(np.array(positive, bool), np.zeros(len(positive))))


def test_a_binary_head_scores_auc_and_log_loss():
    """A certain mistake costs the logarithm of the least probability, not infinity."""
    given = np.array([0.25, 0.5, 1.0], np.float32)
    found = score(head_of("binary"), given, np.array([0.0, 1.0, 0.0]))
    assert found["auc"] == pytest.approx(0.5)
    losses = [-math.log(0.75), -math.log(0.5), -math.log(PROBABILITY_MIN)]
    assert found["log_loss"] == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_a_multiclass_head_scores_accuracy_and_log_loss():
    """By the class with the highest probability, and by the probability of the true one."""
    given = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]], np.float32)
    head = head_of("multiclass", classes=["A", "B", "C"])
    found = score(head, given, np.array([0.0, 1.0, 2.0]))
    assert found["accuracy"] == pytest.approx(1 / 3)
    losses = [-math.log(0.5), -math.log(0.2), -math.log(PROBABILITY_MIN)]
    assert found["log_loss"] == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_metrics_of_ranked_classes_are_those_of_torchmetrics():
    """It wants all probabilities; ranks say the same, ties included."""
    rng, classes = np.random.default_rng(4), 12
    given = np.round(rng.dirichlet(np.full(classes, 0.3), 400), 1).astype(np.float32)
    came = rng.integers(0, classes - 2, 400)  # two classes never come
    found = score(head_of("multiclass", classes=list("ABCDEFGHIJKL")), given, came.astype(float))
    p, label = torch.from_numpy(given), torch.from_numpy(came)
    first = torch.from_numpy(given.argmax(axis=1))
    f1 = of_classes.multiclass_f1_score(first, label, num_classes=classes, average="macro")
    error = of_classes.multiclass_calibration_error(p, label, num_classes=classes, n_bins=15)
    assert found["f1"] == pytest.approx(float(f1), rel=1e-6)
    assert found["calibration_error"] == pytest.approx(float(error), rel=1e-6)
    right = of_classes.multiclass_accuracy(first, label, num_classes=classes, average="micro")
    assert found["accuracy"] == pytest.approx(float(right), rel=1e-6)


def test_ranks_take_events_piece_by_piece(monkeypatch):
    """And are the same; what did not come has rank 0, of equals the first is likeliest."""
    given = np.array([[0.2, 0.4, 0.4], [0.4, 0.4, 0.2], [1, 0, 0]], np.float32)
    came = np.array([2.0, np.nan, 1.0])
    whole = RankedClasses.of(given, came)
    assert whole.rank.tolist() == [2, 0, 2]
    assert whole.top_class.tolist() == [1, 0, 0]
    monkeypatch.setattr(ranked, "FLOATS_MAX", 3)
    asked = []
    pieces = RankedClasses.in_chunks(lambda e: asked.append(e) or given[e], came, 3)
    assert len(asked) == 3
    assert pieces.rank.tolist() == whole.rank.tolist()
    assert np.array_equal(pieces.target_probability, whole.target_probability, equal_nan=True)
    assert len(RankedClasses.concatenate([], 3)) == 0
    assert whole[np.array([True, False, True])].rank.tolist() == [2, 2]


def test_a_regression_scores_errors_in_its_own_unit():
    """Mean absolute error, root mean square error, and the explained share of the variance."""
    found = score(head_of("regression"), np.array([1, 2], np.float32), np.array([4.0, 1.0]))
    expected = {"mae": 2.0, "rmse": math.sqrt(5), "r2": 1 - 10 / 4.5}
    assert found == pytest.approx(expected)


def test_time_to_next_scores_seconds():
    """Not their logarithm, though that is what was learned."""
    given, labels = np.array([10.0, 2.0], np.float32), np.log1p([7.0, 2.0])
    found = score(head_of("time_to_next"), given, labels)
    assert found["mae"] == pytest.approx(1.5)
    assert found["rmse"] == pytest.approx(math.sqrt(4.5))
