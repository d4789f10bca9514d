"""The cache that both folds of a partition share while a roll-out is open."""

import asyncio

from stream_rnn.fold.assemble import build_processor
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.rollout.plan import Plan
from stream_rnn.store.cache import StateCache
from stream_rnn.store.state import States
from stream_rnn.testing import MemoryStore
from stream_rnn.worker.rollout_folds import (
    CACHE_SHARE,
)
from tests.unit.rollout_folds_in_memory import (
    SETTINGS,
    QuietSource,
    folds_of,
)


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

    def processor(self, wired, partition, source, publisher, log):
        return build_processor(
            model=wired.model,
            settings=SETTINGS,
            partition=partition,
            source=source,
            store=MemoryStore(),
            log=log,
            publisher=publisher,
            cache_bytes=self.cache_bytes,
        )
