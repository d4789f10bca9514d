"""The fold of a topic with envelopes equals the oracle bit for bit, wherever it is cut or dies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.fold.crash_points import Point
from stream_rnn.testing import Crash, MemoryLog, MemoryStore, record
from tests import models, oracle
from tests.property.test_fold import EXAMPLES, CrashAt, build_settings, compare, run

T_US = 1_700_000_000_000_000
keys = st.sampled_from([b"a", b"b", b"c" * 40, None])
amounts = st.one_of(
    st.none(),
    st.floats(-3, 3, width=32),
    st.floats(-3, 3, width=32).map(str),
    st.sampled_from(["", " 1.5 ", "1,5", "1e39", 3e38, True]),
)
changes = st.builds(
    lambda op, table, after, time_s: {
        "payload": {
            "op": op,
            "source": {"table": table},
            "after": after,
            "ts_us": T_US + 1_000_000 * time_s,
        }
    },
    op=st.sampled_from(["c", "u", "d"]),
    table=st.sampled_from(["orders", "orders", 7, 7.0, "7", True, "customers", None]),
    after=st.one_of(
        st.none(),
        st.just("text"),
        st.fixed_dictionaries(
            {
                "amount": amounts,
                "paid": st.sampled_from([True, 0, 1, "1", "false", None, "no"]),
                "order.kind": st.sampled_from(["A", 1, "?"]),
            }
        ),
    ),
    time_s=st.integers(0, 100),
)
values = st.one_of(
    changes, changes, changes, st.sampled_from([None, b"nope", b"[1]", b"\0\0\0\0\7x"])
)


@st.composite
def logs(draw) -> list:
    """Draw a log with gaps, filtered records, deletions and bad records."""
    records, offset = [], draw(st.integers(0, 3))
    for key, value, late_s in draw(
        st.lists(st.tuples(keys, values, st.integers(-4000, 200)), min_size=1, max_size=40)
    ):
        records.append(record(offset, key, value, T_US // 1000 + 1000 * late_s))
        offset += draw(st.sampled_from([1, 1, 2]))
    return records


@EXAMPLES
@given(
    records=logs(),
    sizes=st.lists(st.integers(1, 9), max_size=40),
    ttl=st.sampled_from([None, 20.0]),
    cache=st.sampled_from([0, 1_000_000]),
)
def test_any_cut_of_an_enveloped_log_gives_what_the_oracle_gives(records, sizes, ttl, cache):
    """Filtered records move the position, and neither states nor stream time."""
    model, configured = models.enveloped(), build_settings(ttl, rounds_max=2, sweep_interval_s=1e-6)
    log, store = MemoryLog(records, log_start_offset=0), MemoryStore()

    run(model, log, store, configured, sizes=sizes, cache_bytes_max=cache)

    compare(model, configured, log, store)
    assert store.stored.position == log.group.offset == records[-1].offset + 1
    assert store.stored.stream_time_ms == oracle.fold(model, configured, records).stream_ms


@pytest.mark.parametrize("point", [Point.DECODED, Point.STEPPED, Point.PUBLISHED, Point.COMMITTED])
@EXAMPLES
@given(
    records=logs(),
    sizes=st.lists(st.integers(1, 5), max_size=40),
    times=st.integers(1, 4),
    wipe=st.booleans(),
)
def test_a_crash_changes_nothing_of_an_enveloped_fold(point, records, sizes, times, wipe):
    """A deletion, a filtered record and an event are the same after a crash, and after a rebuild."""
    model, configured = models.enveloped(), build_settings(20.0)
    log, store = MemoryLog(records), MemoryStore()
    try:
        run(model, log, store, configured, sizes=sizes, at_crash_point=CrashAt(point, times))
    except Crash:
        pass
    if wipe:
        store.restore(MemoryStore())

    run(model, log, store, configured, sizes=sizes)

    compare(model, configured, log, store)
