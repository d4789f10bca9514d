"""A model of one partition with two workers and two folds, in which chance determines the order of all calls.

Every call to Redis, Kafka and the source waits until the driver lets it take effect, and may wait
again before its answer.  Between two calls run the real :class:`PartitionFolds`, processors and
recoveries, in virtual time.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from stream_rnn.errors import FencedError, RecoveryError, UnavailableError
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.recovery import RecoveryOptions
from stream_rnn.rollout.plan_store import MemoryPlanStore
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.testing import MemoryLog
from tests.property.broker import Broker
from tests.property.gates import VirtualTimeLoop
from tests.property.invariants import Plan as LogPlan
from tests.property.invariants import records
from tests.property.protocol import build_settings
from tests.property.rollout_checker import MODELS, Checker
from tests.property.rollout_person import Person
from tests.property.rollout_worker import Gate, Worker

SETTLE = 25  # turns of the loop after which every task waits for a gate or a timer


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
        self.lost: set[str] = set()  # group offset, plan
        self.backup: Any = None
        self.person = Person(self)
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
            name = self.chance.choice(self.faults)
            await getattr(self.person if hasattr(Person, name) else self, name)()
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
            is_right = is_right or ("were removed" in str(error) and self._has_lost_history())
            self.checker.require(fact=bool(is_right), otherwise=f"STOP without a cause: {error}")
        elif not isinstance(error, FencedError | UnavailableError):
            self.checker.require(fact=False, otherwise=f"a worker ended with {error!r}")

    def _has_lost_history(self) -> bool:
        """Return whether the fold in charge can neither go on nor be built again."""
        charge, first = self.checker.charge, self.log.log_start_offset
        if charge is None or charge.offset < first:
            return charge is not None
        stored = self.stores[self.ids.index(charge.fold_id)].stored
        is_there = stored.position is not None and stored.origin == charge.origin
        return charge.origin < first and not (is_there and stored.position >= first)

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
        self.lost.add("plan")
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

    async def lose_group_offset(self) -> None:
        """Let the group offset expire, which Kafka does only while the group has no member."""
        for slot in (0, 1):
            await self.crash(slot)
        self.broker.time_out()
        self.broker.complete()
        if self.log.group is not None:
            self.lost.add("group offset")
        self.log.group = None
        await self.assign(self.chance.randint(0, 1))

    async def lose_group_offset_and_redis(self) -> None:
        """Lose both at once."""
        await self.lose_redis()
        await self.lose_group_offset()

    async def overtake_candidate(self) -> None:
        """Let retention pass the candidate, and not the fold in charge."""
        charge = self.checker.charge
        if charge is not None:
            active = self.ids.index(charge.fold_id)
            position = self.stores[active].stored.position
            self._remove_before(min(charge.offset, position or 0))

    async def overtake(self) -> None:
        """Let retention remove some records, whoever needs them."""
        self._remove_before(self.log.log_start_offset + self.chance.randint(1, 2))

    def _remove_before(self, offset: int) -> None:
        self.log.log_start_offset = min(
            max(offset, self.log.log_start_offset), self.log.end_offset or 0
        )
        self.checker.origins.add(self.log.log_start_offset)

    async def time_out(self) -> None:
        """Let an open transaction time out."""
        self.broker.time_out()

    def append(self, offsets: int) -> None:
        """Append the next offsets of the log."""
        end = min((self.log.end_offset or 0) + offsets, len(self.plan))
        self.log.end_offset = end
        self.log.records[:] = [r for r in records(self.plan) if r.offset < end]

    # The end

    async def finish(self) -> None:
        """Check that everything is published, and the last request carried out, without more faults."""
        self.append(len(self.plan))
        for slot in (0, 1):
            await self.crash(slot)
        self.broker.complete()
        charge = self.checker.charge
        if charge is not None and charge.number and self.plans.plan is None:
            await self.person.start()  # the remedy of a lost plan
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
        if self.workers[0] is None and self._has_lost_history():
            return True  # it has stopped, and a person must decide
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
