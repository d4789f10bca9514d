"""The doctor's finding about events: what the newest records of the source are, by the spec."""

import json

import pytest

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.features import FeatureSpec
from stream_rnn.operate.check_events import judge_events
from stream_rnn.operate.check_result import Level
from stream_rnn.settings import Settings
from tests import models

SETTINGS = Settings.build(app="a", source="s", predictions="p", bundle="b").of_fold()
ONLY = {"only": [{"path": "type", "in": ["sensor"]}]}
EVENT = {"type": "sensor", "x": 0.5, "kind": "A"}


def judge(values, **event):
    """Return the finding about some values."""
    spec = FeatureSpec.model_validate({**models.SPEC, "event": event})
    records = [
        LogRecord(
            i, 1_700_000_000_000 + i, b"k", None if value is None else json.dumps(value).encode()
        )
        for i, value in enumerate(values)
    ]
    return judge_events("s", records, spec, SETTINGS)


def test_filtered_records_that_are_no_objects_are_counted_and_shown():
    """A producer that wraps its events in arrays or texts loses them without a dead letter."""
    values = [EVENT] * 5 + [[EVENT]] * 3 + [json.dumps(EVENT)] * 2 + [{"type": "meter"}, None]
    finding = judge(values, **ONLY)
    assert finding.level is Level.WARNING
    assert "s: 5 events in 12 of its newest records, 1 forgets, 6 filtered" in finding.said
    assert "3 filtered records are no objects, but arrays" in finding.said
    assert "2 filtered records are no objects, but texts with JSON inside" in finding.said
    assert "correct the producer" in finding.remedy


def test_records_that_are_filtered_on_purpose_are_fine():
    """They are counted, and need no action; so are skipped records, which have dead letters."""
    finding = judge([EVENT, {"type": "meter"}, {**EVENT, "x": "high"}], **ONLY)
    assert finding.level is Level.FINE
    assert finding.said.endswith("1 filtered by event.only, 1 skipped because of wrong_schema")


@pytest.mark.parametrize(
    ("value", "event", "said"),
    [
        ({"type": "meter"}, ONLY, 'type is "meter" in record 0, and event.only has "sensor"'),
        ([EVENT], ONLY, "4 filtered records are no objects, but arrays"),
        ({"data": [EVENT]}, {"unwrap": "data"}, "4 of 4 are skipped because of wrong_schema"),
    ],
)
def test_a_source_without_an_event_is_a_warning(value, event, said):
    """The finding has the reason, and a value."""
    finding = judge([value] * 4, **event)
    assert finding.level is Level.WARNING
    assert finding.said.startswith("no record of s is a valid event")
    assert said in finding.said
