"""With extreme timestamps, the fold equals the oracle and no other key loses its state."""

import asyncio
import json

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.event_time import TIME_MS_MAX, TIME_MS_MIN, latest_ms
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import TimeToNext
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor
from stream_rnn.training.dataset import make_events
from stream_rnn.training.targets import FoldedEvents, TargetExtractor
from tests import models, oracle
from tests.property.test_fold import compare

EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = 1_700_000_000_000
NONE, FIRST, LAST = -1, -(2**63), 2**63 - 1

stamps = st.one_of(
    st.just(NONE),
    st.integers(NOW, NOW + 400_000),
    st.sampled_from([FIRST, FIRST + 1, -(2**62), -2, 0, TIME_MS_MAX, 2**62, LAST - 1, LAST]),
    st.integers(FIRST, LAST),
)
instants = st.one_of(
    st.integers(NOW, NOW + 400_000),
    st.sampled_from([TIME_MS_MIN - 1, TIME_MS_MIN, -1, 0, TIME_MS_MAX, TIME_MS_MAX + 1, 2**63]),
    st.integers(TIME_MS_MIN, TIME_MS_MAX),
)
texts = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.sampled_from(
        [
            "0001-01-01", "0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00-23:59",
            "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59+23:59",
            "2023-11-14T22:13:20Z", "2023-W46-2", "-0001-01-01", "24:00",
        ]
    ),
)  # fmt: skip
raws = {
    "ms": st.one_of(instants, instants.map(float), st.floats()),
    "s": st.one_of(instants.map(lambda ms: ms / 1000), st.floats()),
    "iso8601": texts,
}


def model_of(unit) -> Model:
    """Return a small model whose spec reads the event time from a field."""
    event = {"key": ["key"], "time": {"path": "at", "unit": unit}}
    spec = FeatureSpec.model_validate({**models.SPEC, "event": event})
    return Model.initialize(spec, CellSpec(kind="gru", hidden=8, layers=1))


@st.composite
def logs(draw, unit):
    """Draw records of three keys with any timestamps and event times."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from([b"a", b"b", b"c"]), stamps, raws[unit]),
            min_size=1,
            max_size=25,
        )
    )
    return [
        LogRecord(offset, stamp, key, json.dumps({"x": 1.0, "kind": "A", "at": raw}).encode())
        for offset, (key, stamp, raw) in enumerate(rows)
    ]


def dated(*rows):
    """Return records of (key, timestamp, event time)."""
    return [
        LogRecord(offset, stamp, key, b'{"x":1,"at":%d}' % at)
        for offset, (key, stamp, at) in enumerate(rows)
    ]


MODELS = {unit: model_of(unit) for unit in raws}
FAR = dated((b"a", NOW, NOW), (b"b", NONE, TIME_MS_MAX), (b"a", NOW + 1, NOW + 1), (b"a", NOW + 2, NOW + 2))  # fmt: skip
ALONE = dated((b"b", NONE, TIME_MS_MAX), (b"a", NONE, NOW), (b"a", NONE, NOW + 1))


@EXAMPLES
@given(
    st.sampled_from(sorted(raws)).flatmap(lambda unit: st.tuples(st.just(unit), logs(unit))),
    st.lists(st.integers(1, 9), max_size=25),
    st.sampled_from([None, 0.001, 150.0, 3.2e9]),
    st.sampled_from([0, 3600, 3.2e9]),
    st.sampled_from([None, 1970, 2023, 9999]),
)
@example(("ms", FAR), [], 150.0, 3600, None)
@example(("ms", ALONE), [1, 1, 1], 150.0, 3600, 2023)
@example(("ms", dated((b"a", NOW, TIME_MS_MIN))), [], 150.0, 3600, None)
def test_any_times_give_what_the_oracle_gives_however_the_log_is_cut(
    given_log, sizes, ttl, ahead, year
):
    """The fold and training agree on times near the ends of int64, in the years 1 and 9999."""
    unit, records = given_log
    model = MODELS[unit]
    configured = Settings.build(
        app="app", source="events", predictions="out", state_ttl=ttl, redis_retry_s=0.0,
        event_time_ahead_max_s=ahead, event_year_max=year, sweep_interval_s=1e-6,
    )  # fmt: skip
    log, store = MemoryLog(records), MemoryStore()
    asyncio.run(memory_processor(model, log, store, configured, sizes=list(sizes)).run())
    compare(model, configured, log, store)
    truth = oracle.fold(model, configured, records)
    assert store.stored.stream_time_ms == truth.stream_ms
    assert year is None or truth.stream_ms is None or truth.stream_ms <= latest_ms(year)
    trained = make_events([records], model.spec, configured)
    colds = {o for o, value in truth.predictions.items() if value["cold"]}
    firsts = trained.examples.runs.order[trained.examples.runs.first]
    assert {int(trained.offset[i]) for i in firsts} == colds


def test_an_event_of_9999_without_a_timestamp_expires_no_other_key():
    """An unconfirmed time counts only for its own key, both after other events and as the first."""
    configured = Settings.build(app="app", source="events", predictions="out", state_ttl=150.0)
    for records, steps in ((FAR, [1, 1, 2, 3]), (ALONE, [1, 1, 2])):
        log, store = MemoryLog(records), MemoryStore()
        asyncio.run(memory_processor(MODELS["ms"], log, store, configured).run())
        assert [json.loads(message.value)["steps"] for message in log.predictions] == steps
        assert len(store.states) == 2


def test_the_time_since_the_previous_event_fits_any_number_of_memories_and_years():
    """The sum over a hundred thousand keys and ten thousand years exceeds an int64."""
    count = 100_000
    time_ms = np.tile(np.array([TIME_MS_MIN, TIME_MS_MAX], np.int64), count)
    steps = np.tile(np.array([1, 2], np.int64), count)
    number = np.arange(2 * count)
    events = FoldedEvents([b"k"], np.zeros(2 * count, np.int64), number, time_ms, steps)
    head = TimeToNext(name="wait", kind="time_to_next")
    own, _ = TargetExtractor(None, (), 0, None, None).extract([head], events)
    since_s = own["wait"]
    assert np.isnan(since_s[::2]).all()
    assert (since_s[1::2] == head.target((TIME_MS_MAX - TIME_MS_MIN) / 1000)).all()
