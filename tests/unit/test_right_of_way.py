"""The right of way of the folds in charge of a worker over its candidates."""

import asyncio

import pytest

from stream_rnn.rollout.candidate import CandidateSource, FreeTurn, InChargeUpTo
from stream_rnn.worker.give_way import (
    LOOK_EVERY_S,
    REST_MAX_S,
    TURN_MAX_S,
    WORKING_MAX,
    GiveWay,
    RightOfWay,
)


class Traffic:
    """The right of way of a worker whose folds in charge have work, in virtual time."""

    def __init__(self, share: float = 0.3, sleep_s: float | None = None) -> None:
        self.now_s, self.has_work, self.sleep_s, self.sleeps = 0.0, True, sleep_s, 0
        self.rule = RightOfWay(lambda: self.has_work, share, lambda: self.now_s, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now_s += self.sleep_s or seconds
        self.sleeps += 1
        await asyncio.sleep(0)

    def turn(self, is_urgent=lambda: False) -> GiveWay:
        return self.rule.of(is_urgent)


async def test_few_candidates_work_although_the_folds_in_charge_have_no_work():
    """A record that arrives would wait for a micro-batch of each; a rest ends at once."""
    traffic = Traffic()
    one, others = traffic.turn(), [traffic.turn() for _ in range(WORKING_MAX + 1)]
    await one.begin()
    traffic.now_s = TURN_MAX_S - 0.1
    one.end()
    waiting = [asyncio.create_task(turn.begin()) for turn in others]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    traffic.has_work = False
    await asyncio.wait_for(asyncio.gather(*waiting[:-1]), 20)
    assert not waiting[-1].done()
    others[0].end()
    await asyncio.wait_for(waiting[-1], 20)


async def test_a_candidate_that_waits_for_long_keeps_no_other_from_working():
    """A server may not answer it, or the candidate waits for the group offset."""
    traffic = Traffic()
    for _ in range(2 * WORKING_MAX):
        await traffic.turn().begin()
    assert traffic.now_s >= TURN_MAX_S


@pytest.mark.parametrize(("share", "rest_s"), [(0.3, 7), (0.75, 1), (1, 0), (0.01, REST_MAX_S)])
async def test_candidates_together_have_their_share_of_the_time(share, rest_s):
    """After three seconds' work of one they all rest, until the rest has its limit."""
    traffic = Traffic(share)
    one = traffic.turn()
    await one.begin()
    traffic.now_s = 3.0
    one.end()
    await traffic.turn().begin()
    assert traffic.now_s - 3 == pytest.approx(rest_s, abs=LOOK_EVERY_S)


async def test_a_wait_for_records_is_no_work():
    """After a quiet time, the first micro-batch would cost a rest of half a minute."""
    traffic = Traffic()
    one = traffic.turn()
    await one.begin()
    one.end()
    traffic.now_s = 1000
    await one.begin()
    assert traffic.sleeps == 0


async def test_a_rest_ends_in_time_while_the_loop_is_busy():
    """Its sleeps then take longer than they should, and the candidate would never get its share."""
    traffic = Traffic(0.01, sleep_s=REST_MAX_S / 4)
    one = traffic.turn()
    await one.begin()
    traffic.now_s = 1000
    one.end()
    await one.begin()
    assert traffic.sleeps == 4


async def test_candidates_work_one_at_a_time_and_in_turn():
    """A fold in charge would wait for a computation of each candidate at each of its steps."""
    traffic, working, order = Traffic(), set(), []

    async def work(name: int) -> None:
        turn = traffic.turn()
        for _ in range(3):
            await turn.begin()
            working.add(name)
            order.append(name)
            assert len(working) == 1
            await asyncio.sleep(0)
            traffic.now_s += 0.1
            working.remove(name)
            turn.end()

    await asyncio.wait_for(asyncio.gather(*map(work, range(8))), 20)
    assert order == [*range(8)] * 3


async def test_a_candidate_for_which_the_fold_in_charge_waits_has_its_turn_at_once():
    """The pause of a cut-over is short, whoever else works or rests."""
    traffic = Traffic()
    await traffic.turn().begin()
    await traffic.turn(lambda: True).begin()
    assert traffic.sleeps == 0


async def test_a_candidate_that_ends_waits_no_longer():
    """Nor do others for it: its partition is lost, or the roll-out is over."""
    traffic = Traffic()
    one, two = traffic.turn(), traffic.turn()
    await one.begin()
    waiting = asyncio.create_task(two.begin())
    await asyncio.sleep(0)
    two.end()
    await asyncio.wait_for(waiting, 20)
    one.end()
    await asyncio.wait_for(traffic.turn().begin(), 20)


class CountedReader:
    """A reader whose ranges have no records."""

    def __init__(self) -> None:
        self.ranges = []

    async def read(self, first, end):
        self.ranges.append((first, end))
        return ()

    async def close(self):
        """Do nothing."""


async def test_a_candidate_with_nothing_to_fold_looks_seldom_and_is_woken():
    """A worker may have thousands of candidates, all of which have caught up."""
    looks, offset, reader = [], [5], CountedReader()

    def published() -> InChargeUpTo:
        looks.append(1)
        return InChargeUpTo(offset[0])

    source = CandidateSource(reader, published, FreeTurn())
    await source.seek(5)
    await source.take(2.0)
    assert len(looks) <= 15
    taking = asyncio.create_task(source.take(1000))
    await asyncio.sleep(0)
    offset[0] = 7
    source.wake()
    assert (await asyncio.wait_for(taking, 20)).next_position == 7
    assert reader.ranges == [(5, 7)]
    taking = asyncio.create_task(source.take(1000))
    await asyncio.sleep(0)
    source.end()
    assert await asyncio.wait_for(taking, 20) is None
