"""The local cache of hidden states."""

import numpy as np
import pytest

from stream_rnn.errors import CorruptStateError
from stream_rnn.store.cache import ROW_OVERHEAD_BYTES, ROWS_INITIAL, StateCache, load_states
from stream_rnn.store.state import HEADER_BYTES, StateCodec, States

FLOATS = 2
ROW_BYTES = 4 * FLOATS + HEADER_BYTES + ROW_OVERHEAD_BYTES


def cache_of(rows):
    """Make a cache that has room for so many states."""
    return StateCache(FLOATS, rows * ROW_BYTES)


def numbered(*numbers):
    """Make states whose every figure is its number."""
    column = np.array(numbers, np.int64)
    return States(column, column, np.repeat(column.astype(np.float32)[:, None], FLOATS, 1))


def held(cache, keys):
    """Return the steps of the keys that are here."""
    rows = cache.rows(keys)
    here = rows >= 0
    steps = iter(cache.states(rows[here]).steps.tolist())
    return {key: next(steps) for key, is_here in zip(keys, here, strict=True) if is_here}


def put(cache, *numbers):
    """Keep states under their numbers."""
    cache.put([b"%d" % n for n in numbers], numbered(*numbers))


def test_what_was_put_comes_back():
    """Every column of a state is kept, and a later put replaces it."""
    cache = cache_of(4)
    put(cache, 1, 2)
    cache.put([b"2"], numbered(7))
    assert held(cache, [b"2", b"1", b"3"]) == {b"2": 7, b"1": 1}
    found = cache.states(cache.rows([b"2"]))
    assert (found.last_ms.tolist(), found.hidden.tolist()) == ([7], [[7.0, 7.0]])


def test_states_are_copies():
    """Changing what was returned changes nothing that is kept."""
    cache = cache_of(4)
    put(cache, 1)
    cache.states(cache.rows([b"1"])).hidden[:] = 9
    assert cache.states(cache.rows([b"1"])).hidden.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("rows", [0, 3, ROWS_INITIAL, 3 * ROWS_INITIAL])
def test_a_lower_limit_keeps_what_was_used_last(rows):
    """Each with its own figures, in no more memory; a higher limit makes room again."""
    cache = cache_of(4 * ROWS_INITIAL)
    for start in range(0, 4 * ROWS_INITIAL, 64):
        put(cache, *range(start, start + 64))
    cache.drop([b"%d" % n for n in range(1, 4 * ROWS_INITIAL, 2)])
    cache.limit(rows * ROW_BYTES)
    kept = held(cache, [b"%d" % n for n in range(4 * ROWS_INITIAL)])
    assert all(int(key) == steps for key, steps in kept.items())
    assert len(kept) == len(cache) <= rows
    assert len(cache._states.hidden) == len(cache._last_use) == rows
    even = 2 * ROWS_INITIAL
    assert min(map(int, kept), default=2 * even) >= 2 * (even - len(kept)) - 64
    assert len(kept) >= min(rows, even) * 7 // 8
    put(cache, *range(5))
    assert len(cache) <= rows
    cache.limit(4 * ROWS_INITIAL * ROW_BYTES)
    put(cache, *range(3 * ROWS_INITIAL))
    expected = {b"%d" % n: n for n in range(3 * ROWS_INITIAL)}
    assert held(cache, list(expected)) == expected


@pytest.mark.parametrize("rows", [0, 3, 8, 4 * ROWS_INITIAL])
def test_states_of_another_cache_are_taken_within_the_own_limit(rows):
    """The other one has none afterwards, and neither shares memory with the other."""
    cache, other = cache_of(rows), cache_of(8)
    put(cache, 100)
    put(other, *range(8))
    cache.take_over(other)
    kept = held(cache, [b"%d" % n for n in range(101)])
    assert all(int(key) == steps for key, steps in kept.items())
    assert min(rows, 9) * 7 // 8 <= len(kept) <= min(rows, 9)
    assert len(other) == 0
    put(other, *range(90, 98))
    put(cache, *range(50, 50 + min(rows, 64)))
    assert len(cache) <= rows
    expected = {b"%d" % n: n for n in range(50, 50 + min(rows, 64))}
    assert held(cache, list(expected)) == expected


def test_a_batch_with_old_and_new_keys_evicts_none_of_its_own():
    """What a put replaces is not what makes room for the rest of the put."""
    cache = cache_of(8)
    put(cache, *range(8))
    put(cache, *range(4, 12))
    assert held(cache, [b"%d" % n for n in range(12)]) == {b"%d" % n: n for n in range(4, 12)}
    put(cache, 0, 11, 1, 10, 2, 9, 3)
    assert set(held(cache, [b"0", b"11", b"1", b"10", b"2", b"9", b"3"])) == {
        b"0",
        b"11",
        b"1",
        b"10",
        b"2",
        b"9",
        b"3",
    }


def test_the_least_recently_used_leaves_first():
    """Reading a state keeps it; the one that nobody read makes room."""
    cache = cache_of(3)
    for number in (1, 2, 3):
        put(cache, number)
    held(cache, [b"1"])
    put(cache, 4)
    assert held(cache, [b"1", b"2", b"3", b"4"]) == {b"1": 1, b"3": 3, b"4": 4}
    assert len(cache) == 3


def test_a_cache_of_no_bytes_keeps_nothing():
    """The bound 0 is a cache that is always empty."""
    cache = StateCache(FLOATS, 0)
    put(cache, 1, 2)
    cache.drop([b"1"])
    assert len(cache) == 0
    assert cache.rows([b"1", b"2"]).tolist() == [-1, -1]


def test_of_more_than_fit_the_last_stay():
    """A put beyond the bound keeps as many as the bound allows."""
    cache = cache_of(3)
    put(cache, 8, 9)
    put(cache, 1, 2, 3, 4, 5)
    assert held(cache, [b"%d" % n for n in range(10)]) == {b"3": 3, b"4": 4, b"5": 5}


def test_the_bound_is_never_passed():
    """Growing and evicting, the cache holds the newest keys and no more than its bound."""
    rows = ROWS_INITIAL + 300
    cache = cache_of(rows)
    for first in range(0, 4000, 500):
        put(cache, *range(first, first + 500))
        assert len(cache) <= rows
        assert len(held(cache, [b"%d" % n for n in range(first, first + 500)])) == 500
    assert held(cache, [b"3999", b"0"]) == {b"3999": 3999}


def test_a_dropped_key_is_gone_and_its_row_is_used_again():
    """A drop of an unknown key is nothing."""
    cache = cache_of(2)
    put(cache, 1, 2)
    cache.drop([b"1", b"unknown"])
    put(cache, 3)
    assert held(cache, [b"1", b"2", b"3"]) == {b"2": 2, b"3": 3}


def test_clear_forgets_everything():
    """After a doubt nothing is left."""
    cache = cache_of(2)
    put(cache, 1, 2)
    cache.clear()
    assert len(cache) == 0
    assert held(cache, [b"1", b"2"]) == {}


async def test_only_what_the_cache_lacks_is_read():
    """Cached, stored and unknown keys come back in the order they were asked for."""
    cache, codec = cache_of(4), StateCodec(FLOATS)
    put(cache, 2)
    stored = dict(zip([b"1", b"3"], codec.encode(numbered(1, 3)), strict=True))
    asked = []

    async def read(keys):
        asked.extend(keys)
        return [stored.get(key) for key in keys]

    exists, states = await load_states(cache, codec, [b"3", b"2", b"new", b"1"], read)
    assert asked == [b"3", b"new", b"1"]
    assert exists.tolist() == [True, True, False, True]
    assert states.steps.tolist() == [3, 2, 0, 1]
    assert states.hidden[:, 0].tolist() == [3.0, 2.0, 0.0, 1.0]


async def test_a_stored_state_that_does_not_decode_is_corrupt():
    """The first read of bad bytes says so."""

    async def read(keys):
        return [b"torn" for _ in keys]

    with pytest.raises(CorruptStateError, match="4 bytes"):
        await load_states(cache_of(4), StateCodec(FLOATS), [b"1"], read)
