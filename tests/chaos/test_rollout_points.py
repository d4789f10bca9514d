"""Workers die at every crash point of a roll-out, and no prediction is lost, doubled or another's.

``rollout_worker.py`` lets the points count only in one role.  A person promotes back and forth
meanwhile, so every point is passed on the way there and on the way back.
"""

import asyncio

import pytest

from stream_rnn.fold.crash_points import Point
from stream_rnn.worker.fault_injection import EXIT_STATUS
from tests.chaos.faults_of_rollout import PROGRAM
from tests.chaos.survive import survive

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

OF_A_CUT_OVER = (Point.PAUSED, Point.BEGUN, Point.OFFSET_SENT, Point.CUT_OVER)
AFTER_IT = (
    Point.DECODED, Point.LOADED, Point.STEPPED, Point.PREDICTIONS_SENT, Point.PUBLISHED,
    Point.SWEPT, Point.COMMITTED,
)  # fmt: skip
OF_A_START = (  # with a fold in charge that is not that of the worker's own bundle
    Point.LOG_START_READ, Point.STATE_READ, Point.GROUP_OFFSET_READ, Point.LAST_PREDICTION_READ,
    Point.TOPICS_READ, Point.LOG_END_READ, Point.POSITIONED,
)  # fmt: skip
OF_A_CANDIDATE = (
    Point.POSITIONED, Point.FIRST_POSITION_WRITTEN, Point.DECODED, Point.LOADED, Point.STEPPED,
    Point.PUBLISHED, Point.SWEPT, Point.COMMITTED,
)  # fmt: skip
OF_THE_PLAN = ("read", "get_bundle", "has_bundle", "put_report")
REACHED_WITHIN_S = 90
PROMOTED_WITHIN_S = 200


def points_of(role: str) -> list[tuple[str, str]]:
    """Return the role and the fault of each worker."""
    if role == "plan":
        return [(f"plan:{call}", call) for call in OF_THE_PLAN]
    points = {
        "candidate": OF_A_CANDIDATE, "start": OF_A_START, "finish": OF_A_CUT_OVER,
        "promote": OF_A_CUT_OVER + AFTER_IT, "back": OF_A_CUT_OVER + AFTER_IT,
    }[role]  # fmt: skip
    return [(role, point) for point in points]


async def until_only_the_new_fold_is_in_charge(episode) -> None:
    """Stop the person, who holds the gate during each step, where every partition is promoted."""
    person, topics = episode.rollout, episode.topics
    async with asyncio.timeout(PROMOTED_WITHIN_S):
        while True:
            await person.gate.acquire()
            known = [await topics.known(p) for p in range(topics.partitions)]
            if {one and one.fold_id for one in known} == {person.ids[1]}:
                return
            person.gate.release()
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("role", "delivery"),
    [
        ("promote", "exactly_once"),
        ("back", "exactly_once"),
        ("finish", "exactly_once"),
        ("candidate", "exactly_once"),
        ("plan", "exactly_once"),
        ("start", "exactly_once"),
        ("promote", "at_least_once"),
        ("back", "at_least_once"),
        ("start", "at_least_once"),
    ],
)
async def test_a_worker_may_die_at_every_point_of_a_roll_out(role, delivery, tmp_path):
    """Each worker dies at its crash point, its successor at the next one; the last one survives."""

    async def all_points(episode) -> None:
        crew, person = episode.crew, episode.rollout
        person.finishes = 0.3 if role in ("finish", "candidate") else 0.0
        while person.promotes < 2:  # both folds have been in charge
            await person.until("promoting", 10)
            await person.until("idle", 60)
        if role == "start":
            await until_only_the_new_fold_is_in_charge(episode)
        crew.size = 1
        for worker in list(crew.working):
            await crew.kill(worker)
        for name, point in points_of(role):
            crew.size = 0
            for worker in list(crew.working):
                await crew.kill(worker)
            fault = "" if name.startswith("plan:") else f"{point} 1 exit"
            worker = crew.start(fault, program=(PROGRAM, name))
            crashed = await crew.until_logged(worker, "fault injected", REACHED_WITHIN_S)
            assert crashed, f"the worker did not reach {point}:\n{worker.tail()}"
            await crew.kill(worker)
            assert worker.exit_status == EXIT_STATUS, worker.tail()
            episode.note(f"died at {point} of {name}")
            crew.size = 1
            crew.tend()
        if role == "start":
            person.gate.release()
        assert not person.finishes or person.done["finish"]

    await survive(
        tmp_path,
        0,
        events_min=500,
        scripted=all_points,
        rate=60,
        delivery=delivery,
        rolls_out=True,
    )
