"""One partition, two workers and everything that may happen to them, one call at a time.

Whoever holds the :class:`World` decides which worker passes its gate, whether an answer is lost and
whether an effect comes late; between two gates runs the real :class:`Processor` with the real
:class:`Recovery` and :class:`StateCache`, in virtual time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from stream_rnn.errors import FencedError, RecoveryError, StreamRNNError, UnavailableError
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.outputs import PublishedOutputs
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.recovery import Choices, Facts, Start, Stop, where_to_start
from stream_rnn.fold.recovery_facts import Recovery
from stream_rnn.settings import Settings
from stream_rnn.store.cache import StateCache
from stream_rnn.store.memory_store import MemoryStore
from stream_rnn.testing import MemoryLog
from tests import models
from tests.property.broker import Broker, IdempotentPublisher, TransactionalPublisher
from tests.property.gates import GATES_MAX, Gated, GatedSource, Outcome, VirtualTimeLoop, Worker
from tests.property.judge import Judge, Plan, records

PATIENCE_S = 10.0
LATE = {"store.start", "store.commit", "publisher.commit"}  # calls whose effect may come late


@dataclass(frozen=True)
class Kit:
    """What a world is made of; a seeded bug is a kit with one part broken."""

    processor: type[Processor] = Processor
    recovery: type[Recovery] = Recovery
    cache: type[StateCache] = StateCache
    store: type[MemoryStore] = MemoryStore
    log: type[MemoryLog] = MemoryLog
    publisher: type[TransactionalPublisher] | None = None


def watched(recovery: type[Recovery], judge: Judge) -> type[Recovery]:
    """Return a recovery that tells the judge what it decides."""

    class Watched(recovery):
        async def find(self, acknowledged=None, *, is_corrupt=False) -> tuple[Facts, Start]:
            facts, start = await super().find(acknowledged, is_corrupt=is_corrupt)
            judge.decided(facts, start)
            return facts, start

    return Watched


class World:
    """Kafka, Redis and two workers of one partition.

    Args:
        plan: the source log.
        shown: offsets that are appended at first.
        configured: delivery and ``on_lost_history``.
        kit: what it is made of.
    """

    def __init__(self, plan: Plan, shown: int, configured: Settings, kit: Kit) -> None:
        self.plan = plan
        self.configured = configured
        self.kit = kit
        self.loop = VirtualTimeLoop()
        self.changed = asyncio.Event()
        self.judge = Judge(plan, is_exact=configured.delivery == "exactly_once")
        self.log = kit.log([], end_offset=0)
        self.store = kit.store()
        self.broker = Broker(self.log, self.judge, self.loop.time)
        self.model = models.small("elman")
        self.fold_id = fold_id(self.model.fingerprint, configured)
        self.choices = Choices("earliest", configured.on_lost_history)
        self.workers: list[Worker | None] = [None, None]
        self.owner = 0
        self.late: list[Callable[[], Awaitable[Any]]] = []
        self.backup: MemoryStore | None = None
        self.has_stopped = False
        self.is_final = False
        self.append(shown)

    # What a worker does

    def assign(self, slot: int) -> Worker:
        """Give the partition to a slot, in a new generation; the other slot's may go on."""
        self.crash(slot)
        self.broker.generation += 1
        self.owner = slot
        worker = self.workers[slot] = self._make()
        worker.task = self.loop.create_task(worker.processor.run())
        worker.task.add_done_callback(lambda _: self.changed.set())
        self._settle()
        return worker

    def advance(
        self,
        slot: int,
        gates: int = 1,
        *,
        until: str | None = None,
        outcome: Outcome = Outcome.PASS,
    ) -> None:
        """Let a worker pass some gates, or up to the gate before a call."""
        worker = self.workers[slot]
        if worker is None or (until is not None and worker.at == (until, "before")):
            return
        worker.open(outcome, gates, until)
        self._settle()

    def lose(self, slot: int) -> None:
        """Let a worker's call take effect, if it did not yet, and lose its answer."""
        self.advance(slot, 2, outcome=Outcome.LOSE)

    def delay(self, slot: int) -> bool:
        """Let a worker's write stay on its way, unanswered."""
        worker = self.workers[slot]
        if worker is None or worker.at is None or worker.at[1] != "before":
            return False
        if worker.at[0] not in LATE:
            return False
        self.advance(slot, 1, outcome=Outcome.DELAY)
        return True

    def land(self) -> None:
        """Let the oldest late write arrive."""

        async def arrive(effect: Callable[[], Awaitable[Any]]) -> None:
            try:
                await effect()
            except StreamRNNError:
                pass  # nobody waits for the answer

        if self.late:
            self.loop.run_until_complete(arrive(self.late.pop(0)))

    def crash(self, slot: int) -> None:
        """End a worker where it is."""
        worker, self.workers[slot] = self.workers[slot], None
        if worker is not None:
            worker.task.cancel()
            self.loop.run_until_complete(asyncio.wait([worker.task]))

    # What happens to Kafka

    def append(self, offsets: int) -> None:
        """Append what the plan has next."""
        end = min((self.log.end_offset or 0) + offsets, len(self.plan))
        self.log.end_offset = end
        self.log.records[:] = [r for r in records(self.plan) if r.offset < end]

    def retain(self, log_start: int) -> None:
        """Remove the records below an offset."""
        end = self.log.end_offset or 0
        self.log.log_start_offset = max(self.log.log_start_offset, min(log_start, end))

    def lose_group_offset(self) -> None:
        """Let the offset of an empty group expire, long after everything else has come to rest."""
        self.crash(0)
        self.crash(1)
        self.late.clear()
        self.broker.complete()
        self.log.group, self.backup = None, None
        self.judge.is_group_lost = True

    # What happens to Redis

    def lose_states(self, what: str) -> None:
        """Lose everything, the position, one hidden state, or what was written since the backup."""
        store = self.store
        if what == "all" or (what == "backup" and self.backup is None):
            store.restore(MemoryStore())
        elif what == "position":
            store.stored = MemoryStore().stored
        elif what == "state" and store.states:
            store.states.pop(min(store.states))
        elif what == "backup":
            store.restore(self.backup)

    # What must hold

    def look(self) -> None:
        """Let the judge look at Redis."""
        self.judge.folded(self.store, self.broker.decided, self.broker.log_end)

    async def truth(self) -> Start | Stop:
        """Decide where to start from what is true now."""
        last = await self.log.last_prediction()
        s, e, held = self.log.log_start_offset, self.broker.log_end, self.store._read_position()
        facts = Facts("", self.fold_id, s, e, held, self.broker.decided, last_prediction=last)
        return where_to_start(facts, self.choices)

    def finish(self) -> None:
        """Without any further fault, a fresh worker folds and publishes everything."""
        self.crash(0)
        self.crash(1)
        while self.late:
            self.land()
        self.append(len(self.plan))
        self.is_final, self.has_stopped = True, False
        self.assign(0)
        self.advance(0, GATES_MAX)
        self.broker.complete()
        self.look()
        if not self.has_stopped:
            self.judge.finished(self.store.stored.position, self.log.group)

    def close(self) -> None:
        """End everything."""
        self.crash(0)
        self.crash(1)
        self.loop.close()

    def _make(self) -> Worker:
        worker, kit, configured = Worker(self, self.broker.generation), self.kit, self.configured
        is_exact = configured.delivery == "exactly_once"
        publisher = kit.publisher or (TransactionalPublisher if is_exact else IdempotentPublisher)
        store = Gated(worker, "store", UnavailableError)
        log = Gated(worker, "log", FencedError)
        find = watched(kit.recovery, self.judge)
        clock = self.loop.time
        worker.processor = kit.processor(
            model=self.model,
            settings=configured,
            partition=0,
            fold_id=self.fold_id,
            source=GatedSource(worker),
            store=store,
            publisher=publisher(worker, self.broker),
            recovery=find("events[0]", self.fold_id, store, log, self.choices, PATIENCE_S, clock),
            sink=PublishedOutputs(self.model, configured, 0, self.fold_id),
            cache=kit.cache(self.model.hidden_size_floats, 10_000),
            clock=clock,
        )
        return worker

    def _settle(self) -> None:
        """Run until every worker waits at a gate or has ended."""
        self.loop.run_until_complete(self._quiet())
        for slot, worker in enumerate(self.workers):
            if worker is not None and worker.task.done():
                self.workers[slot] = None
                self._ended(worker, worker.task.exception())

    async def _quiet(self) -> None:
        while not all(worker.is_quiet for worker in self.workers if worker is not None):
            self.changed.clear()
            await self.changed.wait()

    def _ended(self, worker: Worker, error: BaseException | None) -> None:
        if isinstance(error, RecoveryError):
            self.has_stopped = True
            now = self.loop.run_until_complete(self.truth())
            found = [t for t in (worker.seen, now) if isinstance(t, Stop) and t.row in (5, 7)]
            self.judge.require(fact=bool(found), otherwise=f"STOP without a cause: {error}")
        elif not isinstance(error, FencedError | UnavailableError | None):
            self.judge.require(fact=False, otherwise=f"ended by {error!r}")


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
