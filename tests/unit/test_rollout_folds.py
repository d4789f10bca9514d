"""What a worker does for a roll-out: it loads bundles, lets candidates give way, and attends to requests."""

import asyncio
import tempfile

import pytest

from stream_rnn.errors import BundleError, FencedError, ForgottenError
from stream_rnn.fold.assemble import build_processor
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.source import Fetch
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.network import Model
from stream_rnn.rollout.bundles import load_bundle_bytes, read_bundle_bytes
from stream_rnn.rollout.candidate import CandidateSource, FreeTurn, InChargeUpTo
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.rollout.plan import FoldName, Plan, Request
from stream_rnn.rollout.plan_store import MemoryPlanStore
from stream_rnn.settings import Settings
from stream_rnn.store.cache import StateCache
from stream_rnn.store.state import States
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor
from stream_rnn.worker.give_way import (
    LOOK_EVERY_S,
    REST_MAX_S,
    TURN_MAX_S,
    WORKING_MAX,
    GiveWay,
    RightOfWay,
)
from stream_rnn.worker.rollout_folds import (
    CACHE_SHARE,
    MODELS_MAX,
    REFUSED_FOR_S,
    WorkerFolds,
)
from tests import models

SETTINGS = Settings.build(app="app", source="events", predictions="out").of_fold(needs=())


@pytest.fixture
def bundles(tmp_path):
    """Return two models with the bytes of their bundles."""
    made = []
    for seed in (1, 2):
        save_bundle(models.small("gru", seed=seed), tmp_path / str(seed))
        made.append(read_bundle_bytes(tmp_path / str(seed)))
    return made


class CountedStore(MemoryPlanStore):
    """A store of plans that counts how often a bundle is read."""

    reads = 0

    async def get_bundle(self, fingerprint):
        self.reads += 1
        return await super().get_bundle(fingerprint)


def folds_of(bundles, broken=None):
    """Return the folds of a worker, the store of its plan, and what sets its clock."""
    (own, one), (other, two) = bundles
    names = [FoldName(fold_id=fold_id(m.fingerprint, SETTINGS), fingerprint=m.fingerprint) for m in (own, other)]  # fmt: skip
    store, now = CountedStore(), [0.0]
    store.plan = Plan(folds=tuple(names)).encode()
    store.bundles = {own.fingerprint: one, other.fingerprint: broken or two}
    folds = WorkerFolds(
        settings=SETTINGS,
        model=own,
        builder=None,
        plans=store,
        cluster=None,
        clock=lambda: now[0],
    )
    return folds, store, now


async def test_a_bundle_that_is_refused_is_not_read_again_at_once(bundles, caplog):
    """It may have 100 MB, and the plan is read once a second; a replaced one is found later."""
    torn = bundles[1][1]._replace(tensors=b"torn")
    folds, store, now = folds_of(bundles, torn)
    for _ in range(3):
        await folds.read_plan()
    assert store.reads == 1
    assert caplog.text.count("cannot run fold") == 1
    store.bundles[bundles[1][0].fingerprint] = bundles[1][1]
    now[0] = REFUSED_FOR_S
    await folds.read_plan()
    assert folds.has(folds.plan.folds[1].fold_id)


async def test_a_bundle_that_is_missing_is_looked_for_each_time(bundles):
    """It costs nothing, and a roll-out may put it there after the plan."""
    folds, store, _ = folds_of(bundles)
    kept, store.bundles = store.bundles, {}
    await folds.read_plan()
    assert not folds.has(folds.plan.folds[1].fold_id)
    store.bundles = kept
    await folds.read_plan()
    assert folds.has(folds.plan.folds[1].fold_id)


async def test_without_a_temporary_directory_only_the_bundle_is_refused(bundles, monkeypatch, caplog):  # fmt: skip
    """The worker goes on with the fold that it has, and says what to do."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with pytest.raises(BundleError, match=r"temporary directory.*TMPDIR"):
        load_bundle_bytes(bundles[1][1], bundles[1][0].fingerprint)
    folds, _, _ = folds_of(bundles)
    assert await folds.read_plan() is not None
    assert "TMPDIR" in caplog.text


async def test_a_bundle_whose_records_need_a_registry_is_refused_where_there_is_none(tmp_path, bundles, caplog):  # fmt: skip
    """Its candidate could read no record."""
    model = models.small("gru", seed=2)
    event = model.spec.event.model_copy(update={"value_format": "avro"})
    spec = model.spec.model_copy(update={"event": event})
    save_bundle(Model(spec, model.cell, model.network), tmp_path / "avro")
    folds, _, _ = folds_of([bundles[0], read_bundle_bytes(tmp_path / "avro")])
    await folds.read_plan()
    assert not folds.has(folds.plan.folds[1].fold_id)
    assert "schema_registry_url" in caplog.text


async def test_models_of_earlier_plans_are_forgotten(tmp_path, bundles):
    """A worker that runs for months sees many roll-outs; its own bundle and the plan's stay."""
    folds, store, _ = folds_of(bundles)
    await folds.read_plan()
    kept = folds.plan.folds[1]  # in each plan, and loaded before all others
    for seed in range(3, 3 + 2 * MODELS_MAX):
        save_bundle(models.small("gru", seed=seed), tmp_path / str(seed))
        model, content = read_bundle_bytes(tmp_path / str(seed))
        new = FoldName(fold_id=fold_id(model.fingerprint, SETTINGS), fingerprint=model.fingerprint)
        store.bundles[model.fingerprint] = content
        store.plan = Plan(folds=(kept, new)).encode()
        await folds.read_plan()
        assert all(folds.has(fold) for fold in (folds.own, kept.fold_id, new.fold_id))
        assert len(folds.models) <= MODELS_MAX


async def test_refusals_of_earlier_plans_are_forgotten(bundles):
    """Otherwise status and metrics would complain for ever, and the report would grow without a bound."""
    folds, store, _ = folds_of(bundles, bundles[1][1]._replace(tensors=b"torn"))
    plan = await folds.read_plan()
    refused = plan.folds[1]
    assert {*folds.refused} == {refused.fold_id}
    other = FoldName(fold_id="c" * 12, fingerprint="c" * 64)
    store.plan = Plan(folds=(plan.folds[0], other)).encode()
    await folds.read_plan()
    assert {*folds.refused} == {other.fold_id}
    store.plan = plan.encode()
    store.bundles[refused.fingerprint] = bundles[1][1]
    await folds.read_plan()  # at once: a roll-out that starts again brings the bundle again
    assert folds.has(refused.fold_id)
    store.plan = None
    await folds.read_plan()
    assert not folds.refused


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


class QuietSource:
    """A source in which nothing arrives, for the fold in charge and for a candidate."""

    closed = has_ended = False
    position = 0

    async def seek(self, position):
        self.position = position

    async def take(self, timeout_s):
        await asyncio.sleep(min(timeout_s, 0.01))
        return None if self.has_ended else Fetch([], self.position)

    def end(self):
        """Go on: a candidate may be busy."""

    def wake(self):
        """Look at nothing."""

    async def close(self):
        self.closed = True


class FailingSource(QuietSource):
    """A source that cannot be read."""

    async def take(self, timeout_s):
        raise FencedError(f"no answer within {timeout_s} s")


class QuietFolds:
    """Two folds of an empty log, whose roll-out is open."""

    def __init__(self, bundles, fail=None) -> None:
        self.models = {fold_id(m.fingerprint, SETTINGS): m for m, _ in bundles}
        self.own = next(iter(self.models))
        names = [FoldName(fold_id=f, fingerprint=m.fingerprint) for f, m in self.models.items()]
        self.plan, self.fail, self.source = Plan(folds=tuple(names)), fail, QuietSource()

    async def read_plan(self):
        return self.plan

    def has(self, fold):
        return fold in self.models

    def active(self, fold, _partition, source, *_given):
        processor = memory_processor(self.models[fold], MemoryLog([]), MemoryStore(), SETTINGS)
        processor.source = source
        return processor

    def candidate(self, fold, partition, *_given):
        if self.fail is not None:
            raise self.fail
        return self.active(fold, partition, self.source), self.source


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


async def test_counts_are_those_of_the_assignment(bundles):
    """They never go back, whichever fold is in charge: progress and log lines are made of them."""
    folds = QuietFolds(bundles)
    publisher = ForgottenPublisher()
    partition = PartitionFolds(folds=folds, partition=0, source=QuietSource(), publisher=publisher)
    known = GroupOffset(0, folds.own, 0)
    folds.plan = folds.plan.with_request("finish", 0, folds.own, known, 0)
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
    folds, publisher = QuietFolds(bundles), ForgottenPublisher()
    publisher.publishes = 1
    partition = PartitionFolds(folds=folds, partition=0, source=QuietSource(), publisher=publisher)
    known = GroupOffset(0, folds.own, 0)
    folds.plan = folds.plan.with_request("finish", 0, folds.own, known, 0)
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


async def test_both_folds_of_a_partition_share_one_cache(bundles):
    """While a roll-out is open; the fold in charge has all of it again when none is."""
    folds, store, _ = folds_of(bundles)
    folds.builder, folds.cluster = MemoryBuilder(), KafkaCluster({}, SETTINGS)
    own, other = (name.fold_id for name in Plan.decode(store.plan, "").folds)
    given = QuietSource(), None, None
    before = folds.active(own, 0, *given)
    assert rows(before) == rows_of(before, 1)
    await folds.read_plan()
    candidate, _ = folds.candidate(other, 0, None, None)
    after = folds.active(other, 0, *given)
    assert rows(before) == rows(after) == rows_of(after, 1 - CACHE_SHARE)
    assert rows(candidate) == rows_of(candidate, CACHE_SHARE)
    store.plan = Plan.decode(store.plan, "").model_copy(update={"stage": "over"}).encode()
    await folds.read_plan()
    assert rows(before) == rows(after) == rows_of(after, 1)


async def test_other_tasks_run_while_the_caches_of_many_partitions_shrink(bundles):
    """Each cache takes a while, and all are limited when a roll-out begins."""
    folds, store, _ = folds_of(bundles)
    folds.builder, folds.cluster = MemoryBuilder(), KafkaCluster({}, SETTINGS)
    await folds.read_plan()  # which loads the bundles
    opened = store.plan
    store.plan = Plan.decode(opened, "").model_copy(update={"stage": "over"}).encode()
    await folds.read_plan()
    processors = [folds.active(folds.own, n, QuietSource(), None, None) for n in range(8)]
    for processor in processors:
        keys = [b"%d" % n for n in range(rows(processor))]
        processor.cache.put(keys, States.empty(len(keys), processor.model.state_size_floats))
    store.plan = opened
    turns, reading = 0, asyncio.create_task(folds.read_plan())
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > len(processors)
    assert all(len(p.cache) <= rows(p) < MemoryBuilder.cache_bytes for p in processors)


def rows(processor) -> int:
    """Return how many states a cache takes."""
    return processor.cache._rows_max


def rows_of(processor, share) -> int:
    """Return how many states a share of the bytes is."""
    return StateCache(processor.model.state_size_floats, round(share * MemoryBuilder.cache_bytes))._rows_max  # fmt: skip


class MemoryBuilder:
    """Builds processors that have their store in memory."""

    cache_bytes = 1_000_000

    def store(self, _fold, _partition):
        return MemoryStore()

    def processor(self, model, partition, source, publisher, log):
        return build_processor(
            model=model,
            settings=SETTINGS,
            partition=partition,
            source=source,
            store=MemoryStore(),
            log=log,
            publisher=publisher,
            cache_bytes=self.cache_bytes,
        )
