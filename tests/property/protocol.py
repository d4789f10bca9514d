"""A model of one partition with two workers, in which a test determines the order of all calls.

The caller of :class:`World` determines which worker passes its gate, whether an answer is lost and
whether an effect comes late.  Between two gates, the real :class:`Processor` runs with the real
:class:`Recovery` and :class:`StateCache`, in virtual time.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from stream_rnn.errors import FencedError, RecoveryError, StreamRNNError, UnavailableError
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.outputs import PublishedOutputs
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.recovery import Facts, RecoveryOptions, Start, Stop, where_to_start
from stream_rnn.fold.recovery_facts import Recovery
from stream_rnn.settings import Settings
from stream_rnn.store.cache import StateCache
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.testing import MemoryLog
from tests import models
from tests.property.broker import Broker, IdempotentPublisher, TransactionalPublisher
from tests.property.gates import (
    GATES_MAX,
    GatedCalls,
    GatedSource,
    Outcome,
    VirtualTimeLoop,
    Worker,
)
from tests.property.invariants import InvariantChecker, Plan, records

RETRY_S = 10.0
STOPS_AT_OFFSET = "was not written by stream_rnn|is behind the position"
LATE = {"store.start", "store.commit", "publisher.commit"}  # calls whose effect can come late


@dataclass(frozen=True)
class Components:
    """The classes that a world uses; a seeded bug replaces one of them."""

    processor: type[Processor] = Processor
    recovery: type[Recovery] = Recovery
    cache: type[StateCache] = StateCache
    store: type[MemoryStore] = MemoryStore
    log: type[MemoryLog] = MemoryLog
    publisher: type[TransactionalPublisher] | None = None


def report_starts_to(recovery: type[Recovery], checker: InvariantChecker) -> type[Recovery]:
    """Return a subclass of a recovery that reports each start to the checker."""

    class ReportingRecovery(recovery):
        async def find(self, acknowledged=None, *, is_corrupt=False) -> tuple[Facts, Start]:
            facts, start = await super().find(acknowledged, is_corrupt=is_corrupt)
            checker.note_start(facts, start)
            return facts, start

    return ReportingRecovery


class World:
    """Kafka, Redis and two workers of one partition.

    Args:
        plan: Plan of the source log.
        shown: Number of offsets that the log has at first.
        configured: Settings with delivery and ``on_lost_history``.
        components: Classes to use.
    """

    def __init__(
        self, plan: Plan, shown: int, configured: Settings, components: Components
    ) -> None:
        self.plan = plan
        self.configured = configured
        self.components = components
        self.loop = VirtualTimeLoop()
        self.changed = asyncio.Event()
        self.checker = InvariantChecker(plan, is_exact=configured.delivery == "exactly_once")
        self.log = components.log([], end_offset=0)
        self.store = components.store()
        self.broker = Broker(self.log, self.checker, self.loop.time)
        self.model = models.small("elman")
        self.fold_id = fold_id(self.model.fingerprint, configured)
        self.options = RecoveryOptions("earliest", configured.on_lost_history)
        self.workers: list[Worker | None] = [None, None]
        self.owner = 0
        self.late: list[Callable[[], Awaitable[Any]]] = []
        self.backup: MemoryStore | None = None
        self.has_stopped = False
        self.is_final = False
        self.append(shown)

    # Workers

    def assign(self, slot: int) -> Worker:
        """Assign the partition to a slot, in a new generation; the other worker may continue."""
        self.crash(slot)
        self.broker.generation += 1
        self.owner = slot
        worker = self.workers[slot] = self._make_worker()
        worker.task = self.loop.create_task(worker.processor.run())
        worker.task.add_done_callback(lambda _: self.changed.set())
        self._run_until_quiet()
        return worker

    def advance(
        self,
        slot: int,
        gates: int = 1,
        *,
        until: str | None = None,
        outcome: Outcome = Outcome.PASS,
    ) -> None:
        """Let a worker pass some gates, or continue to the gate before a call."""
        worker = self.workers[slot]
        if worker is None or (until is not None and worker.at == (until, "before")):
            return
        worker.open(outcome, gates, until)
        self._run_until_quiet()

    def lose_answer(self, slot: int) -> None:
        """Let a worker's call take effect, if it has not yet, and lose its answer."""
        self.advance(slot, 2, outcome=Outcome.LOSE)

    def delay_write(self, slot: int) -> bool:
        """Delay a worker's write, without an answer; return whether there was a write."""
        worker = self.workers[slot]
        if worker is None or worker.at is None or worker.at[1] != "before":
            return False
        if worker.at[0] not in LATE:
            return False
        self.advance(slot, 1, outcome=Outcome.DELAY)
        return True

    def land_write(self) -> None:
        """Let the oldest delayed write take effect."""

        async def arrive(effect: Callable[[], Awaitable[Any]]) -> None:
            try:
                await effect()
            except StreamRNNError:
                pass  # no worker waits for the answer

        if self.late:
            self.loop.run_until_complete(arrive(self.late.pop(0)))

    def crash(self, slot: int) -> None:
        """End a worker at its gate."""
        worker, self.workers[slot] = self.workers[slot], None
        if worker is not None:
            worker.task.cancel()
            self.loop.run_until_complete(asyncio.wait([worker.task]))

    # Kafka

    def append(self, offsets: int) -> None:
        """Append the next offsets of the plan."""
        end = min((self.log.end_offset or 0) + offsets, len(self.plan))
        self.log.end_offset = end
        self.log.records[:] = [r for r in records(self.plan) if r.offset < end]

    def retain(self, log_start: int) -> None:
        """Remove the records below an offset."""
        end = self.log.end_offset or 0
        self.log.log_start_offset = max(self.log.log_start_offset, min(log_start, end))

    def lose_group_offset(self) -> None:
        """Let the group offset expire after a long time without workers and pending writes."""
        self.crash(0)
        self.crash(1)
        self.late.clear()
        self.broker.complete()
        self.log.group, self.backup = None, None
        self.checker.is_group_lost = True

    def commit_foreign_offset(self, offset: int) -> None:
        """Let another consumer of the group commit an offset."""
        self.broker.commit_foreign_offset(offset)

    # Redis

    def lose_states(self, what: str) -> None:
        """Lose everything, the position, one hidden state, or the writes since the backup."""
        store = self.store
        if what == "all" or (what == "backup" and self.backup is None):
            store.restore(MemoryStore())
        elif what == "position":
            store.stored = MemoryStore().stored
        elif what == "state" and store.states:
            store.states.pop(min(store.states))
        elif what == "backup":
            store.restore(self.backup)

    # Checks

    def check_redis(self) -> None:
        """Check the content of Redis."""
        self.checker.check_redis(self.store, self.broker.decided, self.broker.log_end)

    async def decide_start(self) -> Start | Stop:
        """Return where a worker has to start, from the actual state of Kafka and Redis."""
        last = await self.log.last_output()
        s, e, stored = self.log.log_start_offset, self.broker.log_end, self.store._read_position()
        pending = self.broker.transaction
        is_decided = pending is not None and pending.decided_s is not None
        facts = Facts(
            place="",
            fold_id=self.fold_id,
            log_start=s,
            log_end=e,
            stored=stored,
            group_offset=self.broker.decided,
            acknowledged=pending.offset if is_decided else None,
            last_output=last,
        )
        return where_to_start(facts, self.options)

    def finish(self) -> None:
        """Check that a new worker folds and publishes everything without any further fault."""
        self.crash(0)
        self.crash(1)
        while self.late:
            self.land_write()
        self.append(len(self.plan))
        self.is_final = True
        self._run_to_the_end()
        if self.has_stopped and self.checker.replaced is not None:
            self.lose_group_offset()  # the remedy of row 10
            self._run_to_the_end()
        if not self.has_stopped:
            self.checker.check_finished(self.store.stored.position, self.log.group)

    def _run_to_the_end(self) -> None:
        self.has_stopped = False
        self.assign(0)
        self.advance(0, GATES_MAX)
        self.broker.complete()
        self.check_redis()

    def close(self) -> None:
        """End both workers and close the loop."""
        self.crash(0)
        self.crash(1)
        self.loop.close()

    def _make_worker(self) -> Worker:
        worker, components, configured = (
            Worker(self, self.broker.generation),
            self.components,
            self.configured,
        )
        is_exact = configured.delivery == "exactly_once"
        publisher = components.publisher or (
            TransactionalPublisher if is_exact else IdempotentPublisher
        )
        store = GatedCalls(worker, "store", UnavailableError)
        log = GatedCalls(worker, "log", FencedError)
        find = report_starts_to(components.recovery, self.checker)
        clock = self.loop.time
        worker.processor = components.processor(
            model=self.model,
            settings=configured,
            partition=0,
            fold_id=self.fold_id,
            source=GatedSource(worker),
            store=store,
            publisher=publisher(worker, self.broker),
            recovery=find("events[0]", self.fold_id, store, log, self.options, RETRY_S, clock),
            sink=PublishedOutputs(self.model, configured, 0, self.fold_id),
            cache=components.cache(self.model.state_size_floats, 10_000),
            clock=clock,
        )
        return worker

    def _run_until_quiet(self) -> None:
        """Run until each worker waits at a gate or has ended."""
        self.loop.run_until_complete(self._quiet())
        for slot, worker in enumerate(self.workers):
            if worker is not None and worker.task.done():
                self.workers[slot] = None
                self._check_end(worker, worker.task.exception())

    async def _quiet(self) -> None:
        while not all(worker.is_quiet for worker in self.workers if worker is not None):
            self.changed.clear()
            await self.changed.wait()

    def _check_end(self, worker: Worker, error: BaseException | None) -> None:
        if isinstance(error, RecoveryError):
            self.has_stopped = True
            if self.checker.replaced is not None and re.search(STOPS_AT_OFFSET, str(error)):
                return
            now = self.loop.run_until_complete(self.decide_start())
            stops = [s for s in (worker.seen, now) if isinstance(s, Stop) and s.row in (5, 7)]
            self.checker.require(
                fact=bool(stops), otherwise=f"a worker stopped without a cause: {error}"
            )
        elif not isinstance(error, FencedError | UnavailableError | None):
            self.checker.require(fact=False, otherwise=f"a worker ended with {error!r}")


def build_settings(delivery: str, on_lost_history: str) -> Settings:
    """Return settings with small bounds."""
    return Settings.build(
        app="app",
        source="events",
        predictions="out",
        delivery=delivery,
        on_lost_history=on_lost_history,
        batch_events_max=2,
        redis_retry_s=2.0,
    )
