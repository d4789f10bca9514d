"""Two folds take turns in charge while faults happen; each prediction is right for its own fold."""

import asyncio
import random

import pytest

from tests.chaos import plan  # noqa: F401  # registers all kinds
from tests.chaos.faults import FAULTS
from tests.chaos.faults_of_rollout import PROGRAM
from tests.chaos.survive import survive

CUT_OVERS_MIN = 4  # of workers with a bug
TRAFFIC_S = 5  # after them, so that the bug has records and further cut-overs to show itself

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


async def test_a_model_whose_outputs_are_not_finite_only_loses_its_own_events(tmp_path):
    """Such events become dead letters while this fold is in charge, and only then."""
    await survive(
        tmp_path,
        1,
        events_min=1500,
        kinds=["kill"],
        rate=200,
        delivery="exactly_once",
        rolls_out=True,
        overflows=True,
        promotes_min=4,
    )


@pytest.mark.parametrize(
    ("bug", "kinds"),
    [
        # A fold is in charge again below its position: it stops, waits for ever as the candidate, or
        # has published the offsets between.
        ("cuts-over-early", r"(?s)two folds|no promote within|with 3:.*group offset \d+ is behind"),
        ("forgets-the-number", "two folds|went back"),
        ("uses-other-weights", "different"),
    ],
)
async def test_a_worker_with_a_bug_is_found(bug, kinds, tmp_path):
    """Workers that break a rule of the cut-over fail the comparison, or stop by themselves."""

    async def promotes_by_buggy_workers(episode) -> None:
        crew = episode.crew
        crew.program = (PROGRAM, f"bug:{bug}")
        for worker in list(crew.working):
            await crew.kill(worker)
        crew.tend()
        async with asyncio.timeout(200):
            while sum(episode.rollout.partitions_done.values()) < CUT_OVERS_MIN:
                await asyncio.sleep(0.2)
        await asyncio.sleep(TRAFFIC_S)

    with pytest.raises(AssertionError, match=kinds):
        await survive(
            tmp_path,
            0,
            events_min=200,
            scripted=promotes_by_buggy_workers,
            rate=50,
            delivery="exactly_once",
            rolls_out=True,
            overflows=False,
        )
