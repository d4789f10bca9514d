"""A feature with ``lag = true`` reads what a field had in the previous event of the key."""

import asyncio

import numpy as np
import pytest
from pydantic import ValidationError

from stream_rnn.evaluation.hidden_state_health import HiddenStateSample, SamplingStore
from stream_rnn.fold import micro_batch
from stream_rnn.fold.decoder import Decoder
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.partition import in_batches
from stream_rnn.settings import Settings
from stream_rnn.store.state import States
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from stream_rnn.trace.unroll import unroll
from stream_rnn.worker.prometheus import Metrics
from tests import models, oracle

RIGHT = {"name": "right", "kind": "binary", "of": "now", "path": "right"}
LAST = {"name": "last", "kind": "boolean", "path": "right", "lag": True}
SIZE = {"name": "size", "kind": "numeric", "path": "size", "scaling": "none", "lag": True}


def model_of(*features, head=RIGHT):
    """Make a model of the outcome of each event."""
    return models.of({"name": "m", "features": features, "heads": [head]})


def unrolled(model, *events, ttl=None):
    """Return the inputs of the network at the events of one key, one event a second."""
    records = [record(i, b"k", event, 1000 * i) for i, event in enumerate(events)]
    settings = Settings.build(app="app", source="log", state_ttl=ttl)
    found = asyncio.run(
        unroll(model, settings, b"k", in_batches(records), source="log", partition=0)
    )
    return [[float(value) for value in row] for row in found.x]


def test_each_event_has_the_value_of_the_one_before():
    """Missing at the first event, and where the previous event has no value."""
    model = model_of(LAST)
    assert model.encoder.names == ("last", "last_missing")
    found = unrolled(model, {"right": True}, {"right": False}, {}, {"right": True})
    assert found == [[0, 1], [1, 0], [0, 0], [0, 1]]


def test_a_memory_that_is_empty_again_has_no_previous_event():
    """After a forget, and after an expiry."""
    yes = {"right": True}
    assert unrolled(model_of(LAST), yes, yes, None, yes) == [[0, 1], [1, 0], [0, 1]]
    records = [record(i, b"k", yes, ms) for i, ms in enumerate((0, 1000, 9000, 10_000))]
    settings = Settings.build(app="app", source="log", state_ttl=5.0)
    batches = in_batches(records)
    found = asyncio.run(unroll(model_of(LAST), settings, b"k", batches, source="l", partition=0))
    assert found.x.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]


def test_an_event_that_is_skipped_is_nobodys_previous_event():
    """Nor is a value of another type, which makes its own event a dead letter."""
    plain = {"name": "x", "kind": "numeric", "path": "x", "scaling": "none", "missing": "mean"}
    events = [{"x": 1, "size": 2}, {"x": 1e39, "size": 3}, {"x": 1, "size": "4"}, {"x": 1}]
    model = model_of(plain, SIZE)
    assert unrolled(model, *events) == [[1, 0, 1], [1, 2, 0]]


def test_a_strict_lag_wants_its_field_in_every_event():
    """At the first event there is none before, which is no error."""
    model = model_of({**SIZE, "missing": "error"})
    assert unrolled(model, {"size": 5}, {}, {"size": 6}, {"size": 7}) == [[0], [5], [6]]


def test_an_extreme_value_costs_no_later_event():
    """The next event cannot be stepped with it, and so is stepped without a previous event."""
    model, huge = models.lagged(), {"size": 3e38}
    events = [{"x": 1.0, "ok": True}, huge, {"x": 2.0}, {"x": 3.0}]
    lags = model.encoder.lag_columns.tolist()
    found = [[row[i] for i in lags] for row in unrolled(model, *events)]
    missing = model.encoder.lag_missing.tolist()
    assert found == [missing, [1, 0, 1, 0, 0, 0], missing, [2, 0, 0, 1, 0, 0]]


def test_a_target_of_the_event_itself_may_lag_only():
    """Its plain value would be the answer."""
    plain = {name: value for name, value in LAST.items() if name != "lag"}
    with pytest.raises(ValidationError, match="must not be a feature; with lag = true"):
        model_of(plain)
    with pytest.raises(ValidationError, match="must not be a feature"):
        model_of({**plain, "name": "now"}, LAST)
    assert model_of(LAST).spec.features[0].lag


def test_a_lag_at_its_default_is_not_part_of_the_fingerprint():
    """Bundles from before it keep their folds."""
    plain = {"name": "last", "kind": "boolean", "path": "a"}
    assert (
        "lag"
        not in FeatureSpec.model_validate(
            {"name": "m", "features": [{**plain, "lag": False}], "heads": [RIGHT]}
        ).model_dump_json()
    )
    first, second = model_of(plain).fingerprint, model_of({**plain, "lag": True}).fingerprint
    assert first != second


def test_missing_lags_are_encoded_as_missing_fields():
    """Of each kind and for each rule."""
    spec = FeatureSpec.model_validate(models.LAGGED)
    encoder = Encoder(spec)
    x, errors = encoder.encode(
        {"x": [None], "kind": [None], "ok": [None], "size": [None]}, np.array([0])
    )
    assert not errors
    assert x[0, encoder.lag_columns].tolist() == encoder.lag_missing.tolist() == [0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("feature", "before", "first", "second"),
    [
        (
            {"kind": "vector", "length": 2, "scaling": "none"},
            [[5, None], None],
            [[0, 0, 1], [5, 0, 0.5]],
            [0, 0, 1],
        ),
        (
            {
                "kind": "vector",
                "length": 2,
                "scaling": "minmax",
                "missing": "error",
                "fitted": [{"mean": 3.0, "min": 1.0, "max": 5.0}, {"mean": 2.0, "max": 8.0}],
            },
            [[5, 8], [1, 4]],
            [[0.5, 0.25], [1, 1]],
            [0, 0.5],
        ),
        ({"kind": "hashed", "buckets": 1024}, ["a", None], [[0], [637]], [0]),
        (
            {"kind": "multi_categorical", "vocabulary": ["A", "B"], "max_length": 3},
            [["B", "?", "A"], []],
            [[0, 0, 0], [1, 2, 3]],
            [0, 0, 0],
        ),
        (
            {"kind": "multi_categorical", "buckets": 1024, "max_length": 2, "missing": "error"},
            [["b"], ["a"]],
            [[0, 0], [1014, 0]],
            [638, 0],
        ),
    ],
)
def test_arrays_and_hashed_words_lag_as_numbers_do(feature, before, first, second):
    """With the columns of a missing field at the first event of a key."""
    model = model_of({"name": "last", "path": "right", "lag": True, **feature})
    assert model.tail_size_floats == model.feature_count
    found = unrolled(model, *({"right": value} for value in (*before, before[0])))
    assert found == [*first, second]


def test_a_state_has_its_tail_after_h():
    """In the order of x, as float32; without lags the bytes are those of version 1."""
    settings = Settings.build(app="app", source="events", predictions="out")
    log = MemoryLog([record(0, b"k", {"x": 2.5, "ok": True, "kind": "?"}, 0)])
    for model, version in ((models.lagged(), 2), (models.small(), 1)):
        store = MemoryStore()
        asyncio.run(memory_processor(model, log, store, settings).run())
        value = store.states[b"k"]
        assert value[0] == version
        tail = np.frombuffer(value[16 + 4 * model.hidden_size_floats :], "<f4").tolist()
        assert tail == ([2.5, 0, 1, 0, 2, 0] if version == 2 else [])
        assert oracle.fold(model, settings, log.records).states[b"k"] == oracle.stored(value)
        log = MemoryLog(log.records)


@pytest.mark.parametrize("name", ["last_page", "last_tags_0", "last_items_3"])
@pytest.mark.parametrize("number", [-1.0, 0.5, 100_000.0, 3e38])
def test_a_tail_that_names_no_embedding_is_built_again(name, number):
    """Such a state is corrupt: the network could not step, or would step wrongly."""
    model = models.lagged_arrays()
    settings = Settings.build(app="app", source="events", predictions="out")
    log = MemoryLog([record(i, b"k", {"page": "a", "tags": ["A"]}, i) for i in range(4)])
    store = MemoryStore()

    def run():
        asyncio.run(memory_processor(model, log, store, settings).run())

    run()
    whole = np.frombuffer(store.states[b"k"], "<f4").copy()
    whole[4 + model.hidden_size_floats + model.tail_names.index(name)] = number
    store.states[b"k"] = whole.tobytes()
    log.records.append(record(4, b"k", {"page": "b"}, 4))
    run()

    truth = oracle.fold(model, settings, log.records)
    assert oracle.stored(store.states[b"k"]) == truth.states[b"k"]
    assert len(log.predictions) == 5


def test_without_lags_no_array_of_tails_is_made(monkeypatch):
    """What a spec does not use costs nothing."""

    def fail(*_arguments):
        raise AssertionError

    monkeypatch.setattr(micro_batch, "_fill_lags", fail)
    model, settings = models.small(), Settings.build(app="app", source="events")
    batch = micro_batch.decode(Decoder(model.spec, settings), model, [record(0, b"k", {}, 0)], None)

    async def step():
        async def nothing():
            """Go on."""

        states = States.empty(1, model.state_size_floats)
        return await micro_batch.step(model, batch, np.zeros(1, bool), states, None, nothing)

    assert asyncio.run(step()).exists.all()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_tail_is_no_part_of_h_where_hidden_states_are_measured(cell):
    """Neither in the metrics of a worker nor in the report of an evaluation."""
    model = models.lagged(cell)
    settings = Settings.build(app="app", source="events", predictions="p")
    events = [{"x": 1.0, "size": 1e6}] * 3
    log = MemoryLog([record(i, b"k", event, i) for i, event in enumerate(events)])
    sample = HiddenStateSample(model.hidden_size_floats, model.tail_size_floats)
    store, metrics = SamplingStore(sample), Metrics(model, settings, list, lambda: 0.0)
    processor = memory_processor(model, log, store, settings)
    processor.observer = metrics
    asyncio.run(processor.run())
    store.end_slice()

    h = np.frombuffer(store.states[b"k"][16:], "<f4")[:8]
    assert sample.hidden[0][:8].tolist() == h.tolist()
    assert len(sample.hidden[0]) == model.hidden_size_floats
    total = metrics.registry.get_sample_value("stream_rnn_hidden_rms_sum")
    assert total == pytest.approx(np.sqrt(np.mean(h**2)), rel=1e-5)
