"""Labels of a file: what is an id, what is a label, and the message where none is of an event."""

import asyncio
import datetime as dt
import json

import polars as pl
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.predictions_with_targets import predict_with_targets
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.network import Model
from stream_rnn.testing import record
from stream_rnn.training.data_checks import check_examples
from stream_rnn.training.dataset import concatenate_events, make_events, read_events
from stream_rnn.training.labels import read_labels
from tests.unit.test_same_events import Log
from tests.unit.test_training import SETTINGS, spec_of
from tests.unit.test_training_labels import C

YES = {"name": "late", "kind": "binary", "of": "label", "path": "y"}
AMOUNT = {"name": "amount", "kind": "regression", "of": "label", "path": "y"}
CLASS = {
    "name": "class",
    "kind": "multiclass",
    "of": "label",
    "path": "y",
    "classes": ["A", "1"],
}
WHEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def file_of(directory, rows, name="labels.jsonl"):
    """Write rows as a labels file."""
    path = directory / name
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        pl.DataFrame(rows).write_csv(path)
    else:
        pl.DataFrame(rows).write_parquet(path)
    return path


def log_of(*ids):
    """Make a log of a partition whose events have some ids; ``...`` for none."""
    values = [{"c": "A"} | ({} if value is ... else {"id": value}) for value in ids]
    return Log([[record(i, b"k", value, i) for i, value in enumerate(values)]])


def joined(labels, log, spec):
    """Return the labels that training sees."""
    return read_events(log, spec, SETTINGS, labels).examples.labels


def test_a_label_without_an_id_is_of_no_event(tmp_path):
    """Neither of one that has none, nor of one whose id is a list, nor of one that is not known."""
    rows = [{"id": "a", "y": False}, {"id": None, "y": True}]
    labels = read_labels(file_of(tmp_path, rows), "id", spec := spec_of(YES, features=[C]))
    log = log_of("a", ..., None, ["a"], "b")
    assert joined(labels, log, spec) == {"late": [False, None, None, None, None]}


def test_a_label_without_a_place_is_of_no_event(tmp_path):
    """The rows beside it keep theirs."""
    spec = spec_of(YES, features=[C])
    for places in ({"offset": 1}, {"partition": 0, "offset": 1}):
        rows = [{**dict.fromkeys(places), "y": True}, {**places, "y": False}]
        labels = read_labels(file_of(tmp_path, rows, "labels.parquet"), None, spec)
        assert joined(labels, log_of("a", "b"), spec) == {"late": [None, False]}


def test_true_is_another_id_than_1(tmp_path):
    """They are equal as keys of a dictionary of Python."""
    spec = spec_of(YES, features=[C])
    labels = read_labels(file_of(tmp_path, [{"id": 1, "y": True}]), "id", spec)
    assert joined(labels, log_of(True, 1, 1.0), spec) == {"late": [None, True, True]}
    labels = read_labels(file_of(tmp_path, [{"id": True, "y": True}]), "id", spec)
    assert joined(labels, log_of(True, 1), spec) == {"late": [True, None]}


@pytest.mark.parametrize(
    ("row", "by", "says"),
    [
        ({"offset": 0, "y": {"a": 1.0}}, None, r"y has values of the type Struct"),
        ({"offset": 0, "y": WHEN}, None, r"y has values of the type Datetime.*accepts numbers"),
        ({"offset": 0, "y": [1]}, None, r"y has values of the type List\(Int64\)"),
        ({"offset": 0, "y": "no"}, None, r"y has text; head \w+ accepts numbers"),
        ({"offset": [0], "y": 1}, None, r"offset has values of the type List"),
        ({"offset": "0", "y": 1}, None, r"offset has text; it must contain whole numbers"),
        ({"partition": "0", "offset": 0, "y": 1}, None, r"partition has text; it must contain"),
        ({"id": ["a"], "y": 1}, "id", r"id has values of the type List\(String\); an id is text"),
        ({"id": WHEN, "y": 1}, "id", r"id has values of the type Datetime"),
    ],
)
@pytest.mark.parametrize("head", [YES, AMOUNT, CLASS])
def test_a_column_of_another_type_is_refused_by_its_name(tmp_path, row, by, head, says):
    """With the type that it has and what it is to have; a class may be text."""
    path = file_of(tmp_path, [row], "labels.parquet")
    if head is CLASS and row["y"] == "no":
        read_labels(path, by, spec_of(head, features=[C]))
        return
    says = says.replace("accepts numbers", "accepts text, numbers") if head is CLASS else says
    with pytest.raises(ConfigError, match=says) as caught:
        read_labels(path, by, spec_of(head, features=[C]))
    assert f"labels {path}: the column " in str(caught.value)


def test_each_head_of_a_column_says_what_it_may_hold(tmp_path):
    """Text is a class, but no number, whichever head comes first."""
    path = file_of(tmp_path, [{"offset": 0, "y": "A"}])
    for heads in ((AMOUNT, CLASS), (CLASS, AMOUNT)):
        with pytest.raises(
            ConfigError, match=r"column y has text \('A' in row 0\); head amount accepts numbers"
        ):
            read_labels(path, None, spec_of(*heads, features=[C]))


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["A", "B"]), pl.String])
def test_text_of_any_kind_is_text(tmp_path, dtype):
    """As an id and as a class."""
    path, spec = tmp_path / "labels.parquet", spec_of(CLASS, features=[C])
    pl.DataFrame({"id": ["A", "B"], "y": ["A", "B"]}, {"id": dtype, "y": dtype}).write_parquet(path)
    labels = read_labels(path, "id", spec)
    assert joined(labels, log_of("B", "A"), spec) == {"class": ["B", "A"]}


@pytest.mark.parametrize("read", ["training", "evaluation"])
@pytest.mark.parametrize(
    ("rows", "name", "by", "ids", "says"),
    [
        (
            [{"id": "12", "y": True}, {"id": "13", "y": True}],
            "labels.csv",
            "id",
            [..., "00012", "00013"],
            r"0 of 2 labels joined an event of log: .* is '12', in the events '00012'; check that",
        ),
        (
            [{"id": True, "y": True}],
            "labels.jsonl",
            "id",
            [1.5],
            r"in the labels is 'true', in the events '1.5'",
        ),
        (
            [{"partition": 7, "offset": 0, "y": True}],
            "labels.csv",
            None,
            ["a"],
            (
                r"the first place in the labels is partition 7 offset 0, in the events partition 0 "
                r"offset 0; check that the labels belong to this log"
            ),
        ),
        (
            [{"offset": 99, "y": True}],
            "labels.csv",
            None,
            ["a"],
            r"the first place in the labels is offset 99, in the events offset 0",
        ),
        (
            [{"id": "a", "y": True}],
            "labels.csv",
            "id",
            [..., ["a"]],
            r"no event of log has text, a number, or true or false at id; use --labels-by",
        ),
        (
            [{"id": None, "y": True}],
            "labels.jsonl",
            "id",
            ["a"],
            r"no row has a value in the column id",
        ),
    ],
)
def test_labels_of_which_none_is_of_an_event_are_refused(tmp_path, read, rows, name, by, ids, says):
    """In training and in evaluation, with how each of the two names an event."""
    spec = spec_of(YES, features=[C])
    labels, log = read_labels(file_of(tmp_path, rows, name), by, spec), log_of(*ids)
    model = Model.initialize(spec, CellSpec(hidden=8))
    found = {
        "training": lambda: read_events(log, spec, SETTINGS, labels),
        "evaluation": lambda: asyncio.run(predict_with_targets(log, model, SETTINGS, labels)),
    }
    with pytest.raises(ConfigError, match=says):
        found[read]()


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.csv", "labels.parquet"])
def test_a_labels_file_that_is_empty_or_missing_is_called_so(tmp_path, name):
    """It is no log, and the reader of it is no matter."""
    path, spec = tmp_path / name, spec_of(YES, features=[C])
    with pytest.raises(ConfigError) as caught:
        read_labels(path, None, spec)
    assert str(caught.value) == f"cannot read the labels {path}: No such file or directory"
    path.write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        read_labels(path, None, spec)
    assert str(caught.value) == f"cannot read the labels {path}: the file is empty"
    with pytest.raises(ConfigError, match=r"labels are a \.jsonl, \.csv, \.parquet or \.avro file"):
        read_labels(tmp_path / "labels.xlsx", None, spec)


# --- warnings -----------------------------------------------------------------------------------


def warnings_of(events, spec):
    """Return what training warns about."""
    return check_examples(spec, events.examples, events.partition)


@pytest.mark.parametrize(
    ("head", "values", "says"),
    [
        (
            CLASS,
            [None, "gold", "tin"],
            "the first of 2 values of y is 'gold', not one of its classes",
        ),
        (CLASS | {"classes": list("ABCDEF")}, ["x"], "classes 'A', 'B', 'C', 'D', 'E', ..."),
        (AMOUNT, [1e39], "the first of 1 values of y is 1e+39, not a number"),
    ],
)
def test_values_that_no_head_can_learn_are_shown(tmp_path, head, values, says):
    """The first of them, with what the head takes."""
    spec = spec_of(head, features=[C])
    rows = [{"offset": i, "y": value} for i, value in enumerate(values)]
    labels = read_labels(file_of(tmp_path, rows), None, spec)
    events = read_events(log_of(*"abc"), spec, SETTINGS, labels)
    (text,) = [w for w in warnings_of(events, spec) if w.startswith("head ")]
    assert text.startswith(f"head {head['name']}: no event of the training part has a label: ")
    assert says in text


def test_only_a_partition_of_its_own_makes_an_event_late():
    """Of partitions read one after the other each starts again; one that goes back is named."""
    spec = spec_of({"name": "wait", "kind": "time_to_next"}, features=[C])

    def warned(*times):
        parts = [
            make_events(
                [[record(i, b"k", {"c": "A"}, at) for i, at in enumerate(some)]],
                spec,
                SETTINGS,
                partition=number,
            )
            for number, some in enumerate(times)
        ]
        return [text for text in warnings_of(concatenate_events(parts), spec) if "earlier" in text]

    assert warned([1000, 2000, 9000], [1000, 2000, 9000], [500, 500]) == []
    (text,) = warned([1000, 2000], [9000, 1000])
    assert text.startswith("25% of the events are earlier than an event before them")
