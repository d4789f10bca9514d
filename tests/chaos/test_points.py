"""Workers die at every crash point, one after another, and no prediction is lost or duplicated.

``Point`` lists the crash points, and ``tests/unit/test_injected.py`` checks that each call of a
server in the code has one, so a new step without a crash test fails.
"""

import asyncio

import pytest

from stream_rnn.fold.crash_points import Point
from stream_rnn.worker.fault_injection import EXIT_STATUS, VARIABLE
from tests.chaos.survive import survive

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

OF_TRANSACTIONS = (Point.CONNECTED, Point.EARLIER_FENCED, Point.CLOSING)
OF_ROLL_OUTS = (Point.PAUSED, Point.CUT_OVER)  # see test_rollout_points.py
IN_A_MICRO_BATCH = list(Point)[list(Point).index(Point.DECODED) :]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_worker_may_die_at_every_point(delivery, tmp_path):
    """Each worker dies at its crash point, its successor at the next one; the last one survives."""
    await survive(tmp_path, 0, events_min=1000, scripted=all_points, rate=150, delivery=delivery)


async def all_points(episode) -> None:
    """Start workers one after another; each dies at the next crash point."""
    crew = episode.crew
    async with asyncio.timeout(
        120
    ):  # a prediction is published, so that recovery has an anchor to compare
        while not all((await episode.topics.group_offsets()).values()):
            await asyncio.sleep(0.5)
    crew.size = 0
    await asyncio.gather(*(crew.kill(worker) for worker in list(crew.working)))
    for number, point in enumerate(Point):
        if point in OF_ROLL_OUTS:
            continue
        if point in OF_TRANSACTIONS and episode.plan.delivery == "at_least_once":
            continue
        if point is Point.GROUP_OFFSET_WRITTEN:
            await episode.topics.delete_group_offsets()
        if point is Point.FIRST_POSITION_WRITTEN:
            for partition in range(episode.plan.log.partitions):
                episode.servers.ask_redis("DEL", episode.world(number).keys(partition)[0])
        passes = 3 if point in IN_A_MICRO_BATCH else 1
        worker = crew.start(f"{point} {passes} exit")
        assert await crew.until_logged(worker, f"fault injected point={point} exit", 40), (
            f"{VARIABLE}: the worker did not reach {point} {passes} times:\n{worker.tail()}"
        )
        await crew.kill(worker)
        assert worker.exit_status == EXIT_STATUS
        episode.note(f"died at {point}")
    crew.size = 1
    crew.tend()
