"""What training says where the memory does not help, and where a rule beats both networks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from stream_rnn.evaluation.advice import advise
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.scores import main_metric
from stream_rnn.model.cells import CellSpec, cell_of
from stream_rnn.training.run import TrainingRun, TrainingScores
from stream_rnn.training.targets import Runs
from stream_rnn.training.training_settings import TrainingSettings
from tests.unit.test_training import EXAMPLES, RECALL

CELL = CellSpec(hidden=8)


def advice_of(
    memory,
    memoryless,
    naive,
    examples=EXAMPLES,
    part="test",
    in_training=None,
    worth=None,
    losses=(0.5, 0.5),
    cell=CELL,
    **settings,
):
    """Return the advice for the metrics of the only head in a part."""
    plan = TrainingRun(
        spec=RECALL,
        cell=cell,
        examples=examples,
        settings=TrainingSettings(**settings),
        seeds=1,
        out=Path("bundle"),
        provenance={},
    )
    metric = main_metric(RECALL.heads[0])
    metrics = [
        {part: {"past": {metric: value}}, "training": {"past": {metric: trained}}}
        for value, trained in zip(
            (memory, memoryless, naive), in_training or (memory, memoryless, naive), strict=True
        )
    ]
    worth = {} if worth is None else {"past": worth}
    seeds = [{"validation_losses": list(losses)}]
    return advise(plan, TrainingScores(*metrics, rules={"past": "last"}, seeds=seeds, worth=worth))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_memory_that_helps_gets_no_advice(part):
    """Nor does a head without a label there."""
    assert advice_of(0.9, 0.6, 0.5, part=part) == []
    assert advice_of(np.nan, np.nan, np.nan, part=part) == []


def test_a_memory_that_does_not_help_gets_an_option_to_try():
    """The option is not named again when it was given."""
    (text,) = advice_of(0.61, 0.62, 0.5)
    assert "head past: the memory shows no clear gain on the test part" in text
    assert "AUC with memory minus without: \N{MINUS SIGN}0.010, without an interval" in text
    assert text.endswith("try --epochs 100")
    (text,) = advice_of(0.61, 0.62, 0.5, epochs=100)
    assert text.endswith("probably the target does not depend on earlier events")


def test_keys_with_too_few_events_are_named():
    """No network remembers an event that its key does not have."""
    count = len(EXAMPLES.part)
    runs = Runs(
        np.arange(count), np.arange(0, count, 2), np.full(count // 2, 2), EXAMPLES.runs.closes
    )
    (text,) = advice_of(0.5, 0.5, 0.5, dataclasses.replace(EXAMPLES, runs=runs))
    assert "an event has 0.5 earlier events of its key on average" in text
    assert "choose a key with more events" in text


def test_a_naive_rule_that_beats_both_networks_is_named():
    """Instead of the memory, whose worth does not matter then."""
    (text,) = advice_of(0.5, 0.6, 0.97)
    assert "head past (test part): the naive rule last is better than every network here" in text


@pytest.mark.parametrize(
    ("worth", "helps"),
    [
        (Figure(0.02, 0.01, 0.03), True),
        (Figure(0.2, -0.1, 0.5), False),
        (Figure(-0.02, -0.03, -0.01), False),
        (Figure(0.0002, 0.0001, 0.0003), False),
    ],
)
def test_the_evidence_is_the_interval_of_held_out_events(worth, helps):
    """A gain that may be chance, or is a trifle, is none; the advice says the interval."""
    advice = advice_of(0.72, 0.70, 0.5, worth=worth)
    assert (advice == []) == helps
    if not helps:
        assert "the memory does not help on the test part" in advice[0]
        assert "AUC with memory minus without" in advice[0]
        assert "with 95 % confidence" in advice[0]


def test_a_network_that_knows_the_training_part_by_heart_is_named():
    """More epochs would make it worse."""
    (text,) = advice_of(0.6, 0.7, 0.5, in_training=(0.99, 0.7, 0.5))
    assert "has learned the training part by heart: try a smaller --hidden" in text


def test_a_target_that_nothing_predicts_is_named():
    """Neither network is better than the share of the classes."""
    (text,) = advice_of(0.5, 0.502, 0.5, epochs=100)
    assert "neither network is better than the naive rule" in text


def test_a_higher_validation_loss_than_that_of_the_baseline_is_named():
    """Whatever the metric says."""
    (text,) = advice_of(0.9, 0.6, 0.5, losses=(0.6, 0.5))
    assert "higher validation loss than its memoryless baseline (0.6000 instead of 0.5000)" in text
    assert advice_of(0.9, 0.6, 0.5, losses=(0.50001, 0.5)) == []


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ({"initial_weights": "random"}, "leave out --initial-weights random, or try a lower"),
        ({}, "without memory: try a lower --learning-rate"),
        (
            {"cell": cell_of("mingru", 8, 1, {})},
            "the cell mingru has random initial weights only, so try a lower --learning-rate, or",
        ),
    ],
)
def test_no_option_is_to_be_left_out_that_was_not_given(of, says):
    """A cell that is a class cannot start from the baseline."""
    (text,) = advice_of(0.9, 0.6, 0.5, losses=(0.6, 0.5), **of)
    assert says in text


def test_a_constant_target_gets_no_advice():
    """There is nothing to learn, as the check of the data says; more epochs would not help."""
    labels = {
        name: [None if value is None else True for value in values]
        for name, values in EXAMPLES.labels.items()
    }
    constant = dataclasses.replace(EXAMPLES, labels=labels)
    assert advice_of(0.5, 0.6, 0.97, examples=constant) == []
    assert advice_of(0.61, 0.62, 0.5, examples=constant) == []
