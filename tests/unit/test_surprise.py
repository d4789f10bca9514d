"""Surprise: how far an event is from the prediction at the key's previous event."""

import asyncio
import io
import json

import fastavro
import numpy as np
import polars as pl
import pytest
import torch
from fastavro.schema import parse_schema
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from stream_rnn.errors import SpecError
from stream_rnn.fold import micro_batch
from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.framed import COLUMNS_MIN
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.targets import encode_targets, labels_of
from stream_rnn.predictions.frames import to_polars
from stream_rnn.predictions.schema import Prediction
from stream_rnn.predictions.wire_schema import FRAMED_FORMATS, Wire, output_fields, schema_text
from stream_rnn.replay.partition import in_batches
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from stream_rnn.trace.unroll import unroll
from stream_rnn.training.targets import TargetDecoder
from stream_rnn.worker.prometheus import Metrics
from tests import models, oracle
from tests.unit.framed_records import WRITER, Shelf, avro, records
from tests.unit.framed_records import settings as framed_settings
from tests.unit.test_same_events import random_records, random_spec

X = {"name": "x", "kind": "numeric", "path": "x", "scaling": "none"}
FLAG = {"name": "x", "kind": "boolean", "path": "x", "parse": True}
FLAG_HEAD = {"name": "flag", "kind": "binary"}
BIG = {"name": "big", "kind": "binary", "path": "x", "above": 1.0}
NUMBER = {"name": "n", "kind": "regression", "path": "y", "fitted": {"mean": 3.0, "std": 2.0}}
RANGE = {**NUMBER, "kind": "quantile"}
WORD = {"name": "w", "kind": "multiclass", "path": "w", "classes": ["A", "B", "C"]}
WAIT = {"name": "wait", "kind": "time_to_next", "fitted": {"mean": 2.0, "std": 0.5}}
SETTINGS = Settings.build(app="app", source="events", predictions="out")
logits = st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3)


def spec_of(*heads, features=(X,)):
    """Make a spec whose heads have a surprise, unless they say otherwise."""
    heads = [{"surprise": True, **head} for head in heads]
    return FeatureSpec.parse({"name": "m", "features": features, "heads": heads}, "m")


def surprise_of(head, y, target):
    """Return the surprise of one event by one head."""
    (made,) = spec_of(head).heads
    columns = np.array(y, np.float64).reshape(-1, 1)
    return float(made.surprise_of(columns, np.array([target], np.float64))[0])


def predictions_of(model, *events, wire=None, ttl=None):
    """Return the predictions at events of one key, one a second."""
    model, settings = with_fingerprint(model), SETTINGS.model_copy(update={"state_ttl": ttl})
    log = MemoryLog([record(i, b"k", event, 1000 * i) for i, event in enumerate(events)])
    given = {} if wire is None else {"wire": wire}
    asyncio.run(memory_processor(model, log, MemoryStore(), settings, **given).run())
    decoder = model_decoder(model)
    return [decoder.parse(message.value) for message in log.predictions]


@given(logits, st.sampled_from([0, 1]))
def test_of_a_probability_it_is_the_loss_in_nats(y, target):
    """As torch computes it, for two classes and for more; extreme logits stay finite."""
    two = functional.binary_cross_entropy_with_logits(
        torch.tensor(y[:1], dtype=torch.float64), torch.tensor([target], dtype=torch.float64)
    )
    assert surprise_of(BIG, y[:1], target) == pytest.approx(float(two), rel=1e-9, abs=1e-12)
    many = functional.cross_entropy(
        torch.tensor([y], dtype=torch.float64), torch.tensor([target + 1])
    )
    assert surprise_of(WORD, y, target + 1) == pytest.approx(float(many), rel=1e-9, abs=1e-12)
    assert surprise_of(BIG, [-3e38], 1) == pytest.approx(3e38)
    assert surprise_of(WORD, [3e38, -3e38, 0.0], 1) == pytest.approx(6e38)


def test_what_is_nearly_certain_keeps_its_digits():
    """-log(1 - 1e-12) is 1e-12 and not 0."""
    assert surprise_of(WORD, [0.0, -40.0, -50.0], 0) == pytest.approx(np.exp(-40) + np.exp(-50))
    assert surprise_of(BIG, [40.0], 1) == pytest.approx(np.exp(-40))


def test_of_a_number_it_is_the_error_in_standard_deviations():
    """Of what is published: below the cap, in the unit of the target."""
    assert surprise_of(NUMBER, [1.0], 11.0) == (11 - 5) / 2
    assert surprise_of({**NUMBER, "cap": 4.0}, [7.0], 4.0) == 0.0
    assert surprise_of(WAIT, [0.0], np.log1p(0.0)) == pytest.approx(2.0 / 0.5)
    assert surprise_of({**WAIT, "cap": 10.0}, [9.0], np.log1p(10.0)) == 0.0


@given(logits, st.floats(-9, 9))
def test_of_quantiles_it_is_twice_the_mean_pinball_loss(y, target):
    """So the median alone has the surprise of a regression head."""
    levels, ordered = (0.1, 0.5, 0.95), sorted(3 + 2 * value for value in y)
    losses = [
        level * (target - value) if target > value else (1 - level) * (value - target)
        for level, value in zip(levels, ordered, strict=True)
    ]
    head = {**RANGE, "quantiles": list(levels)}
    assert surprise_of(head, y, target) == pytest.approx(2 * sum(losses) / 3 / 2)
    median = surprise_of({**RANGE, "quantiles": [0.5]}, y[:1], target)
    assert median == pytest.approx(surprise_of(NUMBER, y[:1], target))


@pytest.mark.parametrize("head", [BIG, NUMBER, RANGE, WORD])
@pytest.mark.parametrize("of", ["now", "label"])
def test_a_head_of_another_event_is_refused(head, of):
    """Nothing was predicted before the event."""
    with pytest.raises(SpecError, match='needs of = "next": it compares each event'):
        spec_of({**head, "of": of, "path": "z"})


def test_a_field_that_two_read_differently_is_refused():
    """The fold decodes it once, and training by itself."""
    parsed = {**X, "parse": True}
    for feature, head in (
        (parsed, BIG),
        (parsed, {**WORD, "path": "x"}),
        (X, {**BIG, "parse": True}),
        (FLAG, {**BIG, "parse": True}),
    ):
        with pytest.raises(SpecError, match="it must read texts at x as x does; set parse for"):
            spec_of(head, features=[feature])
        spec_of({**head, "surprise": False}, features=[feature])
    spec_of({**BIG, "parse": True}, features=[parsed])
    words = {"name": "tags", "kind": "multi_categorical", "path": "w", "vocabulary": ["A"]}
    with pytest.raises(SpecError, match="it must read texts at w as tags does"):
        spec_of(WORD, features=[{**words, "separator": "|", "max_length": 3}])
    with pytest.raises(SpecError, match=r"path x\.y: x is also a path"):
        spec_of({**BIG, "path": "x.y"})


def with_surprise(spec):
    """Return a spec whose heads of the next event have a surprise."""
    content = spec.model_dump(mode="json")
    for head in content["heads"]:
        head["surprise"] = head["of"] == "next"
    return FeatureSpec.parse(content, "t")


@pytest.mark.parametrize("seed", range(60))
def test_the_fold_reads_the_targets_of_training(seed):
    """Of random specs and values of every kind; and the same events with the same x as without."""
    rng = np.random.default_rng(seed)
    plain, settings = random_spec(rng), Settings.build(app="a", source="s")
    log, spec = random_records(rng), with_surprise(plain)
    decoded = Decoder(spec, settings).decode(log)
    without = Decoder(plain, settings).decode(log)
    assert decoded.rows.tolist() == without.rows.tolist()
    assert {r: e.code for r, e in decoded.skips.items()} == {
        r: e.code for r, e in without.skips.items()
    }
    x, errors = Encoder(spec).encode(decoded.columns, decoded.time_ms)
    expected, expected_errors = Encoder(plain).encode(without.columns, without.time_ms)
    assert x.tobytes() == expected.tobytes()
    assert errors.keys() == expected_errors.keys()
    fields = TargetDecoder(spec, settings, None).decode(0, log)
    for head in spec.heads:
        if head.surprise and head.path is not None:
            values = [fields[head.name][row] for row in decoded.rows.tolist()]
            found = encode_targets(head, labels_of(head, decoded.columns[head.path]))
            assert np.array_equal(found, encode_targets(head, values), equal_nan=True), head


def test_a_surprise_at_its_default_is_not_part_of_the_fingerprint():
    """Bundles from before it keep their folds, their states and their bytes."""
    for head in (BIG, NUMBER, RANGE, WORD, WAIT):
        plain = spec_of({**head, "surprise": False})
        assert "surprise" not in plain.model_dump_json()
        without = models.of(plain.model_dump())
        with_one = models.of(spec_of(head).model_dump())
        assert without.fingerprint != with_one.fingerprint
        assert without.tail_size_floats == 0
        assert with_one.tail_size_floats == with_one.output_count
        assert predictions_of(without, {"x": 1}, {"x": 2})[1].surprise is None


def test_the_first_event_of_a_memory_has_none():
    """Also after a forget and after an expiry."""
    model = models.of(spec_of(BIG, WAIT).model_dump())
    yes = {"x": 2.0}
    found = [one.surprise for one in predictions_of(model, yes, yes, None, yes, yes)]
    assert [one["big"] is None for one in found] == [True, False, True, False]
    assert [one["wait"] is None for one in found] == [True, False, True, False]
    found = [one.surprise for one in predictions_of(model, yes, yes, ttl=0.5)]
    assert found == [{"big": None, "wait": None}] * 2


def test_an_event_without_a_target_has_none_and_is_no_dead_letter():
    """A missing field, a value of another type, and a word that is no class."""
    model = models.of(spec_of(NUMBER, WORD).model_dump())
    odd = [{}, {"y": None, "w": "D"}, {"y": "7", "w": [1]}, {"y": True, "w": {}}]
    good = {"y": 2.0, "w": "B"}
    predicted = predictions_of(model, good, *odd, good)
    assert [one.surprise for one in predicted[:-1]] == [{"n": None, "w": None}] * 5
    assert None not in predicted[-1].surprise.values()


def test_an_event_that_is_skipped_is_nobodys_previous_event():
    """The next one is compared with the prediction before it."""
    model = models.of(spec_of(BIG).model_dump())
    skipped = predictions_of(model, {"x": 1}, {"x": 1e39}, {"x": "a"}, {"x": 3})
    direct = predictions_of(model, {"x": 1}, {"x": 3})
    assert [one.surprise for one in skipped] == [one.surprise for one in direct]
    published = direct[0].outputs["big"].probability
    assert direct[1].surprise["big"] == pytest.approx(-np.log(published), rel=1e-5)


def test_without_a_surprise_nothing_is_computed(monkeypatch):
    """What a spec does not use costs nothing."""

    def fail(*_arguments):
        raise AssertionError

    monkeypatch.setattr(micro_batch.rounds, "previous_in_run", fail)
    monkeypatch.setattr("stream_rnn.model.surprise.Surprise.of", fail)
    assert len(predictions_of(models.small(), {"x": 1}, {"x": 2})) == 2


def test_a_state_has_y_behind_the_lags():
    """As float32, in the order of the heads; the names say which is which."""
    model, store = models.surprised(), MemoryStore()
    log = MemoryLog([record(i, b"k", {"x": 2.5, "size": i}, i) for i in range(3)])
    asyncio.run(memory_processor(model, log, store, SETTINGS).run())
    value = store.states[b"k"]
    assert value[0] == 2
    assert oracle.fold(model, SETTINGS, log.records).states[b"k"] == oracle.stored(value)
    names = model.tail_names
    assert names[:2] == ("last_x", "last_x_missing")
    assert names[6:11] == ("y.big", "y.wait", "y.next-kind.A", "y.next-kind.B", "y.size")
    assert len(names) == model.tail_size_floats == len(value[16:]) // 4 - model.hidden_size_floats


def test_the_trace_has_the_surprise_of_the_fold():
    """Bit for bit, also at events that are skipped or have no target."""
    model = models.surprised()
    events = [{"x": 1.0, "kind": "A", "size": s, "extra": 1} for s in (2, 3e38, 1, None, -1)]
    events += [{"x": 1e39}, {"kind": "?"}, None, {"x": 2.0}, {"x": 0.5, "kind": "B"}]
    log = MemoryLog([record(i, b"k", event, 1000 * i) for i, event in enumerate(events)])
    asyncio.run(memory_processor(model, log, MemoryStore(), SETTINGS).run())
    batches = in_batches(log.records)
    found = asyncio.run(unroll(model, SETTINGS, b"k", batches, source="events", partition=0))
    assert found.predictions(SETTINGS) == [message.value for message in log.predictions]
    assert set(found.surprises) == {head.name for head in model.spec.heads if head.surprise}


def test_a_worker_counts_the_surprises_that_it_samples():
    """Those that are none are left out; dashboards show a histogram for each head."""
    model = models.surprised()
    log = MemoryLog([record(i, b"k", event, 1000 * i) for i, event in enumerate(EVENTS)])
    processor = memory_processor(model, log, MemoryStore(), SETTINGS)
    processor.observer = metrics = Metrics(model, SETTINGS, list, lambda: 0.0)
    asyncio.run(processor.run())

    def count_of(head):
        labels = {"head": head}
        return metrics.registry.get_sample_value("stream_rnn_output_surprise_count", labels)

    assert (count_of("wait"), count_of("next-kind"), count_of("other")) == (3, 1, None)


EVENTS = [{"x": 1.0, "kind": "A", "size": 2}, {"x": 3.0, "kind": "B"}, {}, {"x": -1, "size": 1}]


@pytest.mark.parametrize("wire_format", FRAMED_FORMATS)
def test_a_surprise_is_the_same_in_every_format(wire_format):
    """With the names and the order of the bundle; what is missing is null in each."""
    model = models.surprised()
    in_json = predictions_of(model, *EVENTS)
    framed = predictions_of(model, *EVENTS, wire=Wire(wire_format, 7))
    assert framed == in_json
    names = [head.name for head in model.spec.heads if head.surprise]
    assert [list(one.surprise) for one in framed] == [names] * 4
    assert in_json[2].surprise == dict.fromkeys(names) | {"wait": in_json[2].surprise["wait"]}
    again = in_json[1].model_dump_json(exclude_none=True, by_alias=True)
    assert Prediction.parse(again.encode()) == in_json[1]
    columns = [to_polars(rows)["size.surprise"] for rows in (in_json[:1], in_json)]
    assert columns[0].dtype == columns[1].dtype == pl.Float64


def test_readers_of_the_schema_before_and_after_read_both():
    """Turning a surprise on is compatible for Avro in both directions."""
    model = models.surprised()
    heads = model.spec.heads
    plain = [head.model_copy(update={"surprise": False}) for head in heads]
    before, after = (
        parse_schema(json.loads(schema_text("avro", output_fields(these))))
        for these in (plain, heads)
    )
    log = MemoryLog([record(i, b"k", event, 1000 * i) for i, event in enumerate(EVENTS)])
    wire = Wire("avro", 7)
    asyncio.run(memory_processor(model, log, MemoryStore(), SETTINGS, wire=wire).run())
    body = io.BytesIO(log.predictions[1].value[5:])
    read = fastavro.schemaless_reader(body, after, None)
    assert not body.read()
    assert read["surprise"]["next_kind"] > 0
    assert read["surprise"]["other"] is None
    old = fastavro.schemaless_reader(io.BytesIO(log.predictions[1].value[5:]), after, before)
    assert "surprise" not in old
    body = io.BytesIO()
    fastavro.schemaless_writer(body, before, old)
    body.seek(0)
    assert fastavro.schemaless_reader(body, before, after)["surprise"] is None


@pytest.mark.parametrize("count", [1, 4 * COLUMNS_MIN])
def test_targets_of_avro_are_those_of_json(count):
    """Also of fields that no feature reads, decoded column by column or one by one."""
    spec = spec_of(
        {**NUMBER, "path": "load"}, {**WORD, "path": "kind"}, {**FLAG_HEAD, "path": "on"}
    )
    schemas = Schemas(Shelf({"7": Schema("AVRO", json.dumps(WRITER))}))
    events = [
        {"at": i, "load": i if i % 3 else None, "sensor": None, "kind": "ABC"[i % 3], "on": i > 2}
        | {"notes": {}}
        for i in range(count)
    ]

    def decoded(values):
        decoder = Decoder(spec, framed_settings(), schemas=schemas)
        return decoder.decode(records(values)).columns

    found = decoded([avro(WRITER, event, 7) for event in events])
    in_json = decoded([json.dumps(event).encode() for event in events])
    for head in spec.heads:
        targets = [encode_targets(head, labels_of(head, c[head.path])) for c in (found, in_json)]
        assert np.array_equal(*targets, equal_nan=True)
        assert np.isfinite(targets[0][1:]).any() or count == 1
