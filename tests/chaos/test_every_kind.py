"""Every kind of fault there is, some at a time; minutes."""

import random

import pytest

from tests.chaos import faults_of_kafka, faults_of_redis, faults_of_workers  # noqa: F401  # they register
from tests.chaos.faults import FAULTS
from tests.chaos.survive import survive

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def together() -> list[list[str]]:
    """Group all kinds, those apart that cannot follow a deletion of records."""
    found = []
    for loses in (True, False):
        kinds = sorted(one.name for one in FAULTS.values() if one.loses_redis is loses)
        random.Random(1).shuffle(kinds)
        found += [kinds[i : i + 8] for i in range(0, len(kinds), 8)]
    return found


@pytest.mark.parametrize("kinds", together(), ids=lambda kinds: f"{len(kinds)} kinds")
async def test_nothing_is_lost_or_doubled_by(kinds, tmp_path):
    """Predictions, dead letters, states, P and C are the oracle's."""
    assert await survive(tmp_path, len(kinds), kinds=kinds, rate=1000) > 5000


async def test_three_brokers_may_die_one_at_a_time(tmp_path):
    """Replication 3, two in sync: whoever leads or coordinates dies, and the fold goes on."""
    kinds = ["broker-killed", "coordinator-unavailable", "kill", "broker-killed-at-offset-sent"]
    events = await survive(tmp_path, 8, kinds=kinds, brokers=3, rate=600, delivery="exactly_once")
    assert events > 5000
