"""A group of readers while they die, freeze, come and go: nothing is lost, nothing is done twice.

A seed decides; it is printed, and ``STREAM_RNN_TEST_CHAOS_SEED`` sets it.
"""

import os
import secrets

import pytest

from tests.chaos.readers import Chaos
from tests.chaos.survive import SEED

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(500)]

YIELDS_MIN, COMMITS_MIN = 100, 10


async def survive(directory, start, seconds, restarts):
    """Hurt a group, and check what its readers wrote down."""
    seed = int(os.environ.get(SEED) or secrets.randbelow(1_000_000))
    print(f"{SEED}={seed}")
    chaos = Chaos(start, seed, directory)
    found = await chaos.run(seconds, restarts, yields_min=YIELDS_MIN, commits_min=COMMITS_MIN)
    print(chaos.published, dict(chaos.kinds), found)
    assert found.wrong == 0, found
    assert found.yielded >= YIELDS_MIN
    assert found.commits >= COMMITS_MIN


async def test_short_faults_lose_and_double_nothing_that_readers_are_yielded(tmp_path):
    """The first readers begin at the latest, where most can be skipped."""
    await survive(tmp_path, "latest", 15, 0)


@pytest.mark.parametrize("start", ["committed", "earliest", "latest"])
async def test_each_prediction_is_yielded_and_none_again_that_was_committed(tmp_path, start):
    """The broker is killed, too."""
    await survive(tmp_path, start, 60, 2)
