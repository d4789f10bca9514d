"""What training says where the memory does not help, and where a rule beats both networks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from stream_rnn.metrics.scores import main_metric
from stream_rnn.model.cells import CellSpec
from stream_rnn.training.advice import advise
from stream_rnn.training.run import TrainingRun, TrainingScores
from stream_rnn.training.targets import Runs
from stream_rnn.training.training_settings import TrainingSettings
from tests.unit.test_training import EXAMPLES, RECALL


def advice_of(memory, memoryless, naive, examples=EXAMPLES, part="test", **settings):
    """Return the advice for the metrics of the only head in a part."""
    plan = TrainingRun(
        spec=RECALL,
        cell=CellSpec(hidden=8),
        examples=examples,
        settings=TrainingSettings(**settings),
        seeds=1,
        out=Path("bundle"),
        provenance={},
    )
    metrics = [
        {part: {"past": {main_metric(RECALL.heads[0]): value}}}
        for value in (memory, memoryless, naive)
    ]
    return advise(plan, TrainingScores(*metrics, rules={"past": "last"}, seeds=[]))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_memory_that_helps_gets_no_advice(part):
    """Nor does a head without a label there."""
    assert advice_of(0.9, 0.6, 0.5, part=part) == []
    assert advice_of(np.nan, np.nan, np.nan, part=part) == []


def test_a_memory_that_does_not_help_gets_an_option_to_try():
    """The option is not named again when it was given."""
    (text,) = advice_of(0.51, 0.52, 0.5)
    assert "head past: the memory does not help on the test part" in text
    assert text.endswith("try --epochs 100")
    (text,) = advice_of(0.51, 0.52, 0.5, epochs=100)
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
    assert "the naive rule last is better than both networks on the test part" in text
