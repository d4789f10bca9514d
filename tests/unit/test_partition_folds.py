"""The folds of one partition: requests, candidates that fail or end, and the take-over."""

import asyncio

import pytest

from stream_rnn.errors import ForgottenError
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.rollout.plan import Request
from stream_rnn.store.state import States
from tests.unit.rollout_folds_in_memory import (
    FailingSource,
    QuietFolds,
    QuietSource,
)


async def test_an_error_in_attending_to_a_roll_out_ends_the_partition(bundles):
    """Otherwise nobody would carry out its requests, and nothing would say so."""
    folds = QuietFolds(bundles, RuntimeError("a mistake"))
    partition = PartitionFolds(folds=folds, partition=0, source=QuietSource(), publisher=None)
    running = asyncio.create_task(partition.run())
    await asyncio.wait({running}, timeout=20)
    assert running.done()
    with pytest.raises(RuntimeError, match="a mistake"):
        await running


class ForgottenPublisher:
    """A publisher whose first publish has an unknown outcome."""

    publishes = 0

    async def publish(self, *_given):
        self.publishes += 1
        if self.publishes == 1:
            raise ForgottenError("Kafka has forgotten the producer")


async def test_a_request_that_waits_and_a_candidate_that_fails_are_noted(bundles):
    """The time counts on while the request cannot be carried out, until it is withdrawn."""
    folds, failures = QuietFolds(bundles), []
    request = Request(kind="promote", fold_id=folds.plan.folds[1].fold_id, number=1, origin=5)
    plan, folds.source = folds.plan, FailingSource()
    given = {"folds": folds, "partition": 0, "source": QuietSource(), "publisher": None}
    partition = PartitionFolds(**given, on_failure=lambda: failures.append(1))
    running = asyncio.create_task(partition.run())
    async with asyncio.timeout(20):
        while not failures:
            await asyncio.sleep(0.01)
        assert partition.pending_s is None
        folds.plan = plan.model_copy(update={"requests": {0: request}})
        while (partition.pending_s or 0) < 0.1:
            await asyncio.sleep(0.01)
        folds.plan = plan
        while partition.pending_s is not None:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})


def finishing(bundles, publisher) -> PartitionFolds:
    """Return a partition whose fold in charge is requested to stay so."""
    folds = QuietFolds(bundles)
    known = GroupOffset(0, folds.own, 0)
    folds.plan = folds.plan.with_request("finish", 0, folds.own, known, 0)
    return PartitionFolds(folds=folds, partition=0, source=QuietSource(), publisher=publisher)


async def test_counts_are_those_of_the_assignment(bundles):
    """They never go back, whichever fold is in charge: progress and log lines are made of them."""
    partition = finishing(bundles, ForgottenPublisher())
    running = asyncio.create_task(partition.run())
    before = partition.processor
    async with asyncio.timeout(20):
        while not (partition.processor is not before and partition.processor.is_positioned):
            await asyncio.sleep(0.01)
    assert partition.processor.counts.positioned == 2
    running.cancel()
    await asyncio.wait({running})


async def test_the_fold_in_charge_goes_on_where_it_stands_after_its_own_request(bundles):
    """A request for the fold in charge, or one that cannot be carried out yet, costs no recovery."""
    publisher = ForgottenPublisher()
    publisher.publishes = 1
    partition = finishing(bundles, publisher)
    running = asyncio.create_task(partition.run())
    before = partition.processor
    async with asyncio.timeout(20):
        while not partition.cut_overs or partition.is_pausing:
            await asyncio.sleep(0.01)
    candidate = partition._candidate
    assert (partition.processor, before.number) == (before, 1)
    assert before.counts.positioned == 1
    partition._source.is_pausing = True  # nothing is requested now
    async with asyncio.timeout(20):
        while partition.is_pausing:
            await asyncio.sleep(0.01)
    assert partition.processor is before
    assert partition._candidate is candidate is not None
    assert candidate.processor.number == 1  # in the header of its predictions
    running.cancel()
    await asyncio.wait({running})


async def test_a_candidate_of_the_next_roll_out_is_silent_below_the_group_offset(bundles):
    """The last cut-over of the one before is below it, and would let it publish while it warms."""
    folds = QuietFolds(bundles)
    partition = PartitionFolds(folds=folds, partition=0, source=QuietSource(), publisher=None)
    plan, partition._since = folds.plan, 3
    running = asyncio.create_task(partition.run())
    async with asyncio.timeout(20):
        while partition._candidate is None:
            await asyncio.sleep(0.01)
        assert partition._published_by(partition.processor).since == 3
        folds.plan = plan.model_copy(update={"stage": "over"})
        while partition._candidate is not None:
            await asyncio.sleep(0.01)
        folds.plan = plan
        while partition._candidate is None:
            await asyncio.sleep(0.01)
    assert partition._published_by(partition.processor).since is None
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize(
    ("position", "active_at", "origin", "is_taken"),
    [(0, 0, 0, True), (-1, 0, 0, False), (0, -1, 0, False), (0, 0, 1, False)],
    ids=["at-the-group-offset", "behind-it", "from-a-silent-fold", "of-another-origin"],
)
async def test_only_a_candidate_at_the_group_offset_takes_over(bundles, position, active_at, origin, is_taken):  # fmt: skip
    """Any other one would leave records out of its states, or fold some of them again."""
    folds = QuietFolds(bundles)
    partition = PartitionFolds(folds=folds, partition=0, source=QuietSource(), publisher=None)
    await partition.processor._begin()
    partition._keep_candidate(folds.plan, partition.processor)
    candidate = partition._candidate
    async with asyncio.timeout(20):
        while not candidate.processor.is_positioned:
            await asyncio.sleep(0.01)
    candidate.source.has_ended = True
    await asyncio.wait({candidate.task}, timeout=20)
    active, candidate.processor.position = partition.processor, position
    active.position = active_at
    key, floats = [b"k"], candidate.processor.model.state_size_floats
    candidate.processor.cache.put(key, States.empty(1, floats))
    offset = GroupOffset(0, candidate.fold_id, origin, 1)
    assert await partition._take_over(active, offset) is is_taken
    await partition._close_ended()
    new = partition.processor
    assert (new is not active) is is_taken
    if is_taken:
        assert new.cache.rows(key) >= 0
        assert new.cache is not candidate.processor.cache  # whose limit is that of a candidate
        assert (new.position, new.origin, new.publish_from, new.number) == (0, 0, 0, 1)
        assert new.is_positioned


async def test_a_candidate_is_closed_if_its_end_is_cancelled(bundles):
    """A partition that is lost meanwhile must leave no consumer behind."""
    folds = QuietFolds(bundles)
    partition = PartitionFolds(folds=folds, partition=0, source=QuietSource(), publisher=None)
    running = asyncio.create_task(partition.run())
    async with asyncio.timeout(20):
        while partition._candidate is None:
            await asyncio.sleep(0.01)
        ending = asyncio.create_task(partition._end_candidate())
        while partition._candidate is not None:
            await asyncio.sleep(0)
        ending.cancel()
        running.cancel()
        await asyncio.wait({ending, running})
    assert ending.cancelled()
    assert folds.source.closed
