"""From a log of any shape to a bundle: spec init, spec check, train, evaluate, by one file."""

import pytest

from stream_rnn import evaluate, train
from stream_rnn.notebook.options import SpecOptions
from stream_rnn.notebook.spec import propose_with
from stream_rnn.replay.logs import FileLog
from stream_rnn.settings import Settings
from stream_rnn.spec.spec_check import check_log
from stream_rnn.training.dataset import read_fitted
from tests.unit.logs_of_many_shapes import shapes
from tests.unit.shape import ROWS

SHAPES = shapes()
TRAINED = ("german.csv", "turns-of-a-fan.txt", "debezium.jsonl", "mixed-kinds.jsonl", "spans.jsonl")
NOT_EVENTS = {  # records that are no events; all other records of all shapes are
    "late-type.csv": 1,
    "debezium.jsonl": 7,
    "unwrapped.jsonl": 8,
    "mixed-kinds.jsonl": 134,
}


def proposed(shape, directory):
    """Write the log of a shape; return its path and its proposed spec."""
    path = directory / shape.name
    path.write_bytes(shape.content)

    def take_first(question):
        return question.candidates[0].answer

    return path, propose_with(path, SpecOptions(), take_first)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_log_is_read_by_the_spec_that_is_proposed_for_it(shape, tmp_path):
    """Every record is an event but for those that a comment counts, and keys have histories."""
    path, proposal = proposed(shape, tmp_path)
    check = check_log(path, proposal.spec, Settings.build(), ROWS, sort_by_time=False)
    assert (check.rows, check.events) == (ROWS, ROWS - NOT_EVENTS.get(shape.name, 0))
    assert sum(check.skips.values()) == (shape.name == "late-type.csv")
    assert check.notes == []
    assert all(count.has for count in check.fields)
    log = FileLog(path, proposal.spec, sort_by_time=True) if proposal.spec.event.time else None
    if log is not None:
        fitted, events, _ = read_fitted(log, proposal.spec, Settings.build(), "time:0.8")
        assert len(events.keys) == check.events
        assert len(set(events.keys)) < len(events.keys) / 2
        assert [feature.name for feature in fitted.features] == [
            feature.name for feature in proposal.spec.features
        ]


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.name in TRAINED], ids=lambda s: s.name)
def test_a_log_is_trained_on_and_evaluated_by_its_spec(shape, tmp_path):
    """The bundle predicts every event that the log has."""
    path, proposal = proposed(shape, tmp_path)
    proposal.write(tmp_path / "spec.toml")
    train(path, tmp_path / "spec.toml", tmp_path / "bundle", hidden=8, epochs=1, seed=1)
    result = evaluate(path, tmp_path / "bundle", with_pictures=False)
    assert len(result.is_scored) == ROWS - NOT_EVENTS.get(shape.name, 0)
