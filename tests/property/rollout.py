"""A model of one partition with two workers and two folds, in which chance determines the order of all calls.

Every call to Redis, Kafka and the source waits until the driver lets it take effect, and may wait
again before its answer.  Between two calls run the real :class:`PartitionFolds`, processors and
recoveries, in virtual time.  A person starts roll-outs, promotes, finishes and abandons by what he can see.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from stream_rnn.errors import FencedError, RecoveryError, StreamRNNError, UnavailableError
from stream_rnn.fold.facts import Facts, known_group_offset
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.outputs import CUT_OVER_HEADER, PublishedOutputs
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.recovery import RecoveryOptions, Start
from stream_rnn.fold.recovery_facts import Recovery
from stream_rnn.fold.source import Fetch
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.rollout.candidate import CandidateRecovery, CandidateSource, SilentPublisher
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import BundleBytes, MemoryPlanStore
from stream_rnn.store.cache import StateCache
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.testing import MemoryLog, MemorySource
from tests import models, oracle
from tests.property.broker import Broker, IdempotentPublisher, TransactionalPublisher
from tests.property.gates import VirtualTimeLoop
from tests.property.invariants import ORACLE_SETTINGS, prediction, records
from tests.property.invariants import Plan as LogPlan
from tests.property.protocol import build_settings

MODELS = tuple(with_fingerprint(models.small(cell)) for cell in ("elman", "gru"))
SETTLE = 25  # turns of the loop after which every task waits for a gate or a timer
RETRY_S = 10.0


@cache
def truth(plan: LogPlan, fold: int, origin: int, position: int) -> oracle.Truth:
    """Return the oracle's fold of the records from an origin up to a position."""
    prefix = [r for r in records(plan) if origin <= r.offset < position]
    return oracle.fold(MODELS[fold], ORACLE_SETTINGS, prefix)


@dataclass
class Checker:
    """Checks everything that becomes visible or certain, for two folds.

    Attributes:
        world: What is checked.
        is_exact: Whether no offset may be published twice.
        charge: Group offset that was last decided; it names the fold in charge.
        asked: Requests of a person: fold id, number, origin.
        outputs: First output of each offset.
        origins: Offsets at which each fold may begin.
        cut_overs: Number of cut-overs to another fold.
        violations: Descriptions of the violations.
    """

    world: "World"
    is_exact: bool
    charge: GroupOffset | None = None
    asked: set[tuple[str, int, int | None]] = field(default_factory=set)
    outputs: dict[int, Message] = field(default_factory=dict)
    origins: set[int] = field(default_factory=lambda: {0})
    cut_overs: int = 0
    violations: list[str] = field(default_factory=list)
    owner_of: dict[int, str] = field(default_factory=dict)

    def require(self, *, fact: bool, otherwise: str) -> None:
        """Record a violation unless a fact is true."""
        if not fact:
            self.violations.append(otherwise)

    def check_output(self, message: Message) -> None:
        """Check that an output is its fold's, and that a cut-over has put that fold in charge."""
        headers = dict(message.headers)
        offset, name = int(headers["sr-offset"]), headers.get("sr-fold", b"").decode()
        number, plan = int(headers.get(CUT_OVER_HEADER, 0)), self.world.plan
        if "sr-error" in headers:
            right = truth(plan, 0, 0, len(plan)).dead_letters.get(offset)
            self.require(
                fact=headers["sr-error"].decode() == right, otherwise=f"dead letter {offset}"
            )
        else:
            origin, fold = int(headers["sr-origin"]), self.world.ids.index(name)
            right = truth(plan, fold, origin, len(plan)).predictions.get(offset)
            fits = origin in self.origins and prediction(message.value) == right
            self.require(fact=fits, otherwise=f"the output of {offset} is not its fold's")
            is_known = self.owner_of.setdefault(number, name) == name
            self.require(fact=is_known, otherwise=f"two folds published with number {number}")
        first = self.outputs.setdefault(offset, message)
        if first is not message:
            self.require(fact=not self.is_exact, otherwise=f"{offset} was published twice")

    def check_group_offset(
        self, before: GroupOffset | None, after: GroupOffset, log_end: int
    ) -> None:
        """Check a group offset when it is decided."""
        del before
        charge, self.charge = self.charge, after
        self.require(fact=after.offset <= log_end, otherwise=f"{after} is beyond the log end")
        for offset, (kind, _) in enumerate(self.world.plan.kinds[: after.offset]):
            there = kind not in "es" or offset in self.outputs
            self.require(fact=there, otherwise=f"{after}: nothing is published for {offset}")
        if charge is None:
            self.owner_of.setdefault(0, after.fold_id or "")
            return
        self.require(fact=after.offset >= charge.offset, otherwise=f"{charge} went back to {after}")
        is_same = after.fold_id == charge.fold_id
        if not is_same and not after.number and not charge.number:
            # Without a cut-over, a worker with another bundle begins a new fold.
            self.require(fact=self.world.own != (0, 0), otherwise=f"{after} after {charge}")
            self.owner_of[0] = after.fold_id or ""
            return
        if not is_same or after.number != charge.number:
            asked = [a for a in self.asked if a[:2] == (after.fold_id, after.number)]
            fits = after.number > charge.number and bool(asked)
            self.require(fact=fits, otherwise=f"nobody asked for {after} after {charge}")
            seen = is_same or any(a[2] in (None, after.origin) for a in asked)
            self.require(fact=seen, otherwise=f"{after}: the person saw another origin: {asked}")
            self.require(
                fact=is_same or after.offset == charge.offset, otherwise=f"{after} is not {charge}"
            )
            self.cut_overs += not is_same
        elif self.world.is_exact_origin:
            fits = after.origin == charge.origin
            self.require(fact=fits, otherwise=f"{charge}: the origin changed: {after}")

    def note_replaced(self, offset: GroupOffset | None) -> None:
        """Do nothing: no foreign group offset is committed here."""

    def check_redis(self) -> None:
        """Check that the states of each fold are a prefix of it, not beyond the group offset."""
        for fold, store in enumerate(self.world.stores):
            stored = store._read_position()
            if stored.position is None or stored.is_torn:
                continue
            here = f"fold {fold}: P={stored.position}, origin={stored.origin}"
            states = {key: oracle.stored(value) for key, value in store.states.items()}
            right = truth(self.world.plan, fold, stored.origin, stored.position).states
            self.require(fact=states == right, otherwise=f"{here}: Redis is not the fold")
            c = self.charge
            fits = c is not None and stored.position <= c.offset
            self.require(fact=fits, otherwise=f"{here} is above {c}")

    def check(self) -> None:
        """Raise the first violation."""
        assert not self.violations, self.violations[0]


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

    def __init__(self, world: "World", own: int, lacks: set[int]) -> None:
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

    def candidate(self, fold, partition, published, give_way) -> Any:
        """Make the processor of the candidate."""
        store, log = self.store(fold, partition), Gated(self, "log", self.world.log, FencedError)
        source = CandidateSource(LogReader(self), published, give_way)
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

    world: "World"

    async def find(self, acknowledged=None, *, is_corrupt=False) -> tuple[Facts, Start]:
        """Find the start, and report its origin."""
        facts, start = await super().find(acknowledged, is_corrupt=is_corrupt)
        if start.lost:
            self.world.checker.origins.add(start.origin)
            assert known_group_offset(facts) is not None
        return facts, start


class World:
    """Kafka, Redis, a person and two workers of one partition.

    Args:
        plan: Plan of the source log.
        delivery: How the workers publish.
        seed: Seed of the order of all calls.
        faults: Names of the faults and of what the person does.
        own: Fold of each worker's own bundle.
        lacks: Folds that the second worker cannot load.
    """

    def __init__(
        self,
        plan: LogPlan,
        delivery: str,
        seed: int,
        faults: Sequence[str],
        own: tuple[int, int] = (0, 0),
        lacks: frozenset[int] = frozenset(),
        *,
        names_origins: bool = True,
    ) -> None:
        self.names_origins = names_origins
        self.plan, self.faults, self.own, self.lacks = plan, faults, own, lacks
        self.chance = random.Random(seed)
        self.configured = build_settings(delivery, "stop").of_fold(needs=())
        self.loop = VirtualTimeLoop()
        self.checker = Checker(self, is_exact=delivery == "exactly_once")
        self.log = MemoryLog([], end_offset=0)
        self.broker = Broker(self.log, self.checker, self.loop.time)
        self.stores = (MemoryStore(), MemoryStore())
        self.plans = MemoryPlanStore()
        self.ids = tuple(fold_id(model.fingerprint, self.configured) for model in MODELS)
        self.options = RecoveryOptions()
        self.workers: list[Worker | None] = [None, None]
        self.gates: list[Gate] = []
        self.is_exact_origin = True
        self.stops: list[str] = []
        self.done: list[str] = []
        self.backup: Any = None
        self.append(2)

    def run(self, steps: int) -> None:
        """Make a number of random steps, then check that all is published without further faults."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._run(steps))
        finally:
            self.loop.close()
            asyncio.set_event_loop(None)
        self.checker.check()

    async def _run(self, steps: int) -> None:
        await self.assign(0)
        for _ in range(steps):
            await self.step()
            if self.checker.violations:
                break
        if not self.checker.violations:
            await self.finish()
        for slot in (0, 1):
            await self.crash(slot)

    async def step(self) -> None:
        """Let a call continue, let time pass, or make a fault."""
        await self.settle()
        what = self.chance.random()
        if what < 0.04 and self.faults:
            await getattr(self, self.chance.choice(self.faults))()
        elif what < 0.07:
            self.append(self.chance.randint(1, 2))
        elif what < 0.75 and self.gates:
            self.open(self.chance.choice(self.gates), is_lost=False)
        else:
            await asyncio.sleep(self.chance.choice((0.02, 0.3, 1.0)))

    async def settle(self) -> None:
        """Run until every task waits for a gate or a timer."""
        for _ in range(SETTLE):
            await asyncio.sleep(0)
        for slot, worker in enumerate(self.workers):
            if worker is not None and worker.tasks[0].done():
                self.workers[slot] = None
                self._note_end(worker, worker.tasks[0].exception())
                await self._end(worker)

    def _note_end(self, worker: Worker, error: BaseException | None) -> None:
        if isinstance(error, RecoveryError):
            self.stops.append(str(error))
            charge, is_blind = self.checker.charge, worker.plan is None or bool(self.lacks)
            is_right = charge is not None and charge.number > 0 and is_blind
            self.checker.require(fact=bool(is_right), otherwise=f"STOP without a cause: {error}")
        elif not isinstance(error, FencedError | UnavailableError):
            self.checker.require(fact=False, otherwise=f"a worker ended with {error!r}")

    async def gate(self, worker: Worker, name: str, stage: str) -> bool:
        """Wait for the driver; return whether the answer is lost."""
        gate = Gate(worker, name, stage, self.loop.create_future())
        self.gates.append(gate)
        try:
            return await gate.opened
        finally:
            if gate in self.gates:
                self.gates.remove(gate)

    def open(self, gate: Gate, *, is_lost: bool) -> None:
        """Let a call continue."""
        self.gates.remove(gate)
        if not gate.opened.done():
            gate.opened.set_result(is_lost)

    # Workers and faults

    async def assign(self, slot: int) -> None:
        """Assign the partition to a slot, in a new generation; the other worker may continue."""
        await self.crash(slot)
        self.broker.generation += 1
        lacks = self.lacks if slot else frozenset()
        self.workers[slot] = Worker(self, self.own[slot], set(lacks))

    async def crash(self, slot: int) -> None:
        """End a worker at once."""
        worker, self.workers[slot] = self.workers[slot], None
        if worker is not None:
            await self._end(worker)

    async def _end(self, worker: Worker) -> None:
        tasks = list(worker.tasks)
        candidate = worker.folds._candidate
        if candidate is not None:
            tasks.append(candidate.task)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self.gates = [gate for gate in self.gates if gate.worker is not worker]

    async def rebalance(self) -> None:
        """Give the partition to a slot; the other worker becomes a zombie."""
        await self.assign(self.chance.randint(0, 1))

    async def die(self) -> None:
        """Let both workers die, and start one."""
        slot = self.chance.randint(0, 1)
        await self.crash(1 - slot)
        await self.assign(slot)

    async def lose_answer(self) -> None:
        """Lose the answer of a call that has taken effect."""
        after = [gate for gate in self.gates if gate.stage == "after"]
        if after:
            self.open(self.chance.choice(after), is_lost=True)

    async def lose_states(self) -> None:
        """Empty the states of a fold."""
        self.chance.choice(self.stores).restore(MemoryStore())

    async def lose_plan(self) -> None:
        """Delete the plan and the bundles."""
        self.plans.plan = None
        self.plans.bundles.clear()

    async def lose_redis(self) -> None:
        """Delete everything in Redis."""
        await self.lose_plan()
        for store in self.stores:
            store.restore(MemoryStore())

    async def back_up(self) -> None:
        """Remember what Redis has."""
        plans = self.plans.plan, dict(self.plans.bundles)
        self.backup = [store.copy() for store in self.stores], *plans

    async def fall_back(self) -> None:
        """Restore an older Redis."""
        if self.backup is not None:
            for store, older in zip(self.stores, self.backup[0], strict=True):
                store.restore(older)
            self.plans.plan, self.plans.bundles = self.backup[1], dict(self.backup[2])

    async def time_out(self) -> None:
        """Let an open transaction time out."""
        self.broker.time_out()

    def append(self, offsets: int) -> None:
        """Append the next offsets of the log."""
        end = min((self.log.end_offset or 0) + offsets, len(self.plan))
        self.log.end_offset = end
        self.log.records[:] = [r for r in records(self.plan) if r.offset < end]

    # A person

    async def start(self) -> None:
        """Start a roll-out with both bundles, unless one is open."""
        plan = await self.plans.read()
        if plan is None or plan.stage == "over":
            for model in MODELS:
                await self.plans.put_bundle(model.fingerprint, BundleBytes(b"", b""))
            names = zip(self.ids, MODELS, strict=True)
            folds = tuple(FoldName(fold_id=i, fingerprint=m.fingerprint) for i, m in names)
            new = Plan(folds=folds) if plan is None else plan.followed_by(folds, 0, "")
            assert await self.plans.write(plan, new)
            self.done.append("start")

    async def promote(self) -> None:
        """Promote the fold that is not in charge, or cancel a pending promote."""
        plan, known = await self.plans.read(), self.log.group
        if plan is None or plan.stage != "open" or known is None or known.fold_id is None:
            return
        pending = plan.pending(0, known.number)
        fold = known.fold_id
        if pending is None or (pending.fold_id == fold and self.chance.random() < 0.5):
            fold = next(other for other in self.ids if other != known.fold_id)
        origin = self.stores[self.ids.index(fold)].stored.origin
        if fold != known.fold_id and origin is None:
            return
        seen = origin if self.names_origins else None
        await self._request(plan, plan.with_request("promote", 0, fold, known, seen))

    async def abandon(self) -> None:
        """Let the own bundles of the workers take over, if no worker has the fold in charge."""
        plan, known = await self.plans.read(), self.log.group
        if plan is None or known is None or not known.number or known.fold_id is None:
            return
        if plan.pending(0, known.number) is None and self.own == (0, 0):
            await self._request(plan, plan.with_request("abandon", 0, self.ids[0], known))

    async def end_roll_out(self) -> None:
        """Finish with the fold in charge, and drop the states of the other one."""
        plan, known = await self.plans.read(), self.log.group
        if plan is None or plan.stage != "open" or known is None or known.fold_id is None:
            return
        request = plan.requests.get(0)
        if request is not None and request.kind == "finish" and request.number == known.number:
            dropping = plan.with_dropping({0: known})
            assert await self.plans.write(plan, dropping)
            store = self.stores[1 - self.ids.index(known.fold_id)]
            await store.drop_seen(await store.read())
            assert await self.plans.write(dropping, dropping.with_end())
            self.done.append("finish")
        elif plan.pending(0, known.number) is None:
            await self._request(plan, plan.with_request("finish", 0, known.fold_id, known))

    async def _request(self, seen: Plan, plan: Plan) -> None:
        request = plan.requests[0]
        self.checker.asked.add((request.fold_id, request.number, request.origin))
        assert await self.plans.write(seen, plan)
        self.done.append(request.kind)

    # The end

    async def finish(self) -> None:
        """Check that everything is published, and the last request carried out, without more faults."""
        self.append(len(self.plan))
        for slot in (0, 1):
            await self.crash(slot)
        self.broker.complete()
        charge = self.checker.charge
        if charge is not None and charge.number and self.plans.plan is None:
            await self.start()  # the remedy of a lost plan
        await self.assign(0)
        for _ in range(4000):
            await self.settle()
            if self.checker.violations or self.workers[0] is None or await self._is_finished():
                break
            if self.gates:
                self.open(self.chance.choice(self.gates), is_lost=False)
            else:
                await asyncio.sleep(0.3)
        self.broker.complete()
        is_finished = await self._is_finished()
        state = self.checker.charge, self.plans.plan, [s.stored.position for s in self.stores]
        self.checker.require(fact=is_finished, otherwise=f"no progress: {state} {self.stops}")

    async def _is_finished(self) -> bool:
        charge, plan = self.checker.charge, await self.plans.read()
        if charge is None or charge.offset != len(self.plan):
            return False
        store = self.stores[self.ids.index(charge.fold_id)]
        if store.stored.position != len(self.plan):
            return False
        pending = plan.pending(0, charge.number) if plan is not None else None
        if pending is None or plan is None or plan.stage != "open" or pending.kind == "abandon":
            return True
        other = self.stores[self.ids.index(pending.fold_id)].stored
        is_stale = pending.kind == "finish" and pending.fold_id != charge.fold_id
        is_unseen = pending.origin not in (None, other.origin)
        return is_stale or (pending.fold_id != charge.fold_id and is_unseen)
