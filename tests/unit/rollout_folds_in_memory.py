"""Folds of a roll-out without servers: their plan and bundles in memory, and an empty log."""

import asyncio

from stream_rnn.errors import FencedError
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.source import Fetch
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import MemoryPlanStore
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor
from stream_rnn.worker.rollout_folds import (
    WorkerFolds,
)

SETTINGS = Settings.build(app="app", source="events", predictions="out").of_fold(needs=())


class CountedStore(MemoryPlanStore):
    """A store of plans that counts how often a bundle is read."""

    reads = 0

    async def get_bundle(self, fingerprint):
        self.reads += 1
        return await super().get_bundle(fingerprint)


def folds_of(bundles, broken=None, settings=SETTINGS):
    """Return the folds of a worker, the store of its plan, and what sets its clock."""
    (own, one), (other, two) = bundles
    names = [FoldName(fold_id=fold_id(m.fingerprint, settings), fingerprint=m.fingerprint) for m in (own, other)]  # fmt: skip
    store, now = CountedStore(), [0.0]
    store.plan = Plan(folds=tuple(names)).encode()
    store.bundles = {own.fingerprint: one, other.fingerprint: broken or two}
    folds = WorkerFolds(
        settings=settings,
        model=own,
        builder=None,
        plans=store,
        cluster=None,
        wire=Wire(settings.predictions_format, 5),
        clock=lambda: now[0],
    )
    return folds, store, now


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

    def refusal(self, _fold):
        """Know no reason."""
        return ""

    def unreachable(self, _fold):
        """Return nothing: each bundle is loaded."""

    def active(self, fold, _partition, source, *_given):
        processor = memory_processor(self.models[fold], MemoryLog([]), MemoryStore(), SETTINGS)
        processor.source = source
        return processor

    def candidate(self, fold, partition, *_given):
        if self.fail is not None:
            raise self.fail
        return self.active(fold, partition, self.source), self.source
