"""Readers of a group that die, freeze, join and leave neither lose nor repeat predictions.

The tests print their random seed; ``STREAM_RNN_TEST_CHAOS_SEED`` sets it.
"""

import os
import secrets

import pytest

from tests.chaos.readers import ReaderChaos
from tests.chaos.survive import SEED

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(500)]

YIELDS_MIN, COMMITS_MIN = 100, 10


async def survive(directory, start, seconds, restarts):
    """Inject faults into a group of readers, and check their logs."""
    seed = int(os.environ.get(SEED) or secrets.randbelow(1_000_000))
    print(f"{SEED}={seed}")
    chaos = ReaderChaos(start, seed, directory)
    findings = await chaos.run(seconds, restarts, yields_min=YIELDS_MIN, commits_min=COMMITS_MIN)
    print(chaos.published, dict(chaos.kinds), findings)
    assert findings.wrong == 0, findings
    assert findings.yielded >= YIELDS_MIN
    assert findings.commits >= COMMITS_MIN


async def test_short_faults_lose_and_double_nothing_that_readers_are_yielded(tmp_path):
    """Readers that start at the latest offset, where skipping is most likely, skip nothing."""
    await survive(tmp_path, "latest", 15, 0)


@pytest.mark.parametrize("start", ["committed", "earliest", "latest"])
async def test_each_prediction_is_yielded_and_none_again_that_was_committed(tmp_path, start):
    """Readers yield each prediction, and none again after its commit, while a broker dies."""
    await survive(tmp_path, start, 60, 2)
