"""Intervals of metrics, and the segments of events that an evaluation reports."""

import math

import numpy as np
import pytest
from pydantic import TypeAdapter

from stream_rnn.evaluation import segments as groups
from stream_rnn.evaluation.worst_predictions import calibration_bins
from stream_rnn.metrics import bootstrap
from stream_rnn.metrics.bootstrap import draw_keys, resampled_metrics
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import score
from stream_rnn.model.heads import Head


def head_of(kind, **more):
    """Make a head."""
    path = {} if kind == "time_to_next" else {"path": "v"}
    return TypeAdapter(Head).validate_python({"kind": kind, "name": "h", **path, **more})


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "time_to_next"])
def test_a_draw_of_each_key_once_is_the_metric_itself(kind):
    """The fast metrics of a draw equal those of torchmetrics on the events drawn."""
    rng, count = np.random.default_rng(8), 500
    head = head_of(kind, **({"classes": list("ABCDEFG")} if kind == "multiclass" else {}))
    key = rng.integers(0, 12, count)
    output = rng.random((count, 7) if kind == "multiclass" else count).astype(np.float32)
    if kind == "multiclass":
        output /= output.sum(axis=1, keepdims=True)
    output = np.round(output, 2)  # ties
    target = rng.integers(0, 2 if kind == "binary" else 7, count).astype(np.float64)
    output = RankedClasses.of(output, target) if kind == "multiclass" else output
    draws = np.vstack([np.ones(12, np.int32), draw_keys(12, 4, 5)])
    drawn = resampled_metrics(head, output, target, key, draws)
    for number, times in enumerate(draws):
        events = np.concatenate(
            [np.flatnonzero(key == k) for k in range(12) for _ in range(times[k])]
        )
        expected = score(head, output[events], target[events])
        for metric, values in drawn.items():
            assert values[number] == pytest.approx(expected[metric], rel=1e-5), metric


def test_too_few_keys_have_no_interval():
    """Nine keys say nothing about others."""
    assert draw_keys(9, 1, 7) is None
    assert draw_keys(10, 1, 7).sum(axis=1).tolist() == [10] * 7


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    """Keys with a mean of their own: 95 % of intervals, not of events taken one by one."""
    rng, hits = np.random.default_rng(6), 0
    head = head_of("regression")
    for trial in range(100):
        of_key = rng.normal(0, 1, 40)
        key = np.repeat(np.arange(40), 25)
        error = np.abs(of_key[key])
        drawn = resampled_metrics(
            head, error.astype(np.float32), np.zeros(1000), key, draw_keys(40, trial, 200)
        )["mae"]
        low, high = np.quantile(drawn, [0.025, 0.975])
        hits += low <= math.sqrt(2 / math.pi) <= high
    assert 85 <= hits <= 100


def test_times_are_grouped_by_spans_of_equal_length():
    """Named by their begin; days where the log is long."""
    day = 86_400_000
    times = np.array([0, day, 47 * day, 95 * day])
    found = groups.by_time(times)
    assert found[0][0] == "1970-01-01"
    assert sum(len(events) for _, events in found) == 4
    assert groups.by_time(np.array([5, 5]))[0][0] == "1970-01-01T00:00:00"
    assert groups.by_time(np.zeros(0, np.int64)) == []


@pytest.mark.parametrize("step_ms", [1, 7, 40, 1000, 60_000, 10**9])
@pytest.mark.parametrize("events", [1, 2, 3, 100])
def test_no_two_spans_of_time_have_the_same_name(step_ms, events):
    """Each name is a time at or before the first event of its span, and after the span before."""
    begin = 1_700_000_000_005
    times = begin + step_ms * np.arange(events)
    found = groups.by_time(times)
    names = [name for name, _ in found]
    assert names == sorted(set(names))
    assert sum(len(chosen) for _, chosen in found) == events
    if step_ms < 60 and events > 1:
        assert names[0] == "2023-11-14T22:13:20.005"
        assert [int(name[-3:]) for name in names][1] > 5


@pytest.mark.parametrize(
    ("steps", "names", "events"),
    [
        (
            np.arange(101, 501),
            [
                "101-150",
                "151-200",
                "201-250",
                "251-300",
                "301-350",
                "351-400",
                "401-450",
                "451-500",
            ],
            [50] * 8,
        ),
        (np.repeat([7], 50), ["7"], [50]),
        (np.repeat([1, 2, 1500], [40, 40, 20]), ["1", "2", "3-1,500"], [40, 40, 20]),
        (np.repeat([1041, 1049], [60, 40]), ["1,041-1,049"], [100]),
        (np.zeros(0, np.int64), [], []),
    ],
)
def test_lengths_of_memory_are_grouped_by_quantiles(steps, names, events):
    """No group is empty, none holds nearly all events, and limits have two digits."""
    found = groups.by_steps(steps)
    assert [name for name, _ in found] == names
    assert [len(some) for _, some in found] == events
    assert sorted(event for _, some in found for event in some.tolist()) == list(range(len(steps)))


def test_calibration_has_bins_of_equal_size():
    """By what is predicted, with what came."""
    output = np.linspace(0, 1, 100, dtype=np.float32)
    bins = calibration_bins(head_of("binary"), output, (output > 0.5).astype(np.float64))
    assert [b.events for b in bins] == [10] * 10
    assert bins[0].observed == 0.0
    assert bins[-1].observed == 1.0
    assert bins[0].predicted == pytest.approx(output[:10].mean())
    assert calibration_bins(head_of("binary"), output[:0], np.zeros(0)) == ()


def test_few_keys_are_groups_of_their_own():
    """By name, those with the most scored events first; many are grouped by their size."""
    key = np.array([0, 1, 1, 2, 1, 0, 2, 2, 2])
    chosen = np.array([1, 1, 1, 1, 0, 1, 1, 1, 0], bool)
    found = groups.by_key(key, chosen, [b"a", b"b", b"\xff"])
    assert [(name, some.tolist()) for name, some in found] == [
        ("base64:/w==", [3, 5, 6]),
        ("a", [0, 4]),
        ("b", [1, 2]),
    ]
    many = np.repeat(np.arange(groups.KEYS_MAX + 1), 4)
    names = [b"%d" % i for i in range(groups.KEYS_MAX + 1)]
    assert [name for name, _ in groups.by_key(many, many >= 0, names)] == ["4"]
    assert len(groups.by_key(many, many > 0, names)) == groups.KEYS_MAX


def test_very_many_keys_are_drawn_together(monkeypatch):
    """So that samples stay small; fewer keys are numbered in their order."""
    key = np.array([7, 3, 9, 3])
    assert bootstrap.number_keys(key).tolist() == [1, 0, 2, 0]
    monkeypatch.setattr(bootstrap, "CLUSTERS_MAX", 2)
    assert bootstrap.number_keys(key).tolist() == [1, 0, 0, 0]
