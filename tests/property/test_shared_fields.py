"""Specs whose features, event time and heads read the same fields, with records of any JSON."""

import asyncio
import json
import math
from datetime import datetime

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_rnn.errors import SpecError
from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.micro_batch import decode
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import targets
from stream_rnn.training.targets import make_target_extractor
from tests import oracle

ARRAYS = ("vector", "multi_categorical")
PATHS = ("a", "b", "c.d", "c.e", "c")
SETTINGS = Settings.build(app="app", source="events", predictions="out")
EXAMPLES = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FLOAT32_MAX = float(np.finfo(np.float32).max)

paths = st.sampled_from(PATHS)
features = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("numeric"),
            "path": paths,
            "scaling": st.sampled_from(["none", "log"]),
            "missing": st.sampled_from(["indicator", "error"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("categorical"),
            "path": paths,
            "vocabulary": st.just(["1", "1.0", "true", "x"]),
            "missing": st.sampled_from(["indicator", "error"]),
        }
    ),
    st.fixed_dictionaries({"kind": st.just("boolean"), "path": paths}),
    st.fixed_dictionaries(
        {
            "kind": st.just("hashed"),
            "path": paths,
            "buckets": st.just(7),
            "missing": st.sampled_from(["indicator", "error"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("multi_categorical"),
            "path": paths,
            "vocabulary": st.just(["1", "x"]),
            "max_length": st.integers(1, 2),
            "missing": st.sampled_from(["indicator", "error"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("vector"),
            "path": paths,
            "length": st.integers(1, 2),
            "scaling": st.sampled_from(["none", "log"]),
            "missing": st.sampled_from(["indicator", "mean", "error"]),
        }
    ),
)
heads = st.one_of(
    st.fixed_dictionaries({"kind": st.just("regression"), "path": paths}),
    st.fixed_dictionaries({"kind": st.just("binary"), "path": paths}),
    st.fixed_dictionaries({"kind": st.just("binary"), "path": paths, "above": st.just(0.5)}),
    st.fixed_dictionaries(
        {"kind": st.just("multiclass"), "path": paths, "classes": st.just(["1", "x", "true"])}
    ),
)
times = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"path": paths, "unit": st.sampled_from(["ms", "s", "us", "ns", "iso8601"])}
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.sampled_from([1.0, 1e39, 10**400, "x", "1", "12", "true", "", "1970-01-02", "0001-01-01"]),
)
values = st.one_of(
    scalars, st.lists(scalars, max_size=2), st.dictionaries(st.sampled_from("de"), scalars)
)
events = st.dictionaries(st.sampled_from("abc"), values)


@st.composite
def specs(draw) -> FeatureSpec:
    """Draw a valid spec."""
    content = {
        "format": 1,
        "name": "shared",
        "event": {"key": ["key"], "time": draw(times)},
        "features": [
            {**feature, "name": f"f{number}"}
            for number, feature in enumerate(draw(st.lists(features, min_size=1, max_size=4)))
        ],
        "heads": [
            {**head, "name": f"h{number}", "of": "next"}
            for number, head in enumerate(draw(st.lists(heads, min_size=1, max_size=3)))
        ],
    }
    try:
        spec = FeatureSpec.parse(content, "drawn")
        Decoder(spec, SETTINGS, with_targets=True)
    except SpecError:
        return draw(specs())
    return spec


def number(value) -> bool:
    """Return whether a JSON value is a finite number in the range of a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def is_event(spec, event) -> bool:
    """Return whether a value is an event by the rules of ``spec/README.md``; its timestamp is 0."""
    for feature in spec.features:
        value, is_object = at(event, feature.path)
        if not is_object or not is_valid(feature, value):
            return False
    time = spec.event.time
    if time is None:
        return True
    value, is_object = at(event, time.path)
    return is_object and dated(value, time.unit)


def is_valid(feature, value) -> bool:
    """Return whether a feature reads a value."""
    if value is None or (value == [] and feature.kind in ARRAYS):
        return feature.missing != "error"
    match feature.kind:
        case "categorical" | "hashed":
            return is_word(value)
        case "boolean":
            return isinstance(value, bool)
        case "multi_categorical" | "vector":
            return isinstance(value, list) and is_array(feature, value)
    return is_float32(value)


def is_array(feature, values) -> bool:
    """Return whether a feature reads an array."""
    known = [value for value in values if value is not None]
    if feature.kind == "multi_categorical":
        return len(values) <= feature.max_length and all(map(is_word, known))
    is_whole = feature.missing != "error" or len(known) == len(values)
    return is_whole and len(values) == feature.length and all(map(is_float32, known))


def is_float32(value) -> bool:
    """Return whether a value is a number that is finite as float32."""
    return number(value) and abs(value) <= FLOAT32_MAX


def is_word(value) -> bool:
    """Return whether a value is a text, a boolean or a number that JSON has."""
    return isinstance(value, str | bool | int) or number(value)


def at(event, path):
    """Return the value at a path, and whether all its parents are objects or missing."""
    *parents, leaf = path.split(".")
    for part in parents:
        event = event.get(part)
        if event is None:
            return None, True
        if not isinstance(event, dict):
            return None, False
    return event.get(leaf), True


def dated(value, unit) -> bool:
    """Return whether a value is an event time from the year 1 to an hour after 1970 began."""
    if unit == "iso8601":
        try:
            return isinstance(value, str) and datetime.fromisoformat(value).year <= 1969
        except ValueError:
            return False
    if not number(value):
        return False
    if unit in ("us", "ns"):
        whole = math.floor(value) // (1000 if unit == "us" else 1_000_000)
        return -62_135_596_800_000 <= whole <= 3_600_000
    ms = float(value) * (1000 if unit == "s" else 1)
    return math.isfinite(ms) and -62_135_596_800_000 <= round(ms) <= 3_600_000


def records_of(drawn) -> list:
    """Return a record for each event, with two alternating keys."""
    return [
        record(offset, b"k%d" % (offset % 2), json.dumps(event).encode(), 0)
        for offset, event in enumerate(drawn)
    ]


@EXAMPLES
@given(specs(), st.lists(events, min_size=1, max_size=8))
def test_a_record_means_the_same_in_any_batch_and_in_training(spec, drawn):
    """A record has the same verdict and features alone, in a batch, and in training."""
    model = Model.initialize(spec, CellSpec(kind="gru", hidden=8, layers=1))
    records = records_of(drawn)
    decoder = Decoder(spec, SETTINGS)
    together = decode(decoder, model, records, None)
    rows = together.decoded.rows.tolist()
    assert rows == [row for row, event in enumerate(drawn) if is_event(spec, event)]
    for row, single in enumerate(records):
        alone = decode(decoder, model, [single], None)
        assert len(alone.decoded.rows) == (row in rows)
        if row in rows:
            assert together.x[rows.index(row)].tobytes() == alone.x[0].tobytes()
        else:
            assert together.decoded.skips[row].code == alone.decoded.skips[0].code
    trained = make_events([records], spec, SETTINGS)
    assert trained.offset.tolist() == rows
    codes = sorted(error.code for error in together.decoded.skips.values())
    assert sorted(code for code, n in trained.skips.items() for _ in range(n)) == codes


@EXAMPLES
@given(specs(), st.lists(events, min_size=1, max_size=8))
def test_replay_equals_the_oracle_and_evaluation_has_the_labels_of_training(spec, drawn):
    """Replay, evaluation and training read the same events and labels from a log."""
    model = Model.initialize(spec, CellSpec(kind="gru", hidden=8, layers=1))
    records = records_of(drawn)
    truth, predicted, dead = oracle.fold(model, SETTINGS, records), [], {}

    async def batches():
        yield records

    def emit(predictions, dead_letters):
        predicted.extend(json.loads(message.value) for message in predictions)
        for message in dead_letters:
            headers = dict(message.headers)
            dead[int(headers["sr-offset"])] = headers["sr-error"].decode()

    asyncio.run(replay_partition(model, SETTINGS, 0, 0, batches(), emit))
    assert {value["source"]["offset"]: value for value in predicted} == truth.predictions
    assert dead == truth.dead_letters
    extractor = make_target_extractor(model, SETTINGS, None, 0, None)
    extractor.add(records)
    trained = make_events([records], spec, SETTINGS)
    for head in spec.heads:
        extracted = extractor.values_at(trained.offset, head.name)
        targets(head, trained.examples)
        order = trained.examples.runs.order
        expected = [expected_target(head, drawn[offset]) for offset in trained.offset.tolist()]
        assert [None if math.isnan(v) else v for v in extracted.tolist()] == expected
        assert len(order) == len(expected)


def expected_target(head, event):
    """Return the target of a head that an event's own field gives."""
    value = event
    for part in head.path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    word = str(value).lower() if isinstance(value, bool) else str(value)
    match head.kind:
        case "regression":
            return float(value) if number(value) and abs(value) <= FLOAT32_MAX else None
        case "binary" if head.above is None:
            return float(value) if isinstance(value, bool) else None
        case "binary":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            is_finite = is_number and not (isinstance(value, float) and not math.isfinite(value))
            return float(value > head.above) if is_finite else None
        case _:
            is_word = isinstance(value, str | int | float)
            return float(head.classes.index(word)) if is_word and word in head.classes else None
