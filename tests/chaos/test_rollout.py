"""Two folds take turns in charge while faults happen; each prediction is right for its own fold."""

import random

import pytest

from tests.chaos import plan  # noqa: F401  # registers all kinds
from tests.chaos.faults import FAULTS
from tests.chaos.survive import survive

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def group_kinds() -> list[list[str]]:
    """Group the kinds of roll-outs; lost states never mix with deleted records."""
    kinds = sorted(
        (f.name for f in FAULTS.values() if "rollout" in f.needs and not f.trims),
    )
    random.Random(1).shuffle(kinds)
    trims = [fault.name for fault in FAULTS.values() if "rollout" in fault.needs and fault.trims]
    return [kinds[i : i + 6] for i in range(0, len(kinds), 6)] + [[*trims, "kill", "plan-lost"]]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_promotes_under_load_change_nothing_but_the_fold(delivery, tmp_path):
    """Promotes back and forth while a worker dies: nothing is missing, doubled or wrong."""
    await survive(
        tmp_path,
        1,
        events_min=1500,
        kinds=["kill"],
        rate=200,
        delivery=delivery,
        rolls_out=True,
        promotes_min=4,
    )


@pytest.mark.parametrize("kinds", group_kinds(), ids=lambda kinds: f"{len(kinds)} kinds")
async def test_no_fold_loses_or_doubles_anything_by(kinds, tmp_path):
    """Predictions, dead letters, states, positions and group offsets equal the oracle's."""
    await survive(tmp_path, len(kinds), events_min=2000, kinds=kinds, rate=200, rolls_out=True)
