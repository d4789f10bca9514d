"""The fold equals the oracle bit for bit, for any micro-batches and after any crash."""

import asyncio
import functools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_rnn.fold.crash_points import Point
from stream_rnn.settings import Settings
from stream_rnn.testing import (
    Crash,
    MemoryLog,
    MemoryPublisher,
    MemoryStore,
    memory_processor,
    record,
)
from tests import models, oracle

CELLS = ("elman", "gru", "lstm", "none")
MODELS = [*(functools.partial(models.small, cell) for cell in CELLS), models.lagged]
MODELS.append(functools.partial(models.lagged, "none"))
MODELS += [models.surprised, functools.partial(models.surprised, "none")]
EXAMPLES = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

keys = st.sampled_from([b"a", b"b", b"c", b"\xff\xfe", b"d" * 40])
events = st.one_of(
    st.fixed_dictionaries(
        {
            "x": st.one_of(st.none(), st.floats(-3, 3, width=32)),
            "kind": st.sampled_from(["A", "B", "?"]),
            "ok": st.sampled_from([True, False, None]),
            "size": st.sampled_from([None, -1.5, 2.0, 3e38]),  # only the next event reads it
            "extra": st.sampled_from([None, 7, -2.5, "7", True]),  # only a surprise reads it
        }
    ),
    st.just({"x": 3e38, "kind": "A"}),  # finite, but the step computes infinities
    st.just({"x": 1e39}),  # infinite as float32
    st.just({"x": "one"}),
    st.just(None),  # forget
    st.just(b"not json"),
    st.just(b'{"x": NaN}'),
)
times = st.one_of(st.integers(0, 100_000), st.just(-1), st.integers(90_000, 400_000))


@st.composite
def logs(draw) -> list:
    """Draw a log with gaps, bad records, forgets, late and far-future events."""
    records, offset = [], draw(st.integers(0, 3))
    for key, event, time in draw(
        st.lists(st.tuples(st.one_of(keys, st.none()), events, times), min_size=1, max_size=40)
    ):
        records.append(record(offset, key, event, time))
        offset += draw(st.sampled_from([1, 1, 1, 2, 5]))
    return records


def build_settings(ttl=None, **more) -> Settings:
    return Settings.build(
        app="app", source="events", predictions="out", state_ttl=ttl, redis_retry_s=0.0, **more
    )


def compare(model, configured, log: MemoryLog, store: MemoryStore, partition=0) -> None:
    """Compare the outputs and states of a fold with the oracle."""
    truth = oracle.fold(model, configured, log.records, partition=partition)
    published = {}
    for message in log.predictions:
        value = json.loads(message.value)
        offset = value["source"]["offset"]
        assert dict(message.headers)["sr-offset"] == b"%d" % offset
        if offset in published:
            assert published[offset] == message.value, "duplicates are byte-identical"
        published[offset] = message.value
    assert {o: json.loads(v) for o, v in published.items()} == truth.predictions
    dead = {
        int(dict(m.headers)["sr-offset"]): dict(m.headers)["sr-error"].decode()
        for m in log.dead_letters
    }
    assert dead == truth.dead_letters
    ttl_ms = None if configured.state_ttl is None else configured.state_ttl * 1000
    states = {}
    for key, value in store.states.items():
        assert value[0] == (2 if model.tail_size_floats else 1)
        states[key] = oracle.stored(value)
    if ttl_ms is not None and truth.stream_ms is not None:
        states = {k: s for k, s in states.items() if truth.stream_ms - s[1] <= ttl_ms}
    assert states == truth.alive(ttl_ms)


def run(model, log, store, configured, **options) -> None:
    async def go() -> None:
        processor = memory_processor(model, log, store, configured, **options)
        await processor.run()

    asyncio.run(go())


@pytest.mark.parametrize("model", MODELS)
@EXAMPLES
@given(
    records=logs(),
    sizes=st.lists(st.integers(1, 9), max_size=40),
    ttl=st.sampled_from([None, 0.001, 20.0, 150.0]),
    cache=st.sampled_from([0, 700, 1_000_000]),
    batch=st.sampled_from([1, 3, 4096]),
)
def test_any_cut_gives_what_the_oracle_gives(model, records, sizes, ttl, cache, batch):
    """Predictions and states do not depend on micro-batches, cache size and other limits."""
    model = model()
    configured = build_settings(ttl, batch_events_max=batch, rounds_max=2, sweep_interval_s=1e-6)
    log, store = MemoryLog(records, log_start_offset=0), MemoryStore()
    run(model, log, store, configured, sizes=sizes, cache_bytes_max=cache)
    compare(model, configured, log, store)
    assert len({json.loads(m.value)["source"]["offset"] for m in log.predictions}) == len(
        log.predictions
    )
    assert store.stored.position == log.group.offset == records[-1].offset + 1


@EXAMPLES
@given(
    interleaved=st.lists(logs(), min_size=2, max_size=4),
    sizes=st.lists(st.integers(1, 9), max_size=40),
    ttl=st.sampled_from([None, 20.0]),
)
def test_partitions_that_run_side_by_side_do_not_mix(interleaved, sizes, ttl):
    """One model folds the same keys in several partitions concurrently, each like the oracle."""
    model, configured = models.surprised(), build_settings(ttl, yield_ms=0.001)
    folds = [(MemoryLog(records), MemoryStore()) for records in interleaved]

    async def go() -> None:
        processors = [
            memory_processor(model, log, store, configured, sizes=list(sizes), partition=number)
            for number, (log, store) in enumerate(folds)
        ]
        await asyncio.gather(*(processor.run() for processor in processors))

    asyncio.run(go())
    for number, (log, store) in enumerate(folds):
        compare(model, configured, log, store, number)


class CrashAt:
    """Raises ``Crash`` when the processor reaches a crash point for the n-th time."""

    def __init__(self, point: Point, times: int) -> None:
        self._point = point
        self._times = times

    def __call__(self, point: Point) -> None:
        if point is self._point:
            self._times -= 1
            if self._times == 0:
                raise Crash


@pytest.mark.parametrize("point", list(Point))
@EXAMPLES
@given(
    records=logs(),
    sizes=st.lists(st.integers(1, 5), max_size=40),
    crashes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    ttl=st.sampled_from([None, 20.0]),
    wipe=st.booleans(),
    roll_back=st.booleans(),
)
def test_a_crash_at_any_point_changes_nothing(point, records, sizes, crashes, ttl, wipe, roll_back):
    """A worker predicts each event once, wherever it crashes and whatever the store loses."""
    model = models.lagged()
    configured = build_settings(ttl)
    log, store = MemoryLog(records), MemoryStore()
    older = store.copy()
    for number, times in enumerate(crashes):
        try:
            run(model, log, store, configured, sizes=sizes, at_crash_point=CrashAt(point, times))
        except Crash:
            pass
        if number == 0 and roll_back:
            older = store.copy()
        elif roll_back:
            store.restore(older)
        if wipe and number == len(crashes) - 1:
            store.restore(MemoryStore())
    run(model, log, store, configured, sizes=sizes)
    compare(model, configured, log, store)
    offsets = [json.loads(m.value)["source"]["offset"] for m in log.predictions]
    assert offsets == sorted(set(offsets)), "each event once, in order"


@EXAMPLES
@given(
    records=logs(),
    sizes=st.lists(st.integers(1, 5), max_size=40),
    crash_after=st.lists(st.integers(0, 30), min_size=1, max_size=3),
)
def test_at_least_once_repeats_only_identical_bytes(records, sizes, crash_after):
    """A worker that dies between two messages leaves only byte-identical duplicates."""
    model = models.lagged()
    configured = build_settings(delivery="at_least_once")
    log, store = MemoryLog(records), MemoryStore()
    for messages in crash_after:
        publisher = MemoryPublisher(log, is_transactional=False, crash_after=messages)
        try:
            run(model, log, store, configured, sizes=sizes, publisher=publisher)
        except Crash:
            pass
    publisher = MemoryPublisher(log, is_transactional=False)
    run(model, log, store, configured, sizes=sizes, publisher=publisher)
    dead = {int(dict(m.headers)["sr-offset"]) for m in log.dead_letters}
    log.dead_letters = list({dict(m.headers)["sr-offset"]: m for m in log.dead_letters}.values())
    assert len(dead) == len(log.dead_letters)
    compare(model, configured, log, store)


@EXAMPLES
@given(
    records=logs(),
    sizes=st.lists(st.integers(1, 5), max_size=40),
    crash=st.tuples(st.sampled_from(list(Point)), st.integers(1, 4)),
    loses_states=st.booleans(),
)
def test_outputs_show_where_to_continue_when_the_group_offset_is_lost(
    records, sizes, crash, loses_states
):
    """The worker repeats no prediction and no dead letter, with the states or without them."""
    model, configured = models.lagged(), build_settings()
    log, store = MemoryLog(records), MemoryStore()
    try:
        run(model, log, store, configured, sizes=sizes, at_crash_point=CrashAt(*crash))
    except Crash:
        pass
    log.group = None
    if loses_states:
        store.restore(MemoryStore())
    run(model, log, store, configured, sizes=sizes)
    compare(model, configured, log, store)
    offsets = [dict(m.headers)["sr-offset"] for m in (*log.predictions, *log.dead_letters)]
    assert len(offsets) == len(set(offsets))


@EXAMPLES
@given(
    records=logs(),
    sizes=st.lists(st.integers(1, 5), max_size=40),
    damage=st.sampled_from(["key", "field", "bytes"]),
)
def test_a_damaged_store_is_built_again(records, sizes, damage):
    """The worker repairs a missing position, a missing state, or damaged bytes from the log."""
    model = models.lagged()
    configured = build_settings()
    log, store = MemoryLog(records[: len(records) // 2 + 1]), MemoryStore()
    run(model, log, store, configured, sizes=sizes)
    if store.states and damage == "key":
        store.stored = MemoryStore().stored
    elif store.states and damage == "field":
        store.states.popitem()
    elif store.states:
        store.states[next(iter(store.states))] = b"torn"
    log.records = records
    run(model, log, store, configured, sizes=sizes)
    touched = {r.key for r in records[len(records) // 2 + 1 :]}
    if damage != "bytes" or next(iter(store.states), None) in touched:
        published = [json.loads(m.value)["source"]["offset"] for m in log.predictions]
        assert published == sorted(set(published))
    if b"torn" not in store.states.values():
        compare(model, configured, log, store)


def test_a_zombie_is_fenced_and_changes_nothing():
    """The previous owner can neither publish nor commit after a pause."""
    model, configured = models.lagged(), build_settings()
    records = [record(i, b"a", {"x": 0.1 * i}, i) for i in range(20)]
    log, store = MemoryLog(records), MemoryStore()

    async def go() -> None:
        zombie = memory_processor(model, log, store, configured, sizes=[3] * 20)
        await zombie.publisher.start()
        await zombie._begin()
        await zombie.fold(await zombie.source.take(0))
        await memory_processor(model, log, store, configured, sizes=[4] * 20).run()
        before = (len(log.predictions), store.stored, log.group)
        with pytest.raises(Exception, match="fenced"):
            await zombie.fold(await zombie.source.take(0))
        assert (len(log.predictions), store.stored, log.group) == before

    asyncio.run(go())
    compare(model, configured, log, store)
