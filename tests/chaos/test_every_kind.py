"""Every kind of fault there is, some at a time; minutes."""

import random

import pytest

from tests.chaos import plan  # noqa: F401  # all kinds register themselves
from tests.chaos.faults import FAULTS, impossible
from tests.chaos.survive import survive

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def together() -> list[list[str]]:
    """Group all kinds of one Redis, those apart that cannot follow a deletion of records."""
    found = []
    possible = [o for o in FAULTS.values() if not o.needs & impossible(on_cluster=False)]
    for loses in (True, False):
        kinds = sorted(one.name for one in possible if one.loses_redis is loses)
        random.Random(1).shuffle(kinds)
        found += [kinds[i : i + 8] for i in range(0, len(kinds), 8)]
    return found


@pytest.mark.parametrize("kinds", together(), ids=lambda kinds: f"{len(kinds)} kinds")
async def test_nothing_is_lost_or_doubled_by(kinds, tmp_path):
    """Predictions, dead letters, states, P and C are the oracle's."""
    await survive(tmp_path, len(kinds), events_min=5000, kinds=kinds, rate=1000)


async def test_slots_move_and_primaries_fail_over_on_a_cluster(tmp_path):
    """What a cluster does to itself comes to nothing, too, while a worker dies and a key is lost."""
    kinds = [one.name for one in FAULTS.values() if "cluster" in one.needs]
    kinds += ["kill", "states-deleted"]
    await survive(tmp_path, 10, events_min=5000, kinds=kinds, on_cluster=True, rate=1000)


async def test_three_brokers_may_die_one_at_a_time(tmp_path):
    """Replication 3, two in sync: whoever leads or coordinates dies, and the fold goes on."""
    kinds = ["broker-killed", "coordinator-unavailable", "kill", "broker-killed-at-offset-sent"]
    await survive(
        tmp_path, 8, events_min=5000, kinds=kinds, brokers=3, rate=600, delivery="exactly_once"
    )
