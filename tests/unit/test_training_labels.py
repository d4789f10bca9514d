"""Labels of the heads: which event they come from, and where there is none."""

import numpy as np
import pytest

from stream_rnn.errors import SpecError
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from stream_rnn.training.dataset import concatenate_events, make_events
from stream_rnn.training.examples import targets
from tests.unit.test_training import RECALL, SECOND_MS, SETTINGS, spec_of

NEXT = {"name": "next", "kind": "multiclass", "of": "next", "path": "c", "classes": ["A", "B"]}
WAIT = {"name": "wait", "kind": "time_to_next", "cap": 6.0}
C = {"kind": "categorical", "name": "c", "path": "c", "vocabulary": ["A", "B"]}


def labels(head, records, **settings):
    """Return the labels of a head by offset of the record that predicts."""
    spec = spec_of(head, features=[C])
    given = Settings.build(app="app", source="events", **settings)
    events = make_events([records], spec, given)
    found = targets(spec.heads[0], events.examples).tolist()
    offsets = events.offset.tolist()
    return {o: None if np.isnan(t) else t for o, t in zip(offsets, found, strict=True)}


def log_of(*events):
    """Make records of (key, class, seconds); no class is a forget."""
    return [
        record(i, key, None if c is None else {"c": c}, seconds * SECOND_MS)
        for i, (key, c, seconds) in enumerate(events)
    ]


LOG = log_of((b"k", "A", 0), (b"m", "A", 1), (b"k", "B", 2), (b"k", "A", 9), (b"m", "other", 9))


def test_a_next_head_learns_the_next_event_of_the_same_key():
    """Other keys do not matter; a class that is none has no label, nor has a last event."""
    assert labels(NEXT, LOG) == {0: 1.0, 1: None, 2: 0.0, 3: None, 4: None}


def test_a_now_head_learns_the_event_itself():
    """Of now every event has its own label."""
    now = {"name": "now", "kind": "binary", "of": "now", "path": "d", "above": 1}
    records = [record(i, b"k", {"c": "A", "d": d}, i) for i, d in enumerate([1, 2, None])]
    assert labels(now, records) == {0: 0.0, 1: 1.0, 2: None}


def test_time_to_next_learns_capped_seconds():
    """As log(1 + seconds), at most the cap."""
    found = labels(WAIT, LOG)
    assert found[0] == pytest.approx(np.log(3))
    assert found[1] == found[2] == pytest.approx(np.log(7))
    assert found[3] is found[4] is None


def test_a_keys_last_event_may_have_the_class_end():
    """With end = true it is the class after all others."""
    assert labels({**NEXT, "end": True}, LOG) == {0: 1.0, 1: None, 2: 0.0, 3: 2.0, 4: 2.0}


def test_a_forget_leaves_no_label():
    """Not to the event before it, whatever comes after, nor is that an end."""
    log = log_of((b"k", "A", 0), (b"k", None, 1), (b"k", "B", 2), (b"k", "A", 3), (b"k", None, 4))
    for head in (NEXT, {**NEXT, "end": True}):
        assert labels(head, log) == {0: None, 2: 0.0, 3: None}
    assert labels(WAIT, log)[0] is None


def test_an_expiry_leaves_no_label():
    """A key that comes back after its state expired starts again, by stream time."""
    log = log_of((b"k", "A", 0), (b"m", "A", 4), (b"k", "B", 11), (b"m", "B", 14))
    assert labels(NEXT, log) == {0: 1.0, 1: 1.0, 2: None, 3: None}
    assert labels(NEXT, log, state_ttl=10.5) == {0: None, 1: 1.0, 2: None, 3: None}
    assert labels({**NEXT, "end": True}, log, state_ttl=10.5) == {0: None, 1: 1.0, 2: 2.0, 3: 2.0}


def test_skipped_records_are_stepped_over():
    """The label is the next valid event's, and the skips are counted by reason."""
    records = log_of((b"k", "A", 0), (b"k", "A", 1), (b"k", "B", 2))
    records[1] = record(1, b"k", b"not json", 1)
    assert labels(NEXT, records) == {0: 1.0, 2: None}
    events = make_events([records], spec_of(NEXT, features=[C]), SETTINGS)
    assert events.offset.tolist() == [0, 2]
    assert events.skips == {"not_json": 1}


def test_a_log_without_a_valid_event_is_refused():
    """The message counts why."""
    with pytest.raises(SpecError, match=r"no record of the log is a valid event.*not_json.: 2"):
        concatenate_events(
            [make_events([[record(i, b"k", b"{", 0) for i in range(2)]], RECALL, SETTINGS)]
        )


def test_a_head_of_labels_is_refused():
    """Labels files are not read yet; silence would train on nothing."""
    with pytest.raises(SpecError, match='head late: of = "label"'):
        labels({"name": "late", "kind": "binary", "of": "label", "path": "d"}, LOG)
