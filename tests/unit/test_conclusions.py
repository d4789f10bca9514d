"""Conclusions: sentences that claim no more than the figures do."""

import math
from dataclasses import replace

import pytest

from stream_rnn.cli import train
from stream_rnn.evaluation.report import sentences as conclusions
from stream_rnn.evaluation.report.health_signs import health_signs
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
    assert (
        "From 1 to 6+ events in memory: 0.700 to 0.740, better (each of 100 events or more)."
        in sentence
    )
    assert "0.050 to 0.050." in sentence
    worse = conclusions.memory(head(better="lower"), groups("1", "2-5", "6+"))
    assert ", worse (each of" in worse
    alone = [Group(name, 99, {"memory": Figure(v)}) for name, v in (("1", 0.7), ("2", 0.71))]
    assert "better, but there are no intervals, so" in conclusions.memory(head(), alone)
    wide = (Group("1", 50, {"memory": figure(0.7, 0.1)}), Group("2", 60, {"memory": figure(0.71)}))
    assert "better, but the intervals overlap (each of 50 events or more)." in conclusions.memory(
        head(), wide
    )


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
    found = health_signs(HiddenStateHealth(10, 48, 2, (replace(well, **change),), 0.1))
    assert [i for i, one in enumerate(found) if not one.is_good] == [place]


def test_silence_and_drift_are_pointed_at():
    """With what cannot be known left open."""
    found = health_signs(HiddenStateHealth(0, 48, 40, (), 0.9))
    assert [one.is_good for one in found] == [None, None, None, None, False, False]
    assert health_signs(HiddenStateHealth(0, 0, 0, (), math.nan))[4].is_good is None


def few(name, events, value=0.7):
    """Make a group of a number of events."""
    return Group(name, events, {"memory": figure(value)})


@pytest.mark.parametrize("sentence", [conclusions.memory, conclusions.spread])
def test_no_sentence_is_built_on_six_events(sentence):
    """Groups of few events are left out; if fewer than two remain, there is nothing to say."""
    some = (few("1", 300, 0.6), few("2", 80, 0.7), few("9", 6, 0.99))
    assert "0.600" in sentence(head(), some)
    assert "0.990" not in sentence(head(), some)
    assert "each of 80 events or more" in sentence(head(), some)
    assert "there are too few events to compare" in sentence(head(), some[1:])
    assert sentence(head(), some[:1]).endswith("has a figure, so there is nothing to compare.")


def test_no_verdict_is_built_on_few_events():
    """The bootstrap of a dozen events is narrow by chance."""
    worth = Figure(0.04, 0.03, 0.05)
    assert conclusions.worth(head(worth=worth, events=50))[0] == conclusions.HELPS
    verdict, sentence = conclusions.worth(head(worth=worth, events=49))
    assert verdict == conclusions.UNKNOWN
    assert "only 49 events" in sentence


@pytest.mark.parametrize("worth", [Figure(0.0004, 0.0002, 0.0006), Figure(-4e-4, -6e-4, -2e-4)])
def test_a_trifle_neither_helps_nor_hurts(worth):
    """However sure it is."""
    verdict, sentence = conclusions.worth(head(worth=worth))
    assert verdict == conclusions.NOTHING
    assert sentence.endswith("So small a difference is worth nothing.")


def test_a_naive_rule_that_is_better_comes_before_the_memory():
    """A memory that helps a network which is no good is not the news."""
    models = {
        n: {"auc": figure(v)} for n, v in (("memory", 0.7), ("memoryless", 0.6), ("naive", 0.97))
    }
    beaten = replace(
        head(models=models, worth=Figure(0.1, 0.09, 0.11)), naive="last", naive_factor=10.0
    )
    verdict, sentence = conclusions.worth(beaten)
    assert verdict == conclusions.BEATEN
    assert sentence.startswith("The naive rule last is better than every network here. The AUC is")
    assert conclusions.naive_warning(beaten).startswith(
        "head late: the naive rule last is better than every network here: the AUC is 0.970, but "
        "0.700 with memory and 0.600 without. The error of the better network is 10.0 times as large"
    )
    assert conclusions.naive_warning(head()) == ""


def test_few_hidden_states_are_no_sign():
    """The longest memory of one key says nothing about the others."""
    well = HiddenStateGroup("1-9", 100, 0.4, 0.5, 0.02, 0.1)
    ill = HiddenStateGroup("10+", 5, 0.99, 0.99, 0.9, 0.9)
    found = health_signs(HiddenStateHealth(10, 48, 2, (well, ill), 0.1))
    assert all(one.is_good for one in found)
