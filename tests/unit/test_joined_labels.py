"""Labels of a file, joined to the events of a log."""

import json

import numpy as np
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import targets
from stream_rnn.training.labels import read_labels
from tests.unit.test_training import SETTINGS, spec_of
from tests.unit.test_training_labels import C, log_of

NEXT = {"name": "next", "kind": "multiclass", "of": "next", "path": "c", "classes": ["A", "B"]}


LABELLED = {"name": "late", "kind": "binary", "of": "label", "path": "is_late"}


def test_labels_are_joined_by_place(tmp_path):
    """By the row of a file; of several rows for one event the last one counts."""
    spec = spec_of(LABELLED, features=[C])
    path = tmp_path / "labels.jsonl"
    rows = [(0, True), (2, True), (2, False), (9, True)]
    path.write_text("".join(json.dumps({"offset": o, "is_late": v}) + "\n" for o, v in rows))
    records = log_of((b"k", "A", 0), (b"m", "A", 1), (b"k", "B", 2))
    labels = read_labels(path, None, spec)
    events = make_events([records], spec, SETTINGS, labels=labels)
    found = targets(spec.heads[0], events.examples)
    assert [None if np.isnan(t) else t for t in found] == [1.0, None, 0.0]


def test_labels_are_joined_by_partition_and_offset(tmp_path):
    """Where the file names partitions, offsets of others are others."""
    spec = spec_of(LABELLED, features=[C])
    path = tmp_path / "labels.csv"
    path.write_text("partition,offset,is_late\n0,0,true\n1,1,false\n")
    labels = read_labels(path, None, spec)
    records = log_of((b"k", "A", 0), (b"m", "A", 1))
    found = [
        make_events([records], spec, SETTINGS, partition=p, labels=labels).examples.labels["late"]
        for p in (0, 1)
    ]
    assert found == [[True, None], [None, False]]


def test_labels_are_joined_by_an_id(tmp_path):
    """A field that the events and the labels share, nested or not."""
    spec = spec_of(LABELLED, features=[C])
    path = tmp_path / "labels.csv"
    path.write_text("trip.id,is_late\nb,true\na,false\n")
    from stream_rnn.testing import record

    records = [record(i, b"k", {"c": "A", "trip": {"id": t}}, i) for i, t in enumerate("abx")]
    labels = read_labels(path, "trip.id", spec)
    events = make_events([records], spec, SETTINGS, labels=labels)
    assert events.examples.labels == {"late": [False, True, None]}


@pytest.mark.parametrize(
    ("columns", "by", "head", "says"),
    [
        ("offset,other", None, LABELLED, r"no column is_late; it has offset, other"),
        ("place,is_late", None, LABELLED, r"no column offset"),
        ("offset,is_late", "trip", LABELLED, r"no column trip"),
        ("offset,is_late", None, NEXT, r'no head with of = "label"'),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, columns, by, head, says):
    """The message names the file and the column."""
    path = tmp_path / "labels.csv"
    path.write_text(columns + "\n1,true\n")
    with pytest.raises(ConfigError, match=says) as caught:
        read_labels(path, by, spec_of(head, features=[C]))
    assert str(path) in str(caught.value)


def test_a_head_of_labels_needs_a_file():
    """It is asked for before the log is read."""
    with pytest.raises(ConfigError, match=r"late.*needs a labels file; give --labels"):
        read_labels(None, None, spec_of(LABELLED, features=[C]))
