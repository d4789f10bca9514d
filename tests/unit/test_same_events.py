"""Training and evaluation mean the same events, the same features and the same labels."""

import asyncio
import json

import numpy as np
import pytest
import torch

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.predictions_with_targets import predict_with_targets
from stream_rnn.fold import rounds
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import FileLog, Range
from stream_rnn.settings import Settings
from stream_rnn.training.dataset import read_events, read_fitted
from stream_rnn.training.examples import targets
from stream_rnn.training.labels import read_labels
from stream_rnn.training.splits import split_parts
from stream_rnn.training.validation import EncodedExamples

VALUES = (None, "NA", "3", "A", "true", 0, 1, -7, 2.5, 1e39, 10**400, True, False, [1], {"a": 1})
FEATURES = (
    {"kind": "since_previous", "name": "since"},
    {"kind": "numeric", "name": "n", "path": "a"},
    {"kind": "numeric", "name": "strict", "path": "b.c", "missing": "error"},
    {"kind": "categorical", "name": "k", "path": "b.d", "vocabulary": ["A", "1", "true"]},
    {"kind": "boolean", "name": "yes", "path": "e"},
    {"kind": "calendar", "name": "hour", "unit": "hour"},
    {"kind": "hashed", "name": "page", "path": "b.d", "buckets": 8},
    {"kind": "multi_categorical", "name": "tags", "path": "tags", "vocabulary": ["A", "3"]},
    {"kind": "vector", "name": "v", "path": "v", "length": 2},
    {"kind": "numeric", "name": "last", "path": "b.c", "scaling": "none", "lag": True},
    {"kind": "categorical", "name": "last_k", "path": "only", "vocabulary": ["A"], "lag": True},
    {"kind": "boolean", "name": "last_e", "path": "e", "missing": "error", "lag": True},
    {"kind": "hashed", "name": "last_page", "path": "b.d", "buckets": 8, "lag": True},
    {"kind": "multi_categorical", "name": "last_tags", "path": "tags", "buckets": 5, "lag": True},
    {"kind": "vector", "name": "last_v", "path": "v", "length": 2, "missing": "mean", "lag": True},
)
CLASSES = ["A", "NA", "1", "3", "true"]


class Log:
    """Partitions of records in memory, as a topic has them."""

    name = "log"

    def __init__(self, parts) -> None:
        self.parts = parts

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception):
        """Do nothing."""

    async def ranges(self):
        """Return all of them."""
        return [Range(number, 0, len(part)) for number, part in enumerate(self.parts)]

    async def batches(self, wanted):
        """Yield some records at a time."""
        records = self.parts[wanted.partition]
        for first in range(0, len(records), 17):
            yield records[first : first + 17]


def random_spec(rng):
    """Choose features, and heads that ask for the same fields and for others."""
    features = [f for f in FEATURES if rng.random() < 0.7] or [FEATURES[0]]
    taken = {f.get("path") for f in features if not f.get("lag")}
    heads = [{"kind": "time_to_next", "name": "wait"}]
    for number in range(rng.integers(1, 6)):
        path = str(rng.choice(["a", "b.c", "b.d", "e", "only"]))
        of = "next" if path in taken else str(rng.choice(["now", "next"]))
        asked = [
            {"kind": "regression"},
            {"kind": "binary"},
            {"kind": "binary", "above": 1},
            {"kind": "multiclass", "classes": CLASSES, "end": of == "next"},
        ][rng.integers(4)]
        heads.append({**asked, "name": f"h{number}", "of": of, "path": path})
    time = {"path": "at", "unit": "ms"} if rng.random() < 0.7 else None
    event = {"key": ["key"], "time": time} if time else {"key": ["key"]}
    return FeatureSpec.parse(
        {"name": "t", "event": event, "features": features, "heads": heads}, "t"
    )


def random_records(rng, count=120):
    """Make records that are mostly events, with every kind of value, forgets and broken ones."""
    values = np.empty(len(VALUES), object)
    values[:] = VALUES
    usual = (1, 2.5, "A", True)

    def value(right):
        return values[rng.integers(len(values))] if rng.random() < 0.15 else right

    records = []
    for offset in range(count):
        time_ms = offset * 1000 - int(rng.integers(0, 3000)) + 10_000
        row = {
            "at": time_ms if rng.random() < 0.95 else value(None),
            "a": value(usual[1]),
            "b": {"c": value(usual[0]), "d": value(usual[2])} if rng.random() < 0.95 else value(None),
            "e": value(usual[3]),
            "tags": value([["A", "B", 3], ["A"], [], None][rng.integers(4)]),
            "v": value([[1, 2.5], [None, 7], [], None][rng.integers(4)]),
            "only": value(usual[rng.integers(4)]),
        }  # fmt: skip
        key = None if rng.random() < 0.03 else b"k%d" % rng.integers(5)
        content = json.dumps(row).encode() if rng.random() < 0.95 else b"not JSON"
        is_forget = rng.random() < 0.04
        records.append(LogRecord(offset, time_ms, key, None if is_forget else content))
    return records


@pytest.mark.parametrize("seed", range(40))
def test_training_and_evaluation_see_the_same(seed, monkeypatch):
    """Of random logs and specs: the same offsets, the same x to the bit, the same labels."""
    rng = np.random.default_rng(seed)
    compare_both(rng, random_spec(rng), [random_records(rng) for _ in range(2)], monkeypatch)


def enveloped(rng, spec, partitions):
    """Put events into envelopes: some are filtered, deletions, or texts that parse reads."""
    content = spec.model_dump(mode="json")
    time = spec.event.time
    content["event"] |= {
        "unwrap": "in.event",
        "only": [{"path": "table", "in": ["a", 1]}],
        "forget_when": {"path": "op", "equals": "d"},
        "time": None if time is None else {"path": "at", "unit": "us", "parse": True},
    }
    for part in (*content["features"], *content["heads"]):
        if part["kind"] in ("regression", "binary"):
            part["parse"] = True
    wrapped = []
    for records in partitions:
        wrapped.append([])
        for record in records:
            row = b"null" if record.value in (None, b"not JSON") else record.value
            event = json.loads(row)
            if event and isinstance(event["a"], float) and rng.random() < 0.5:
                event["a"] = str(event["a"])
            if event and isinstance(event["e"], bool) and rng.random() < 0.5:
                event["e"] = int(event["e"])
            table, op = rng.choice(["a", "a", "a", "b"]), rng.choice(["u", "u", "u", "d"])
            outer = {
                "table": table,
                "op": op,
                "in": {"event": event},
                "at": str(record.timestamp * 1000),
            }
            value = (
                record.value if record.value in (None, b"not JSON") else json.dumps(outer).encode()
            )
            wrapped[-1].append(record._replace(value=value))
    return FeatureSpec.parse(content, "t"), wrapped


@pytest.mark.parametrize("seed", range(20))
def test_training_and_evaluation_see_the_same_in_envelopes(seed, monkeypatch):
    """A deletion ends a memory in both, also as the end of a key; both count what is filtered."""
    rng = np.random.default_rng(seed)
    records = [random_records(rng, 400) for _ in range(2)]
    spec, partitions = enveloped(rng, random_spec(rng), records)

    trained = compare_both(rng, spec, partitions, monkeypatch)

    assert trained.skips["filtered"] > 10


def compare_both(rng, spec, partitions, monkeypatch):
    """Compare what training and evaluation read of a log; return what training reads."""
    log = Log(partitions)
    ttl = 8.0 if rng.random() < 0.5 else None
    settings = Settings.build(app="app", source="log", state_ttl=ttl, batch_events_max=50)
    trained, seen = read_events(log, spec, settings), []
    data = EncodedExamples.encode(spec, trained.examples)
    step = rounds.step_rounds

    def stepped(model, plan, x, *more):
        seen.append(x.copy())
        return step(model, plan, x, *more)

    monkeypatch.setattr(rounds, "step_rounds", stepped)
    torch.manual_seed(1)
    model = Model.initialize(spec, CellSpec(hidden=8))
    found = asyncio.run(predict_with_targets(log, model, settings))
    assert trained.offset.tolist() == found.offset.tolist()
    assert trained.partition.tolist() == found.partition.tolist()
    assert trained.skips == found.skips
    assert trained.keys == found.split_events.keys
    assert np.array_equal(data.x.numpy(), np.concatenate(seen))
    for head in spec.heads:
        learned = targets(head, trained.examples)
        assert np.array_equal(learned, found.targets[head.name], equal_nan=True), head
    return trained


X = {"kind": "numeric", "name": "x", "path": "x", "missing": "mean"}
SINCE = {"kind": "since_previous", "name": "since"}


def spec_of(*heads, features=(SINCE, X)):
    """Make a spec whose events are dated by their records."""
    return FeatureSpec.parse({"name": "t", "features": features, "heads": heads}, "t")


def log_of(*values):
    """Make one partition of one key, an event a second."""
    rows = [json.dumps(value).encode() for value in values]
    return Log([[LogRecord(i, i * 1000, b"k", row) for i, row in enumerate(rows)]])


SETTINGS = Settings.build(app="app", source="log")


def test_a_target_that_cannot_be_read_costs_its_label_alone():
    """The event is learned from and stands between its neighbours; the other head has its label."""
    spec = spec_of(
        {"kind": "regression", "name": "price", "of": "now", "path": "price"},
        {"kind": "binary", "name": "late", "of": "now", "path": "late"},
        {"kind": "multiclass", "name": "word", "of": "now", "path": "late", "classes": ["NA", "true"]},
    )  # fmt: skip
    log = log_of(
        {"x": 1, "price": 5, "late": True},
        {"x": 2, "price": "NA", "late": False},
        {"x": 3, "price": 7, "late": "NA"},
    )
    events = read_events(log, spec, SETTINGS)
    found = asyncio.run(
        predict_with_targets(log, Model.initialize(spec, CellSpec(hidden=8)), SETTINGS)
    )
    assert events.skips == {}
    assert events.examples.since_ms.tolist()[1:] == [1000, 1000]
    expected = {"price": [5, None, 7], "late": [1, 0, None], "word": [1, None, 0]}
    for head in spec.heads:
        for said in (targets(head, events.examples), found.targets[head.name]):
            assert [None if np.isnan(v) else v for v in said] == expected[head.name], head.name


def test_an_event_that_scaling_makes_infinite_is_skipped_in_training_too():
    """It is known once the spec is fitted; a later event then follows the one before it."""
    spec = spec_of({"kind": "regression", "name": "n", "of": "now", "path": "y"})
    log = log_of(*({"x": 1e36 if i == 8 else 1, "y": i} for i in range(10)))
    fitted, events, examples = read_fitted(log, spec, SETTINGS, "time:0.7")
    model = Model.initialize(fitted, CellSpec(hidden=8))
    found = asyncio.run(predict_with_targets(log, model, SETTINGS))
    assert events.skips == found.skips == {"not_finite": 1}
    assert events.offset.tolist() == found.offset.tolist()
    assert examples.since_ms[-1] == 2000
    assert examples.part.tolist() == split_parts("time:0.7", found.split_events).tolist()
    assert torch.isfinite(EncodedExamples.encode(fitted, examples).x).all()


LATE = {"kind": "binary", "name": "late", "of": "label", "path": "is_late"}


def labels_file(directory, columns):
    """Write labels of the offsets 0 to 2."""
    path = directory / "labels.jsonl"
    rows = [{"partition": i % 2, "offset": i, "id": i, "is_late": True} for i in range(3)]
    lines = [json.dumps({name: row[name] for name in (*columns, "is_late")}) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_labels_of_several_partitions_must_name_them(tmp_path):
    """An offset alone names a record in each partition of a topic, in training and evaluation."""
    spec = spec_of(LATE)
    model = Model.initialize(spec, CellSpec(hidden=8))
    one = log_of({"x": 1, "id": 0}, {"x": 2, "id": 1})
    two = Log(one.parts * 2)

    def both(log, columns, by=None):
        labels = read_labels(labels_file(tmp_path, columns), by, spec)
        read_events(log, spec, SETTINGS, labels)
        asyncio.run(predict_with_targets(log, model, SETTINGS, labels))
        return labels

    for read in (
        lambda labels: read_events(two, spec, SETTINGS, labels),
        lambda labels: asyncio.run(predict_with_targets(two, model, SETTINGS, labels)),
    ):
        labels = both(one, ["offset"])
        with pytest.raises(ConfigError, match=r"no column partition.*2 partitions.*--labels-by"):
            read(labels)
    both(two, ["partition", "offset"])
    both(two, ["id"], "id")


def test_words_are_no_labels_of_a_head_of_yes_and_no():
    """A word in a labels file is not taken for true, nor compared with a threshold."""
    for above in ({}, {"above": 1}):
        head = spec_of({**LATE, **above}).heads[0]
        assert [head.target(word) for word in ("false", "true", "NA", "5")] == [None] * 4


def test_rows_of_a_file_are_places_by_themselves(tmp_path):
    """Of a file that is split into partitions a row's number names one event, so no more is asked."""
    spec = spec_of(LATE)
    spec = spec.model_copy(update={"event": spec.event.model_copy(update={"key": ("key",)})})
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"key": f"k{i}", "x": i}) + "\n" for i in range(6)))
    labels = read_labels(labels_file(tmp_path, ["offset"]), None, spec)
    events = read_events(FileLog(path, spec, 3), spec, SETTINGS, labels)
    known = {o for o, late in zip(events.offset.tolist(), events.examples.labels["late"], strict=True) if late}  # fmt: skip
    assert known == {0, 1, 2}
    assert sorted(events.offset.tolist()) == list(range(6))
