"""Ninety seconds of faults, which ``.ci/run`` injects for every change of the code.

A random seed determines the faults; the tests print it, and ``STREAM_RNN_TEST_CHAOS_SEED`` sets it.
"""

import pytest

from tests.chaos.survive import survive

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

EXACTLY_ONCE = (
    "kill",
    "terminate",
    "zombie-with-a-warm-cache",
    "crash-at-a-point",
    "redis-restart-old",
    "redis-connections-cut",
    "position-deleted",
    "broker-killed",
)
ROLL_OUT = ("killed-while-promoting", "crash-in-a-cut-over", "redis-emptied-while-going-back")
AT_LEAST_ONCE = ("kill", "redis-restart-nothing", "crash-at-a-point")


async def test_short_faults_change_nothing_that_is_published_exactly_once(tmp_path):
    """Predictions and states equal the oracle's, without duplicates, and the audit agrees."""
    kinds = EXACTLY_ONCE
    await survive(
        tmp_path,
        len(kinds),
        events_min=10_000,
        kinds=kinds,
        rate=600,
        delivery="exactly_once",
        with_audit=True,
    )


async def test_short_faults_of_a_roll_out_change_nothing_but_the_fold(tmp_path):
    """No prediction is missing, doubled, of two folds, or different from that of its own fold."""
    kinds = ROLL_OUT
    await survive(
        tmp_path,
        len(kinds),
        events_min=1000,
        kinds=kinds,
        rate=100,
        delivery="exactly_once",
        rolls_out=True,
    )


async def test_short_faults_only_repeat_what_is_published_at_least_once(tmp_path):
    """Without transactions no prediction is missing, and repetitions have the same bytes."""
    kinds = AT_LEAST_ONCE
    await survive(
        tmp_path,
        len(kinds),
        events_min=2000,
        kinds=kinds,
        rate=600,
        delivery="at_least_once",
        with_audit=True,
    )
