"""Expired states leave at the pace at which keys come, and while the topic is silent."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.fold.crash_points import Point
from stream_rnn.fold.record_limits import TICK_KEY
from stream_rnn.fold.source import Fetch
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.testing import (
    Crash,
    MemoryLog,
    MemorySource,
    MemoryStore,
    memory_processor,
    record,
)
from stream_rnn.trace.unroll import _KeyUnroller
from stream_rnn.training.dataset import read_events
from tests import models, oracle
from tests.property.test_fold import EXAMPLES, CrashAt, build_settings, compare, logs
from tests.unit.test_same_events import Log

RATE, TTL_S, BATCH = 10, 60, 20  # new keys a second of stream time, and in a micro-batch
ALIVE = RATE * TTL_S
NEVER_S = 86_400
silences = st.lists(st.integers(0, 3), max_size=40)


class IntermittentSource(MemorySource):
    """A source after each of whose fetches there are some checks of a silent topic.

    Attributes:
        waits: How long each call of ``take`` was to wait.
    """

    def __init__(self, log, sizes=(), silences=()) -> None:
        super().__init__(log, sizes)
        self._silences = iter(silences)
        self._left = 0
        self._is_over = False
        self.waits = []

    async def take(self, timeout_s) -> Fetch | None:
        """Return the next records, or an empty fetch."""
        self.waits.append(timeout_s)
        if self._left:
            self._left -= 1
            return Fetch([], self._position)
        self._left = next(self._silences, 0)
        fetch = await super().take(timeout_s)
        if fetch is None and not self._is_over:
            self._is_over = True
            return Fetch([], self._position)
        return fetch


def run(log, store, configured, source, **options) -> None:
    """Fold a log from a source."""

    async def go() -> None:
        processor = memory_processor(models.lagged(), log, store, configured, **options)
        processor.source = source
        await processor.run()

    asyncio.run(go())


@st.composite
def ticked_logs(draw) -> list:
    """Draw a log in which some records are ticks."""
    times = st.one_of(st.none(), st.none(), st.sampled_from([-1, 0, 30_000, 400_000, 1 << 60]))
    return [
        one if time is None else record(one.offset, TICK_KEY, None, time)
        for one in draw(logs())
        for time in [draw(times)]
    ]


@EXAMPLES
@given(
    records=ticked_logs(),
    sizes=st.lists(st.integers(1, 9), max_size=40),
    silences=silences,
    ttl=st.sampled_from([0.001, 20.0, 150.0]),
    cache=st.sampled_from([0, 1_000_000]),
)
def test_a_silence_changes_no_prediction_and_leaves_no_expired_state(
    records, sizes, silences, ttl, cache
):
    """Where the topic is silent, and for how long, shows nowhere but in the memory of Redis."""
    configured = build_settings(ttl, sweep_interval_s=1e-9)
    log, store = MemoryLog(records), MemoryStore()
    source = IntermittentSource(log, sizes, silences)
    run(log, store, configured, source, cache_bytes_max=cache)
    compare(models.lagged(), configured, log, store)
    stream_ms = store.stored.stream_time_ms
    left = [oracle.stored(value)[1] for value in store.states.values()]
    assert all(stream_ms - last_ms <= ttl * 1000 for last_ms in left if stream_ms is not None)


@pytest.mark.parametrize("point", [Point.SWEPT, Point.COMMITTED])
@EXAMPLES
@given(
    records=ticked_logs(),
    sizes=st.lists(st.integers(1, 5), max_size=40),
    silences=silences,
    crashes=st.lists(st.integers(1, 8), min_size=1, max_size=3),
)
def test_a_crash_in_a_silence_changes_nothing(point, records, sizes, silences, crashes):
    """A commit that only deletes may be applied or not."""
    configured = build_settings(20.0, sweep_interval_s=1e-9)
    log, store = MemoryLog(records), MemoryStore()
    for times in crashes:
        try:
            source = IntermittentSource(log, sizes, silences)
            run(log, store, configured, source, at_crash_point=CrashAt(point, times))
        except Crash:
            pass
    run(log, store, configured, IntermittentSource(log, sizes, silences))
    compare(models.lagged(), configured, log, store)


def new_keys(seconds, first=0):
    """Return records of ``RATE`` new keys in each second of stream time."""
    return [
        record(i, b"%d" % i, {"x": 0.5, "kind": "A"}, (first + i) * 1000 // RATE)
        for i in range(seconds * RATE)
    ]


class CountingStore(MemoryStore):
    """A store that notes the number of its states after each commit."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = []

    async def commit(self, commit) -> None:
        """Commit, and count."""
        await super().commit(commit)
        self.counts.append(self.stored.fields)


class CountingRedisStore(RedisStore):
    """The same in Redis."""

    counts = ()

    async def commit(self, commit) -> None:
        """Commit, and count."""
        await super().commit(commit)
        self.counts = [*self.counts, (await self.read()).fields]


def test_the_number_of_states_levels_off_below_twice_those_that_live():
    """No clock is needed: the scan follows the keys that come, at any rate."""
    configured = build_settings(TTL_S, sweep_interval_s=NEVER_S, sweep_fields_max=20)
    log, store = MemoryLog(new_keys(5 * TTL_S)), CountingStore()
    run(log, store, configured, MemorySource(log, [BATCH] * len(log.records)))
    levelled = store.counts[len(store.counts) // 2 :]
    assert ALIVE < max(levelled) <= 2 * ALIVE
    compare(models.lagged(), configured, log, store)


def test_the_same_in_redis_and_a_silence_of_the_topic_frees_what_a_burst_left(redis_url, app_id):
    """A pass over all states takes a bounded number of checks, after which there are none."""
    settings = build_settings(TTL_S, sweep_interval_s=1e-9, sweep_fields_max=4)
    levelling = settings.replace(sweep_interval_s=NEVER_S, sweep_fields_max=20)
    records = new_keys(5 * TTL_S)
    log = MemoryLog(records)

    async def go():
        redis = connect_redis(redis_url, 5)
        store = CountingRedisStore(redis, f"{app_id}:t:0:f", 5)
        model = models.lagged()
        processor = memory_processor(model, log, store, levelling, sizes=[BATCH] * len(records))
        await processor.run()
        counts = list(store.counts)
        # One event, an hour later: all states but its own have expired.
        log.records = [*records, record(len(records), b"late", {"x": 1.0}, 3_900_000)]
        source = IntermittentSource(log, [1], [20])
        processor = memory_processor(model, log, store, settings)
        processor.source = source
        await processor.run()
        fields = (await store.read()).fields
        await store.drop()
        await redis.aclose()
        return counts, fields, source.waits

    counts, fields, waits = asyncio.run(go())
    assert ALIVE < max(counts[len(counts) // 2 :]) <= 2 * ALIVE
    assert fields == 1
    assert waits[:3] == [60, 1e-9, 1e-9]  # after the event that expires all, the next check is soon
    assert waits[-1] == 60  # nothing is left
    truth = oracle.fold(models.lagged(), settings, log.records)
    assert len(truth.predictions) == len(log.predictions)


@EXAMPLES
@given(
    items=st.lists(
        st.tuples(st.sampled_from([b"a", b"b", TICK_KEY]), st.integers(0, 400_000)), min_size=1
    ),
    ttl=st.sampled_from([0.001, 20.0, 150.0]),
)
def test_training_and_trace_expire_at_the_same_ticks_as_the_fold(items, ttl):
    """Each reader of a log that computes stream time knows ticks."""
    items = [(b"a", 0), *items]
    event = {"x": 0.5, "kind": "A"}
    records = [
        record(i, key, None if key == TICK_KEY else event, time)
        for i, (key, time) in enumerate(items)
    ]
    configured, model = build_settings(ttl), models.lagged()
    truth = oracle.fold(model, configured, records)
    steps = {offset: one["steps"] for offset, one in truth.predictions.items()}
    events = read_events(Log([records]), model.spec, configured)
    runs = events.examples.runs
    first = events.offset[runs.order[runs.first]].tolist()
    assert sorted(first) == [offset for offset, count in steps.items() if count == 1]
    unroller = _KeyUnroller(model, configured, b"a", len(records))
    for i in range(0, len(records), 3):
        unroller.step_records(records[i : i + 3])
    assert {step.offset: step.steps for step in unroller._steps} == {
        offset: count for offset, count in steps.items() if records[offset].key == b"a"
    }
