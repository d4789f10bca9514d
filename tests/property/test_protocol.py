"""The protocol keeps its invariants for any order of the calls of two workers, Kafka and Redis.

Each run searches the same examples.  ``STREAM_RNN_TEST_EXAMPLES`` multiplies their number: with
100, the search takes about fifteen minutes.
"""

import logging
import os

import pytest

from tests.property import bugs
from tests.property.gates import Outcome
from tests.property.invariants import PLANS
from tests.property.machine import ForeignOffsetMachine, Machine, TimerMachine, search
from tests.property.protocol import Components, World, build_settings

FACTOR = float(os.environ.get("STREAM_RNN_TEST_EXAMPLES", "1"))
EXAMPLES = max(1, int(200 * FACTOR))
EXAMPLES_TO_FIND = 1500  # the search ends at the first violation, after about 10 examples

pytestmark = pytest.mark.timeout(60 * max(1, FACTOR))


@pytest.fixture(autouse=True)
def _quiet():
    """Suppress thousands of warnings about faults that the test itself injects."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def find(machine=Machine, **parts) -> None:
    """Search with a seeded bug until the first violation, without shrinking."""
    search(machine, EXAMPLES_TO_FIND, shrink=False, **parts)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_the_invariants_hold_whatever_happens_between_two_calls(delivery):
    """Crashes, zombies, lost or late writes, lost states and retention violate no invariant."""
    search(Machine, EXAMPLES, delivery=delivery)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_group_offset_that_anybody_commits_leaves_out_nothing(delivery):
    """A worker may stop; once the group offset is deleted, everything is published exactly."""
    search(ForeignOffsetMachine, EXAMPLES, delivery=delivery)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_foreign_group_offset_that_is_accepted_is_found(delivery):
    """The worker folds silently up to that offset, and publishes no prediction below it."""
    with pytest.raises(AssertionError, match="nothing is published for"):
        find(
            ForeignOffsetMachine,
            delivery=delivery,
            components=Components(recovery=bugs.AcceptsForeignOffsets),
        )


@pytest.mark.parametrize("offset", [0, 2, 9])
def test_a_running_worker_replaces_a_foreign_group_offset(offset):
    """Its next publish commits its own offset; nothing is missing or published twice."""
    world = World(PLANS[0], 2, build_settings("exactly_once", "stop"), Components())
    world.assign(0)
    world.advance(0, 200)
    world.commit_foreign_offset(offset)
    world.append(1)
    world.advance(0, 200)
    world.broker.complete()
    assert (world.log.group.offset, world.log.group.fold_id) == (3, world.fold_id)
    world.finish()
    assert not world.has_stopped
    world.close()
    world.checker.check()


@pytest.mark.parametrize(("offset", "stops"), [(0, False), (2, False), (3, True), (9, True)])
def test_a_worker_that_dies_before_it_replaces_a_foreign_offset(offset, stops):
    """Without states, only an offset beyond the last output stops the next worker."""
    world = World(PLANS[0], 2, build_settings("exactly_once", "stop"), Components())
    world.assign(0)
    world.advance(0, 200)
    world.broker.complete()
    world.commit_foreign_offset(offset)
    world.append(1)
    world.crash(0)
    world.lose_states("all")
    world.assign(1)
    world.advance(1, 400)
    assert world.has_stopped == stops
    world.finish()  # which deletes the offset if the worker stops again
    assert not world.has_stopped
    assert len(world.log.predictions) == 3
    world.close()
    world.checker.check()


def test_a_commit_before_the_publish_is_found():
    """A worker that dies in between leaves a position whose predictions are never published."""
    with pytest.raises(AssertionError, match="above C"):
        find(components=Components(processor=bugs.CommitsFirst))


def test_a_load_that_does_not_compare_the_position_is_found():
    """The worker steps states of another position, and publishes a wrong prediction."""
    with pytest.raises(AssertionError, match=r"output of \d+ is wrong"):
        find(components=Components(store=bugs.LoadsAnything))


def test_a_fence_after_the_group_offset_was_read_is_found():
    """The previous owner publishes between the read and the fence, and the new one repeats that."""
    with pytest.raises(AssertionError, match=r"published twice|moved back"):
        find(components=Components(publisher=bugs.FencesLate))


def test_a_timer_that_commits_the_group_offset_is_found():
    """The timer commits an old position, so the group offset moves back."""
    with pytest.raises(AssertionError, match="C moved back"):
        find(TimerMachine)


def test_a_cache_that_is_filled_before_the_commit_is_found():
    """The cache keeps the states of a refused commit, so the worker steps its events twice."""
    with pytest.raises(AssertionError, match=r"not the fold|is wrong"):
        find(components=Components(processor=bugs.FillsItsCacheFirst))


def test_a_cache_that_is_right_may_be_kept_where_recovery_starts_at_its_position():
    """A worker that fills its cache after the commit is correct: only the order is the bug."""
    search(Machine, 100, shrink=False, components=Components(processor=bugs.TrustsItsCache))


def test_a_fence_without_asking_the_group_is_found():
    """A worker that froze before it started its producer fences the current owner."""
    with pytest.raises(AssertionError, match="a zombie fenced the owner"):
        find(components=Components(publisher=bugs.FencesUnasked))


def test_a_worker_that_fences_again_harms_nothing_if_it_asks():
    """A worker whose producer checks the ownership first may fence again."""
    search(Machine, 100, shrink=False, components=Components(processor=bugs.FencesAgain))


def frozen_before_it_fences(components: Components) -> World:
    """Freeze a worker before it starts its producer, and assign the partition to another one."""
    world = World(PLANS[0], 3, build_settings("exactly_once", "stop"), components)
    world.assign(0)
    world.assign(1)
    world.advance(1, 60, until="publisher.commit")
    world.advance(0, 2)
    world.finish()
    world.close()
    return world


def test_a_worker_that_was_frozen_before_it_fences_leaves_the_owner_alone():
    """The group answers the frozen worker that its generation is over."""
    frozen_before_it_fences(Components()).checker.check()
    with pytest.raises(AssertionError, match="a zombie fenced the owner"):
        frozen_before_it_fences(Components(publisher=bugs.FencesUnasked)).checker.check()


def test_a_worker_that_is_frozen_between_the_answer_and_the_fence_costs_a_restart_only():
    """The healthy owner is fenced and restarts; no prediction is lost or duplicated."""
    world = World(PLANS[0], 3, build_settings("exactly_once", "stop"), Components())
    world.assign(0)
    world.advance(0, 2)  # it has checked its ownership
    world.assign(1)
    world.advance(1, 60, until="publisher.commit")
    world.advance(0, 60, until="publisher.commit")  # it fences, recovers and publishes
    world.advance(0, 2)
    assert world.workers[1] is not None
    world.advance(1, 2)
    assert world.workers[1] is None  # released
    world.assign(1)
    world.finish()
    world.close()
    world.checker.check()


def test_a_worker_restarts_a_forgotten_producer():
    """A worker whose producer is forgotten reads the outcome of its publish, and continues."""
    world = World(PLANS[0], 2, build_settings("exactly_once", "stop"), Components())
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
    world.checker.check()


def forgotten_after_its_commit(components: Components) -> World:
    """Lose the answer of a commit, and let Kafka forget the producer before the retry."""
    world = World(PLANS[0], 3, build_settings("exactly_once", "stop"), components)
    world.assign(0)
    world.advance(0, 200, until="publisher.commit")
    world.advance(0, 1)  # the commit of the first group offset of a new fold
    world.advance(0, 200, until="publisher.commit")
    world.advance(0, 1)
    world.broker.forget()
    world.advance(0, 1, outcome=Outcome.LOSE)
    world.advance(0, 200)
    world.finish()
    world.close()
    return world


def test_a_worker_reads_the_outcome_of_a_forgotten_producers_publish():
    """A worker that publishes the batch again without reading the outcome publishes it twice."""
    forgotten_after_its_commit(Components()).checker.check()
    with pytest.raises(AssertionError, match="published twice"):
        forgotten_after_its_commit(Components(processor=bugs.TrustsItsBatch)).checker.check()


def test_a_moved_worker_that_keeps_its_cache_is_found():
    """The worker steps states of the old position at the new one."""
    with pytest.raises(AssertionError, match=r"not the fold|is wrong"):
        find(components=Components(cache=bugs.KeptCache))


def test_a_commit_that_does_not_compare_the_origin_is_found():
    """Two folds with different origins reach the same position, and their states mix."""
    with pytest.raises(AssertionError, match=r"not the fold|is wrong"):
        find(components=Components(store=bugs.IgnoresOrigin))


def test_a_recovery_that_does_not_look_back_is_found():
    """Without the group offset, a recovery that does not look back publishes predictions again."""
    with pytest.raises(AssertionError, match="published twice"):
        find(components=Components(log=bugs.SkipsLastPrediction))


def test_an_accepted_loss_that_does_not_write_the_group_offset_is_found():
    """The fold begins at the log start, above the group offset, or makes no progress."""
    with pytest.raises(AssertionError, match=r"above C|no progress"):
        find(components=Components(recovery=bugs.LeavesGroupOffset))


def commit_after_another_origin(components: Components) -> World:
    """Let a zombie commit at the position where another fold has just begun."""
    world = World(PLANS[-1], 4, build_settings("exactly_once", "accept"), components)
    world.assign(0)
    world.advance(0, 80, until="store.commit")
    world.advance(0, 1)
    world.advance(0, 80, until="store.commit")  # the fold from 0 commits from 2 to 3
    world.retain(2)
    world.lose_states("all")
    world.assign(1)
    world.advance(1, 80, until="source.take")  # at 2, in the fold from 2
    assert (world.store.stored.position, world.store.stored.origin) == (2, 2)
    world.advance(0, 1)
    return world


def test_a_zombie_of_another_origin_is_refused_at_the_same_position():
    """A store that compares the origin refuses the commit, so the states of two folds never mix."""
    right = commit_after_another_origin(Components())
    right.finish()
    right.close()
    right.checker.check()
    wrong = commit_after_another_origin(Components(store=bugs.IgnoresOrigin))
    wrong.close()
    with pytest.raises(AssertionError, match="not the fold"):
        wrong.checker.check()


def test_a_zombies_duplicate_does_not_stop_the_owner():
    """In at_least_once, recovery may find a late prediction of a low offset as the last one."""
    world = World(PLANS[0], 3, build_settings("at_least_once", "stop"), Components())
    world.assign(0)
    world.advance(0, 60, until="publisher.send")  # at offset 0; then it is a zombie
    world.assign(1)
    world.advance(1, 60, until="publisher.commit")  # 0 and 1 are sent, C is still 0
    world.assign(1)
    world.advance(1, 60, until="publisher.send")  # at offset 2, after folding 0 and 1 silently
    world.advance(0, 2)  # the zombie's prediction of 0 arrives
    world.finish()
    world.close()
    world.checker.check()
