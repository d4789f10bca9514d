"""Distinct keys are counted in bounded memory."""

import pytest

from stream_rnn.operate.distinct_keys import HASHES_MAX, DistinctKeys


def keys_of(count):
    """Return some distinct keys."""
    return [b"key-%d" % i for i in range(count)]


def test_no_key_is_none():
    """Nothing was sampled, so nothing is estimated."""
    assert DistinctKeys().count == 0


@pytest.mark.parametrize("repeats", [1, 3])
def test_few_keys_are_counted_exactly_however_often_they_repeat(repeats):
    """The sample has all of them."""
    keys = DistinctKeys(hashes_max=1000)
    for _ in range(repeats):
        keys.add(keys_of(1000))
    assert keys.count == 1000


def test_many_keys_without_a_repetition_are_counted_exactly_in_bounded_memory():
    """The number of hashes never exceeds the bound."""
    keys = DistinctKeys(hashes_max=100)
    for key in keys_of(20_000):
        keys.add([key])
        assert len(keys._sample) <= 100
    assert keys.count == 20_000
    assert HASHES_MAX < 1_000_000


@pytest.mark.parametrize("share", [0.1, 0.5, 1])
def test_many_keys_with_repetitions_are_estimated(share):
    """A hash that Redis resizes returns some fields twice; so many samples err by a few percent."""
    keys = DistinctKeys(hashes_max=4000)
    keys.add(keys_of(50_000))
    keys.add(keys_of(int(50_000 * share)))
    assert keys.count == pytest.approx(50_000, rel=0.05)
