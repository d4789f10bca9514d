"""Every metric equals a plain computation in float64, in any unit and for any probabilities."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stream_rnn.metrics import scores
from stream_rnn.metrics.bootstrap import resampled_metrics
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import PROBABILITY_MIN, area_under_roc, score
from stream_rnn.model.heads import Head

EXAMPLES = settings(max_examples=200, deadline=None)
BINS = 15
EXTREME = [
    0.0,
    1e-45,
    1e-38,
    1e-7,
    0.2,
    1 / 3,
    0.5,
    np.nextafter(np.float32(0.5), 1),
    0.6,
    1 - 2**-24,
    1.0,
]

hundredths = st.integers(-1000, 1000).map(lambda n: n / 100)
probabilities = st.one_of(st.sampled_from(EXTREME), st.floats(0, 1, width=32)).map(np.float32)


def head_of(kind, classes=0):
    """Make a head."""
    path = {} if kind == "time_to_next" else {"path": "v"}
    more = {"classes": [str(i) for i in range(classes)]} if classes else {}
    return TypeAdapter(Head).validate_python({"kind": kind, "name": "h", **path, **more})


def assert_metrics(head, output, target, expected):
    """Compare all metrics, and those of a bootstrap sample that has each key once."""
    found = score(head, output, target)
    assert found.keys() == expected.keys()
    for metric, value in expected.items():
        assert found[metric] == within(metric, value), metric
    if isinstance(head, type(head_of("multiclass", 2))):
        output = RankedClasses.of(output, target)
    key = np.arange(len(target)) % 3
    draws = np.ones((1, 3), np.int32)
    for metric, values in resampled_metrics(head, output, target, key, draws).items():
        assert values[0] == within(metric, found[metric]), metric


def within(metric, value):
    """Return what equals a value but for rounding; R² has no unit, and may be a difference of 1 and 1."""
    return pytest.approx(value, rel=1e-6, abs=1e-12 if metric == "r2" else 0, nan_ok=True)


def errors_of(output, truth):
    """Return mae, rmse and r2 of exact fractions."""
    exact = [(Fraction(float(o)), Fraction(float(t))) for o, t in zip(output, truth, strict=True)]
    squares = sum((o - t) ** 2 for o, t in exact)
    mean = sum(t for _, t in exact) / len(exact)
    total = sum((t - mean) ** 2 for _, t in exact)
    return {
        "mae": float(sum(abs(o - t) for o, t in exact) / len(exact)),
        "rmse": math.sqrt(squares / len(exact)),
        "r2": float(1 - squares / total) if total else math.nan,
    }


@EXAMPLES
@given(
    st.lists(st.tuples(hundredths, hundredths), min_size=1, max_size=20),
    st.integers(-10, 10),
    st.sampled_from([0, 1, -1, 1e3, -1e6]),
)
@example([(0.0, 1.0), (0.0, -1.0), (0.0, 0.5)], -5, 0)
@example([(1.0, 1.0), (-1.0, -1.0), (0.4, 0.5)], 0, -1e6)
def test_errors_of_numbers_do_not_depend_on_the_unit(pairs, decades, offset):
    """Over 20 decades of scale, and for means of a million spreads."""
    values = (np.array(pairs) + offset) * 10.0**decades
    output, target = values[:, 0].astype(np.float32), values[:, 1]
    assert_metrics(head_of("regression"), output, target, errors_of(output, target))


@EXAMPLES
@given(st.lists(st.tuples(hundredths, hundredths), min_size=1, max_size=20), st.integers(-10, 10))
@example([(2.67, 0.0), (2.67, 0.0), (2.67, 8.01)], 0)
def test_errors_of_times_do_not_depend_on_their_size(pairs, decades):
    """From a tenth of a nanosecond to three centuries, in seconds."""
    seconds = np.abs(np.array(pairs)) * 10.0**decades
    output, target = seconds[:, 0].astype(np.float32), np.log1p(seconds[:, 1])
    expected = errors_of(output, np.expm1(target))
    assert_metrics(head_of("time_to_next"), output, target, expected)


def calibration_error(pairs):
    """Return the expected calibration error of pairs of probability and hit."""
    bins = [[] for _ in range(BINS)]
    for p, hit in pairs:
        bins[min(int(Fraction(float(p)) * BINS), BINS - 1)].append((float(p), hit))
    return sum(abs(math.fsum(p - hit for p, hit in one)) for one in bins) / len(pairs)


def average_precision(pairs):
    """Return the mean over the positives of the precision at their threshold."""
    positives = [p for p, label in pairs if label]
    above = [[label for q, label in pairs if q >= p] for p in positives]
    return sum(sum(labels) / len(labels) for labels in above) / len(positives)


def area(pairs):
    """Return the share of pairs in which the positive is higher; ties count half."""
    wins = [
        (p > q) + (p == q) / 2 for p, positive in pairs for q, other in pairs if positive > other
    ]
    return sum(wins) / len(wins) if wins else math.nan


@EXAMPLES
@given(st.lists(st.tuples(probabilities, st.booleans()), min_size=1, max_size=25))
@example([(np.float32(1), True), (np.float32(0.97), False), (np.float32(0.2), False)])
@example([(np.float32(0), True), (np.float32(1), False)])
@example([(np.float32(0.5), False), (np.float32(0.1), False)])
@example([(np.float32(0.5), True)] * 3)
def test_metrics_of_probabilities_are_exact(pairs):
    """With ties, with probabilities of 0 and 1, and with one class, which has no ranking."""
    output = np.array([p for p, _ in pairs], np.float32)
    target = np.array([label for _, label in pairs], np.float64)
    has_both, chosen = 0 < target.sum() < len(pairs), [p > 0.5 for p, _ in pairs]
    hits = [is_chosen == label for is_chosen, (_, label) in zip(chosen, pairs, strict=True)]
    either = sum(chosen) + target.sum()
    both = sum(is_chosen and label for is_chosen, (_, label) in zip(chosen, pairs, strict=True))
    actual = [float(p) if label else 1 - float(p) for p, label in pairs]
    expected = {
        "auc": area(pairs),
        "pr_auc": average_precision(pairs) if has_both else math.nan,
        "accuracy": sum(hits) / len(pairs),
        "f1": 2 * both / either if either else math.nan,
        "log_loss": -math.fsum(math.log(max(p, PROBABILITY_MIN)) for p in actual) / len(pairs),
        "calibration_error": calibration_error(pairs),
    }
    assert_metrics(head_of("binary"), output, target, expected)


@st.composite
def rows_of_classes(draw):
    """Draw rows of probabilities, each with its class."""
    classes = draw(st.integers(2, 7))
    row = st.lists(probabilities, min_size=classes, max_size=classes)
    return draw(st.lists(st.tuples(row, st.integers(0, classes - 1)), min_size=1, max_size=15))


@EXAMPLES
@given(rows_of_classes())
@example([([np.float32(1), np.float32(0)], 0), ([np.float32(0.97), np.float32(0.03)], 1)])
def test_metrics_of_classes_are_exact(rows):
    """With ties, of which the first in the spec ranks higher, and with classes that never occur."""
    output = np.array([p for p, _ in rows], np.float32)
    target = np.array([label for _, label in rows], np.float64)
    ranked = [sorted(range(len(p)), key=lambda c, p=p: (-p[c], c)) for p, _ in rows]
    ranks = [1 + order.index(label) for order, (_, label) in zip(ranked, rows, strict=True)]
    actual = [max(float(p[label]), PROBABILITY_MIN) for p, label in rows]
    answers = [(order[0], label) for order, (_, label) in zip(ranked, rows, strict=True)]
    f1 = [
        2 * answers.count((c, c)) / sum((c == top) + (c == label) for top, label in answers)
        for c in {c for answer in answers for c in answer}
    ]
    tops = [
        (p[order[0]], order[0] == label) for order, (p, label) in zip(ranked, rows, strict=True)
    ]
    expected = {
        "accuracy": ranks.count(1) / len(rows),
        **({"top_5": sum(r <= 5 for r in ranks) / len(rows)} if output.shape[1] > 5 else {}),
        "f1": sum(f1) / len(f1),
        "mrr": sum(1 / r for r in ranks) / len(rows),
        "log_loss": -math.fsum(map(math.log, actual)) / len(rows),
        "calibration_error": calibration_error(tops),
    }
    assert_metrics(head_of("multiclass", output.shape[1]), output, target, expected)


@EXAMPLES
@given(
    st.lists(st.tuples(st.floats(allow_nan=False), st.booleans()), min_size=1, max_size=25),
    st.integers(-10, 10),
)
@example([(2.0, False), (50.0, False), (60.0, True)], 0)
@example([(1e-20, False), (2e-20, True), (-1.0, False)], 0)
def test_an_area_ranks_numbers_of_any_size(pairs, decades):
    """Also far outside of [0, 1], where the logistic function would make ties of them."""
    scaled = [(v * 10.0**decades, label) for v, label in pairs]
    output, label = np.array(scaled).T
    found = area_under_roc(label > 0, output)
    assert found == pytest.approx(area(scaled), rel=1e-12, nan_ok=True)


def test_a_calibration_error_counts_millions_of_events_of_one_bin():
    """A sum of float32 would stop at 2**24 events."""
    output = np.full(2**24 + 2**22, 0.3, np.float32)
    error = scores._calibration_error(output, np.zeros(len(output), bool))
    assert error == pytest.approx(float(np.float32(0.3)), rel=1e-9)
