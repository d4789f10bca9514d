"""The sweep finds expired states, a few at a time."""

import numpy as np
import pytest

from stream_rnn.errors import MovedError
from stream_rnn.settings import Settings
from stream_rnn.store.state import StateCodec, States, StoredPosition
from stream_rnn.store.sweep import Sweep
from stream_rnn.testing import MemoryStore

CODEC = StateCodec(1)
POSITION = 50


class Clock:
    """Time as a value."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def sweep_of(times, ttl=10.0, fields=100):
    """Make a sweep over states whose last events were at these milliseconds."""
    store, clock = MemoryStore(), Clock()
    rows = States(np.ones(len(times), np.int64), np.array(times), np.zeros((len(times), 1), "f4"))
    store.states = {b"%d" % i: value for i, value in enumerate(CODEC.encode(rows))}
    store.stored = StoredPosition(POSITION, 0, keys=len(times), fields=len(times))
    settings = Settings.build(state_ttl=ttl, sweep_fields_max=fields, sweep_interval_s=2.0)
    return Sweep(settings, CODEC, store, clock), clock


async def test_a_state_older_than_the_limit_is_expired():
    """At the limit a state lives; one millisecond later it is swept."""
    sweep, _ = sweep_of([0, 10_000, 9_999])
    assert await sweep.expired(POSITION, 20_000, set()) == [b"0", b"2"]


async def test_keys_that_the_micro_batch_touches_are_left_to_it():
    """A key that is written in the same commit is not deleted by it."""
    sweep, _ = sweep_of([0, 0])
    assert await sweep.expired(POSITION, 20_000, {b"0"}) == [b"1"]


async def test_a_sweep_looks_at_a_few_states_and_goes_on_later():
    """It goes round all states, not more often than the interval."""
    sweep, clock = sweep_of([0, *[19_000] * 8, 0], fields=5)
    assert await sweep.expired(POSITION, 20_000, set()) == [b"0"]
    clock.now += 1.9
    assert await sweep.expired(POSITION, 20_000, set()) == []
    clock.now += 0.2
    assert await sweep.expired(POSITION, 20_000, set()) == [b"9"]
    clock.now += 2.1
    assert await sweep.expired(POSITION, 20_000, set()) == [b"0"]


@pytest.mark.parametrize(("ttl", "stream_ms"), [(None, 20_000), (10.0, None)])
async def test_without_an_age_or_a_time_nothing_expires(ttl, stream_ms):
    """No limit, or no event yet: the store is not even asked."""
    sweep, _ = sweep_of([0], ttl)
    sweep.store.stored = StoredPosition()
    assert await sweep.expired(POSITION, stream_ms, set()) == []


async def test_another_position_is_moved():
    """A zombie sweeps nothing."""
    sweep, _ = sweep_of([0])
    with pytest.raises(MovedError):
        await sweep.expired(POSITION + 1, 20_000, set())


async def test_an_empty_store_has_nothing_to_sweep():
    """No state is no error."""
    sweep, _ = sweep_of([])
    assert await sweep.expired(POSITION, 20_000, set()) == []


@pytest.mark.parametrize(("alive", "scanned"), [(1, 1), (0, 26)])
async def test_a_scan_goes_on_while_it_finds_much(alive, scanned):
    """A burst that has expired leaves faster, and one sweep is bounded all the same."""
    times = [0, 19_000, 19_000, 19_000, 19_000] if alive else [0] * 5
    sweep, _ = sweep_of(times * 100, fields=5)
    expired = await sweep.expired(POSITION, 20_000, set())
    assert len(expired) == scanned * (1 if alive else 5)
    assert sweep.wait_s(POSITION) == (60 if alive else 2)  # the next check is not a silence away


@pytest.mark.parametrize(("created", "scanned"), [(2, 0), (3, 6), (40, 80), (1000, 100)])
async def test_each_new_state_pays_for_the_scan_of_two(created, scanned):
    """Whatever the clock says; a scan of few states waits for more, and one round is enough."""
    sweep, clock = sweep_of([0] * 100, fields=5)
    sweep._next_s = clock.now + 1
    assert len(await sweep.expired(POSITION, 20_000, set(), created)) == scanned


async def test_a_silence_is_over_when_all_states_were_scanned_at_one_position():
    """Until then the next check comes after ``sweep_interval_s``."""
    sweep, clock = sweep_of([0, *[19_000] * 199], fields=4)
    waits, expired = [], []
    for _ in range(4):
        waits.append(sweep.wait_s(POSITION))
        expired.append(await sweep.expired_while_idle(POSITION, 20_000))
        clock.now += 2.1
    assert expired == [[b"0"], [], [], []]
    assert waits == [60, 2, 60, 60]
    sweep.store.stored = StoredPosition(POSITION + 1, 0, keys=200, fields=200)
    assert await sweep.expired_while_idle(POSITION + 1, 20_000) == [b"0"]
    assert sweep.wait_s(POSITION + 1) == 2
    sweep.restart()
    assert await sweep.expired_while_idle(POSITION + 1, 20_000) == []  # not before its time
    clock.now += 2.1
    assert await sweep.expired_while_idle(POSITION + 1, 20_000) == [b"0"]
