"""Conclusions: sentences that claim no more than the figures do."""

import math
from dataclasses import replace

import pytest

from stream_rnn.cli import train
from stream_rnn.evaluation.report import sentences as conclusions
from stream_rnn.evaluation.result import (
    Bin,
    Group,
    HeadEvaluation,
    HiddenStateGroup,
    HiddenStateHealth,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.training.run import TrainingScores
from tests import models
from tests.unit.report_pages import figure, groups


def head(**more):
    """Make the evaluation of a binary head."""
    models = {"memory": {"auc": figure(0.768)}, "memoryless": {"auc": figure(0.729)}}
    full = {"metric": "auc", "better": "higher", "events": 109421, "models": models, **more}
    return HeadEvaluation("late", "binary", "Late?", "", naive="", **full)


@pytest.mark.parametrize(
    ("better", "worth", "verdict"),
    [
        ("higher", Figure(0.04, 0.03, 0.05), conclusions.HELPS),
        ("higher", Figure(-0.04, -0.05, -0.03), conclusions.HURTS),
        ("lower", Figure(-4.0, -5.0, -3.0), conclusions.HELPS),
        ("lower", Figure(4.0, 3.0, 5.0), conclusions.HURTS),
        ("higher", Figure(0.04, -0.01, 0.09), conclusions.NOTHING),
        ("lower", Figure(-0.04, -0.09, 0.0), conclusions.NOTHING),
        ("higher", Figure(0.0), conclusions.UNKNOWN),
        ("higher", Figure(0.04), conclusions.UNKNOWN),
        ("lower", Figure(0.04, math.nan, math.nan), conclusions.UNKNOWN),
        ("lower", None, conclusions.UNKNOWN),
        ("higher", Figure(math.nan), conclusions.UNKNOWN),
    ],
)
def test_the_verdict_on_memory_is_honest(better, worth, verdict):
    """An interval that contains 0 is no help; without an interval, nothing is known."""
    found, sentence = conclusions.worth(head(better=better, worth=worth))
    assert found == verdict
    has_interval = worth is not None and worth.low is not None and not math.isnan(worth.low)
    assert ("the worth of the memory is not known" in sentence) == (not has_interval)


def test_training_and_the_report_say_the_same_of_the_same_figures():
    """Training of the mean of its seeds, of which it names the deviation."""
    (late,) = models.small().spec.heads[:1]
    seeds = [
        {
            m: {"test": {late.name: {"auc": v + d}}}
            for m, v in (("memory", 0.7), ("memoryless", 0.6))
        }
        for d in (0.0, 0.2)
    ]
    result = TrainingScores(
        seeds[0]["memory"], seeds[0]["memoryless"], {}, {late.name: "last"}, seeds
    )
    figures = {"memory": {"auc": Figure(0.8)}, "memoryless": {"auc": Figure(0.7)}}
    _, sentence = conclusions.worth(head(models=figures, worth=None))
    assert sentence.startswith(
        "The AUC is 0.800 with memory and 0.700 without: a difference of +0.1"
    )
    assert train.worth(late, result) == (
        f"{late.name} (test part, mean of 2 seeds, standard deviation 0.141): {sentence} "
        "The naive rule is last."
    )
    assert train.worth(late, replace(result, memory={})) == ""


def test_the_gain_by_remembering_is_measured_against_the_memoryless():
    """Keys with a long memory are other keys, so better alone proves nothing."""
    sentence = conclusions.memory(head(), groups("1", "2-5", "6+"))
    assert "From 1 to 6+ events in memory: 0.700 to 0.740, better." in sentence
    assert "0.050 to 0.050." in sentence
    worse = conclusions.memory(head(better="lower"), groups("1", "2-5", "6+"))
    assert ", worse." in worse
    alone = [Group(name, 1, {"memory": Figure(v)}) for name, v in (("1", 0.7), ("2", 0.71))]
    assert "better, but there are no intervals, so" in conclusions.memory(head(), alone)
    wide = (Group("1", 1, {"memory": figure(0.7, 0.1)}), Group("2", 1, {"memory": figure(0.71)}))
    assert "better, but the intervals overlap." in conclusions.memory(head(), wide)


@pytest.mark.parametrize(("better", "best"), [("higher", "10+"), ("lower", "1-9")])
def test_the_best_group_depends_on_which_end_is_good(better, best):
    """An error is best where it is small."""
    one = head(better=better)
    assert conclusions.spread(one, groups("1-9", "10+")).startswith(f"Best at {best} ")


def test_calibration_is_the_mean_distance_over_events():
    """0.7 of the events are 0.025 off, 0.3 of them 0.075: 0.04."""
    bins = (Bin(0.1, 0.125, 700), Bin(0.6, 0.525, 300))
    assert "memory 0.040; 0 is best" in conclusions.calibration(head(calibration={"memory": bins}))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"norm": 0.99}, 0),
        ({"norm": 0.001}, 0),
        ({"norm_high": 0.99}, 1),
        ({"saturated": 0.4}, 2),
        ({"update_norm": 0.0001}, 3),
    ],
)
def test_an_ill_hidden_state_is_pointed_at(change, place):
    """And only that: every other sign stays good."""
    well = HiddenStateGroup("9+", 100, 0.4, 0.5, 0.02, 0.1)
    found = conclusions.health(HiddenStateHealth(10, 48, 2, (replace(well, **change),), 0.1))
    assert [i for i, one in enumerate(found) if not one.is_good] == [place]


def test_silence_and_drift_are_pointed_at():
    """With what cannot be known left open."""
    found = conclusions.health(HiddenStateHealth(0, 48, 40, (), 0.9))
    assert [one.is_good for one in found] == [None, None, None, None, False, False]
    assert conclusions.health(HiddenStateHealth(0, 0, 0, (), math.nan))[4].is_good is None
