"""The fold of events with arrays equals the oracle bit for bit, wherever it is cut or dies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.fold.crash_points import Point
from stream_rnn.testing import Crash, MemoryLog, MemoryStore, record
from tests import models
from tests.property.test_fold import EXAMPLES, CrashAt, build_settings, compare, run

numbers = st.one_of(st.none(), st.floats(-3, 3, width=32), st.integers(-3, 3))
sensors = st.one_of(
    st.none(),
    st.just([]),
    st.lists(numbers, min_size=3, max_size=3),
    st.lists(numbers, min_size=3, max_size=3),
    st.lists(numbers, min_size=1, max_size=4),
    st.sampled_from(["[1, 2, 3]", 1.0, [1, 2, "3"], [True, 1, 2], [1, 2, 1e39]]),
)
pages = st.one_of(st.text(max_size=5), st.sampled_from([None, 7, 7.5, True, "7", "ä" * 900, []]))
words = st.one_of(st.sampled_from(["A", "B", "?", None, 7, True, 7.5]), st.text(max_size=3))
tags = st.one_of(st.none(), st.lists(words, max_size=4), st.sampled_from(["A", [[]], ["A", {}]]))
items = st.one_of(st.none(), st.text("ab |", max_size=9), st.lists(words, max_size=5))
events = st.fixed_dictionaries(
    {},
    optional={"x": numbers, "sensors": sensors, "page": pages, "tags": tags, "items": items},
)
values = st.one_of(events, events, events, st.sampled_from([None, b"[1]"]))


@st.composite
def logs(draw) -> list:
    """Draw a log of three keys, with gaps."""
    records, offset = [], draw(st.integers(0, 3))
    keys = st.sampled_from([b"a", b"b", b"c"])
    for key, value in draw(st.lists(st.tuples(keys, values), min_size=1, max_size=40)):
        records.append(record(offset, key, value, 1000 * offset))
        offset += draw(st.sampled_from([1, 1, 2]))
    return records


@pytest.mark.parametrize("model", [models.arrays, models.lagged_arrays])
@EXAMPLES
@given(
    records=logs(),
    sizes=st.lists(st.integers(1, 9), max_size=40),
    sizes_after=st.lists(st.integers(1, 5), max_size=40),
    point=st.sampled_from([None, Point.DECODED, Point.STEPPED, Point.PUBLISHED, Point.COMMITTED]),
    times=st.integers(1, 4),
    wipe=st.booleans(),
)
def test_neither_a_cut_nor_a_crash_changes_a_fold_of_arrays(
    model, records, sizes, sizes_after, point, times, wipe
):
    """Predictions and states are those of the oracle, which takes each record by itself."""
    model, configured = model(), build_settings(20.0, rounds_max=2)
    log, store = MemoryLog(records), MemoryStore()
    try:
        crash = {} if point is None else {"at_crash_point": CrashAt(point, times)}
        run(model, log, store, configured, sizes=sizes, **crash)
    except Crash:
        pass
    if wipe:
        store.restore(MemoryStore())

    run(model, log, store, configured, sizes=sizes_after)

    compare(model, configured, log, store)
