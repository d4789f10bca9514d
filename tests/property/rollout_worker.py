"""A worker of a roll-out, whose calls wait until the driver lets them take effect."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stream_rnn.errors import FencedError, StreamRNNError, UnavailableError
from stream_rnn.fold.facts import Facts, known_group_offset
from stream_rnn.fold.outputs import PublishedOutputs
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.recovery import Start
from stream_rnn.fold.recovery_facts import Recovery
from stream_rnn.fold.source import Fetch
from stream_rnn.rollout.candidate import CandidateRecovery, CandidateSource, SilentPublisher
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.rollout.plan import Plan
from stream_rnn.store.cache import StateCache
from stream_rnn.testing import MemorySource
from tests.property.broker import IdempotentPublisher, TransactionalPublisher
from tests.property.rollout_checker import MODELS

RETRY_S = 10.0


@dataclass
class Gate:
    """A call that waits for the driver."""

    worker: "Worker"
    name: str
    stage: str
    opened: asyncio.Future


class Gated:
    """The store, the log or the plans of one worker, whose calls wait for the driver."""

    def __init__(self, worker: "Worker", name: str, target: Any, error: type[StreamRNNError]):
        self._worker, self._name, self._target, self._error = worker, name, target, error

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            return await self._worker.call(
                f"{self._name}.{method}",
                lambda: getattr(self._target, method)(*arguments),
                self._error,
            )

        return call


class LogSource:
    """The records of the log in fetches of a few; waits at the log end."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._memory = MemorySource(worker.world.log, [3] * 10_000)

    async def seek(self, position: int) -> None:
        """Deliver records from this offset on."""
        await self._memory.seek(position)

    async def take(self, timeout_s: float) -> Fetch | None:
        """Return the next records, or an empty fetch."""
        fetch = await self._worker.call("source.take", lambda: self._memory.take(0), FencedError)
        if fetch is None:
            await asyncio.sleep(timeout_s)
            return Fetch([], self._memory._position)
        return fetch


class LogReader:
    """Reads ranges of the log for a candidate."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    async def read(self, first: int, end: int) -> Sequence[Any]:
        """Return some records of the range."""

        async def effect() -> list[Any]:
            log = self._worker.world.log
            return [r for r in log.available() if first <= r.offset < end][:3]

        return await self._worker.call("candidate.read", effect, FencedError)

    async def close(self) -> None:
        """Do nothing."""


class Worker:
    """One assignment: its folds, its plan, and its tasks."""

    def __init__(self, world: Any, own: int, lacks: set[int]) -> None:
        self.world, self.generation = world, world.broker.generation
        self.own, self.plan = world.ids[own], None
        self._loaded, self._lacks = {self.own}, {world.ids[fold] for fold in lacks}
        self._plans = Gated(self, "plans", world.plans, UnavailableError)
        is_exact = world.configured.delivery == "exactly_once"
        publisher = (TransactionalPublisher if is_exact else IdempotentPublisher)(
            self, world.broker
        )
        self.folds = PartitionFolds(
            folds=self, partition=0, source=LogSource(self), publisher=publisher
        )
        self.tasks = [asyncio.create_task(self.folds.run()), asyncio.create_task(self._look())]

    async def call(
        self,
        name: str,
        effect: Callable[[], Awaitable[Any]],
        error: Callable[[str], StreamRNNError],
    ) -> Any:
        """Make a call that waits for the driver before it, and sometimes after it."""
        world = self.world
        await world.gate(self, name, "before")
        world.broker.tick()
        answer, raised = None, None
        try:
            answer = await effect()
        except StreamRNNError as refused:
            raised = refused
        world.checker.check_redis()
        if world.chance.random() < 0.3 and await world.gate(self, name, "after"):
            raise error(f"{name}: the answer was lost")
        if raised is not None:
            raise raised
        return answer

    # stream_rnn.rollout.partition.Folds

    async def read_plan(self) -> Plan | None:
        """Read the plan, and load its bundles."""
        self.plan = plan = await self._plans.read()
        for name in plan.folds if plan is not None else ():
            bundle = await self._plans.get_bundle(name.fingerprint)
            if bundle is not None and name.fold_id not in self._lacks:
                self._loaded.add(name.fold_id)
        return plan

    def has(self, fold: str) -> bool:
        """Return whether a bundle is loaded."""
        return fold in self._loaded

    def unreachable(self, _fold: str) -> None:
        """Return nothing: each server that bundles need answers."""

    def refusal(self, fold: str) -> str:
        """Return why a bundle is not loaded."""
        return "it is lost" if fold in self._lacks else ""

    def store(self, fold: str, partition: int) -> Any:
        """Return the store of a fold."""
        assert partition == 0
        return Gated(self, "store", self.world.stores[self.world.ids.index(fold)], UnavailableError)

    def active(self, fold, partition, source, publisher, consult) -> Processor:
        """Make the processor of the fold in charge."""
        world, store = self.world, self.store(fold, partition)
        log = Gated(self, "log", world.log, FencedError)
        recovery = ReportingRecovery(
            "events[0]", fold, store, log, world.options, RETRY_S, world.loop.time, consult=consult
        )
        recovery.world = world
        return self._processor(fold, source, store, publisher, recovery)

    def candidate(self, fold, partition, published, turn) -> Any:
        """Make the processor of the candidate."""
        store, log = self.store(fold, partition), Gated(self, "log", self.world.log, FencedError)
        source = CandidateSource(LogReader(self), published, turn)
        recovery = CandidateRecovery("events[0]", fold, store, log, published)
        return self._processor(fold, source, store, SilentPublisher(), recovery), source

    def _processor(self, fold, source, store, publisher, recovery) -> Processor:
        model, world = MODELS[self.world.ids.index(fold)], self.world
        return Processor(
            model=model,
            settings=world.configured,
            partition=0,
            fold_id=fold,
            source=source,
            store=store,
            publisher=publisher,
            recovery=recovery,
            sink=PublishedOutputs(model, world.configured, 0, fold),
            cache=StateCache(model.state_size_floats, 10_000),
            clock=world.loop.time,
        )

    async def _look(self) -> None:
        while True:
            try:
                await self.read_plan()
            except UnavailableError:
                pass
            await asyncio.sleep(1.0)


class ReportingRecovery(Recovery):
    """A recovery that reports the origins of folds that begin again."""

    world: Any

    async def find(self, acknowledged=None, *, is_corrupt=False) -> tuple[Facts, Start]:
        """Find the start, and report its origin."""
        facts, start = await super().find(acknowledged, is_corrupt=is_corrupt)
        if start.lost:
            self.world.checker.origins.add(start.origin)
            assert known_group_offset(facts) is not None
        return facts, start
