"""Every kind of fault, up to eight kinds in an episode; this takes minutes."""

import random

import pytest

from tests.chaos import plan  # noqa: F401  # registers all kinds
from tests.chaos.faults import FAULTS, impossible_needs
from tests.chaos.survive import survive

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def group_kinds() -> list[list[str]]:
    """Group the kinds for a single Redis; lost states never mix with deleted records."""
    groups = []
    possible = [o for o in FAULTS.values() if not o.needs & impossible_needs(on_cluster=False)]
    for loses in (True, False):
        kinds = sorted(fault.name for fault in possible if fault.loses_redis is loses)
        random.Random(1).shuffle(kinds)
        groups += [kinds[i : i + 8] for i in range(0, len(kinds), 8)]
    return groups


@pytest.mark.parametrize("kinds", group_kinds(), ids=lambda kinds: f"{len(kinds)} kinds")
async def test_nothing_is_lost_or_doubled_by(kinds, tmp_path):
    """Predictions, dead letters, states, positions and group offsets equal the oracle's."""
    await survive(tmp_path, len(kinds), events_min=5000, kinds=kinds, rate=1000)


async def test_slots_move_and_primaries_fail_over_on_a_cluster(tmp_path):
    """Moving slots and failovers change no prediction, while a worker dies and a key is lost."""
    kinds = [fault.name for fault in FAULTS.values() if "cluster" in fault.needs]
    kinds += ["kill", "states-deleted"]
    await survive(tmp_path, 10, events_min=5000, kinds=kinds, on_cluster=True, rate=1000)


async def test_three_brokers_may_die_one_at_a_time(tmp_path):
    """With replication 3 and two in sync, the fold continues when any one broker dies."""
    kinds = ["broker-killed", "coordinator-unavailable", "kill", "broker-killed-at-offset-sent"]
    await survive(
        tmp_path, 8, events_min=5000, kinds=kinds, brokers=3, rate=600, delivery="exactly_once"
    )
