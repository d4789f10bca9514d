"""The protocol keeps its invariants, whatever two workers, Kafka and Redis do, call by call.

The search is the same one each time.  ``STREAM_RNN_TEST_EXAMPLES`` is a factor on the number of its
examples, for a longer one: 100 takes some fifteen minutes.
"""

import logging
import os

import pytest

from tests.property import bugs
from tests.property.gates import Outcome
from tests.property.judge import PLANS
from tests.property.machine import Machine, TimerMachine, search
from tests.property.protocol import Kit, World, build_settings

FACTOR = float(os.environ.get("STREAM_RNN_TEST_EXAMPLES", "1"))
EXAMPLES = max(1, int(200 * FACTOR))
EXAMPLES_TO_FIND = 1500  # the search ends with the first violation, after some 10 examples

pytestmark = pytest.mark.timeout(60 * max(1, FACTOR))


@pytest.fixture(autouse=True)
def _quiet():
    """Leave out thousands of warnings about faults that the test itself makes."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def find(machine=Machine, **parts) -> None:
    """Search with a seeded bug, and be satisfied with the first trace."""
    search(machine, EXAMPLES_TO_FIND, shrink=False, **parts)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_the_invariants_hold_whatever_happens_between_two_calls(delivery):
    """Crashes, zombies, lost and late writes, a Redis and a group offset that are lost, retention."""
    search(Machine, EXAMPLES, delivery=delivery)


def test_a_commit_before_the_publish_is_found():
    """A worker that dies in between leaves P above C, and its predictions are never published."""
    with pytest.raises(AssertionError, match="above C"):
        find(kit=Kit(processor=bugs.CommitsFirst))


def test_a_load_that_does_not_compare_the_position_is_found():
    """States of another position are stepped, and a wrong prediction leaves before the commit."""
    with pytest.raises(AssertionError, match=r"output of \d+ is wrong"):
        find(kit=Kit(store=bugs.LoadsAnything))


def test_a_fence_after_the_group_offset_was_read_is_found():
    """The last owner publishes between the read and the fence, and the new one does it again."""
    with pytest.raises(AssertionError, match=r"published twice|moved back"):
        find(kit=Kit(publisher=bugs.FencesLate))


def test_a_timer_that_commits_the_group_offset_is_found():
    """It writes what it saw a while ago, so C moves back below what was published."""
    with pytest.raises(AssertionError, match="C moved back"):
        find(TimerMachine)


def test_a_cache_that_is_filled_before_the_commit_is_found():
    """A refused batch stays in it and is folded a second time, onto itself."""
    with pytest.raises(AssertionError, match=r"not the fold|is wrong"):
        find(kit=Kit(processor=bugs.FillsItsCacheFirst))


def test_a_cache_that_is_right_may_be_kept_where_recovery_starts_at_its_position():
    """The same worker, but for filling its cache after the commit: that order alone is the bug."""
    search(Machine, 100, shrink=False, kit=Kit(processor=bugs.TrustsItsCache))


def test_a_fence_without_asking_the_group_is_found():
    """A worker that was frozen before it started its producer throws out the owner."""
    with pytest.raises(AssertionError, match="a zombie fenced the owner"):
        find(kit=Kit(publisher=bugs.FencesUnasked))


def test_a_worker_that_fences_again_harms_nothing_if_it_asks():
    """The same worker with a producer that asks first: what makes a zombie dangerous is not asking."""
    search(Machine, 100, shrink=False, kit=Kit(processor=bugs.FencesAgain))


def frozen_before_it_fences(kit: Kit) -> World:
    """Freeze a worker before it starts its producer, and let another one take the partition over."""
    world = World(PLANS[0], 3, build_settings("exactly_once", "stop"), kit)
    world.assign(0)
    world.assign(1)
    world.advance(1, 60, until="publisher.commit")
    world.advance(0, 2)
    world.finish()
    world.close()
    return world


def test_a_worker_that_was_frozen_before_it_fences_leaves_the_owner_alone():
    """It asks the group, and is told that its generation is over."""
    frozen_before_it_fences(Kit()).judge.check()
    with pytest.raises(AssertionError, match="a zombie fenced the owner"):
        frozen_before_it_fences(Kit(publisher=bugs.FencesUnasked)).judge.check()


def test_a_worker_that_is_frozen_between_the_answer_and_the_fence_costs_a_restart_only():
    """The healthy owner is fenced and restarted; nothing is lost or doubled."""
    world = World(PLANS[0], 3, build_settings("exactly_once", "stop"), Kit())
    world.assign(0)
    world.advance(0, 2)  # it has asked
    world.assign(1)
    world.advance(1, 60, until="publisher.commit")
    world.advance(0, 60, until="publisher.commit")  # fences, finds its place, and publishes
    world.advance(0, 2)
    assert world.workers[1] is not None
    world.advance(1, 2)
    assert world.workers[1] is None  # released
    world.assign(1)
    world.finish()
    world.close()
    world.judge.check()


def test_a_forgotten_producer_is_started_anew_and_nobody_ends():
    """The worker that finds it out decides what came of its publish, and goes on."""
    world = World(PLANS[0], 2, build_settings("exactly_once", "stop"), Kit())
    first = world.assign(0)
    world.advance(0, 200, until="publisher.begin")
    world.advance(0, 200)
    world.broker.complete()
    world.broker.forget()
    world.append(1)
    world.advance(0, 200)
    world.broker.complete()
    assert world.workers[0] is first
    assert (world.log.group.offset, world.store.stored.position) == (3, 3)
    world.finish()
    world.close()
    world.judge.check()


def forgotten_after_its_commit(kit: Kit) -> World:
    """Lose the answer of a commit, and let Kafka forget the producer before it is asked again."""
    world = World(PLANS[0], 3, build_settings("exactly_once", "stop"), kit)
    world.assign(0)
    world.advance(0, 200, until="publisher.commit")
    world.advance(0, 1)  # of the group offset: the fold is new
    world.advance(0, 200, until="publisher.commit")
    world.advance(0, 1)
    world.broker.forget()
    world.advance(0, 1, outcome=Outcome.LOSE)
    world.advance(0, 200)
    world.finish()
    world.close()
    return world


def test_what_came_of_the_publish_of_a_forgotten_producer_is_looked_up():
    """It was committed: a worker that publishes its batch again does so twice."""
    forgotten_after_its_commit(Kit()).judge.check()
    with pytest.raises(AssertionError, match="published twice"):
        forgotten_after_its_commit(Kit(processor=bugs.TrustsItsBatch)).judge.check()


def test_a_moved_worker_that_keeps_its_cache_is_found():
    """States of the old position are stepped as if they were those of the new one."""
    with pytest.raises(AssertionError, match=r"not the fold|is wrong"):
        find(kit=Kit(cache=bugs.KeptCache))


def test_a_commit_that_does_not_compare_the_origin_is_found():
    """Two folds with other origins meet at one position, and their states mix."""
    with pytest.raises(AssertionError, match=r"not the fold|is wrong"):
        find(kit=Kit(store=bugs.IgnoresOrigin))


def test_a_recovery_that_does_not_look_back_is_found():
    """With C lost it takes P for C, or begins anew, and publishes what was published."""
    with pytest.raises(AssertionError, match="published twice"):
        find(kit=Kit(log=bugs.LooksNotBack))


def test_an_accepted_loss_that_does_not_write_the_group_offset_is_found():
    """The fold begins at the log start, above C, or never comes to a start."""
    with pytest.raises(AssertionError, match=r"above C|no progress"):
        find(kit=Kit(recovery=bugs.LeavesC))


def commit_after_another_origin(kit: Kit) -> World:
    """Let a zombie commit at the position where another fold has just begun."""
    world = World(PLANS[-1], 4, build_settings("exactly_once", "accept"), kit)
    world.assign(0)
    world.advance(0, 80, until="store.commit")
    world.advance(0, 1)
    world.advance(0, 80, until="store.commit")  # 2 to 3, of the fold from 0
    world.retain(2)
    world.lose_states("all")
    world.assign(1)
    world.advance(1, 80, until="source.take")  # at 2, of the fold from 2
    assert (world.store.stored.position, world.store.stored.origin) == (2, 2)
    world.advance(0, 1)
    return world


def test_a_zombie_of_another_origin_is_refused_at_the_same_position():
    """Its commit expects the right position and the wrong origin: with the check nothing mixes."""
    right = commit_after_another_origin(Kit())
    right.finish()
    right.close()
    right.judge.check()
    wrong = commit_after_another_origin(Kit(store=bugs.IgnoresOrigin))
    wrong.close()
    with pytest.raises(AssertionError, match="not the fold"):
        wrong.judge.check()


def test_a_zombies_duplicate_does_not_stop_the_owner():
    """Of at_least_once: a late prediction of a low offset is the last one that recovery sees."""
    world = World(PLANS[0], 3, build_settings("at_least_once", "stop"), Kit())
    world.assign(0)
    world.advance(0, 60, until="publisher.send")  # of 0; then it is a zombie
    world.assign(1)
    world.advance(1, 60, until="publisher.commit")  # 0 and 1 are sent, C is still 0
    world.assign(1)
    world.advance(1, 60, until="publisher.send")  # of 2; 0 and 1 were folded silently
    world.advance(0, 2)  # the zombie's 0 arrives
    world.finish()
    world.close()
    world.judge.check()
