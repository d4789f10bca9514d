"""Micro-batches are bounded prefixes of what has arrived."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.fold.slices import slice_records
from stream_rnn.settings import Settings
from stream_rnn.testing import record

keys = st.sampled_from([None, b"a", b"b", b"c" * 300])


def cut(records, events=4096, size=8_000_000, rounds=4096):
    """Return the offsets of each micro-batch."""
    settings = Settings.build(batch_events_max=events, batch_bytes_max=size, rounds_max=rounds)
    return [[r.offset for r in part] for part in slice_records(records, settings)]


def sized(*sizes):
    """Make records of one key whose values have these sizes."""
    return [record(i, b"", b"x" * size) for i, size in enumerate(sizes)]


def test_no_records_are_no_micro_batch():
    """Nothing is cut into nothing."""
    assert cut([]) == []


def test_a_micro_batch_has_at_most_so_many_records():
    """The bound is reached, not passed."""
    assert cut(sized(1, 1, 1, 1, 1), events=2) == [[0, 1], [2, 3], [4]]


def test_a_micro_batch_has_at_most_so_many_bytes():
    """Exactly the bound fits; one byte more is the next micro-batch."""
    assert cut(sized(1000, 24, 1, 1024, 1), size=1024) == [[0, 1], [2], [3], [4]]


def test_the_bytes_of_keys_count():
    """A long key is as heavy as a long value."""
    assert cut([record(i, b"k" * 600, b"x" * 100) for i in range(2)], size=1024) == [[0], [1]]


def test_forgets_are_cut_by_the_bytes_of_their_keys():
    """Their commit consists of keys alone, however many hidden states it could have."""
    records = [record(i, b"k" * size, None) for i, size in enumerate((600, 400, 1, 1200, 7))]
    settings = Settings.build(commit_bytes_max=1000)
    for bound, sizes in ((None, [2, 1, 1, 1]), (601, [1, 2, 1, 1]), (5000, [2, 1, 1, 1])):
        parts = slice_records(records, settings, 8, key_bytes_max=bound)
        assert [len(part) for part in parts] == sizes


def test_a_record_beyond_the_bytes_is_alone():
    """What no micro-batch can hold is one by itself."""
    assert cut(sized(1, 5000, 1), size=1024) == [[0], [1], [2]]


def test_a_micro_batch_has_at_most_so_many_events_of_a_key():
    """The third event of a key opens the next micro-batch if two are allowed."""
    names = [b"a", b"b", b"a", b"c", b"a", b"a", b"b"]
    records = [record(i, key, b"{}") for i, key in enumerate(names)]
    assert cut(records, rounds=2) == [[0, 1, 2, 3], [4, 5, 6]]


@given(
    st.lists(st.tuples(keys, st.integers(0, 900)), max_size=60),
    st.integers(1, 7),
    st.integers(1024, 3000),
    st.integers(1, 4),
)
def test_every_cut_keeps_order_and_bounds(given_records, events, size, rounds):
    """All records, in order, each once, and no micro-batch beyond a bound."""
    records = [record(i, key, b"x" * n) for i, (key, n) in enumerate(given_records)]
    settings = Settings.build(batch_events_max=events, batch_bytes_max=size, rounds_max=rounds)
    parts = list(slice_records(records, settings))
    assert [r for part in parts for r in part] == records
    for part in parts:
        assert 1 <= len(part) <= events
        weight = sum(len(r.key or b"") + len(r.value or b"") for r in part)
        assert weight <= size or len(part) == 1
        assert max(Counter(r.key for r in part).values()) <= rounds


def test_a_commit_holds_so_many_bytes_of_states():
    """Large hidden states make smaller micro-batches, at least of one record."""
    records = [record(i, b"k", b"{}") for i in range(10)]
    settings = Settings.build(commit_bytes_max=3000)
    for state_bytes, sizes in ((1000, [3, 3, 3, 1]), (5000, [1] * 10), (16, [10])):
        assert [len(part) for part in slice_records(records, settings, state_bytes)] == sizes
