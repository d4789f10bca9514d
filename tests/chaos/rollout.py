"""The person of a roll-out: starts one, promotes back and forth, and finishes, while faults happen.

Each verb is the package's own, with clients that bypass the proxies.  A verb that is refused, or
finds a server away, is tried again, as a person does; how often is counted.  Where workers stop
because a bundle is lost, the person does what the run book says: start one that has it.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from stream_rnn.errors import StreamRNNError
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.model.bundle import load_bundle
from stream_rnn.operate import rollout_requests as requests
from stream_rnn.operate import rollout_start
from stream_rnn.operate.rollout_status import OpenRollout, Status, open_rollout
from stream_rnn.operate.rollout_waits import wait_for
from stream_rnn.rollout.plan import Plan
from stream_rnn.settings import Settings
from tests.chaos.crew import Crew, Worker
from tests.chaos.dying_tool import DyingRollout, ToolDiedError

STEP_WITHIN_S = 60  # for one verb with its clients; servers may be down meanwhile
CARRIED_OUT_WITHIN_S = 15
RESCUE_AFTER_S = 12  # of refusals, after which the person starts a worker with the new bundle
SETTLED_WITHIN_S = 150
STAGES = ("starting", "warming", "promoting", "going back", "finishing")
AWAY = (StreamRNNError, KafkaError, RedisError, TimeoutError, OSError)
STOPPED = r"cut-over \d+ has put the fold"
"""What a worker without the bundle in charge says when it stops."""


@dataclass(slots=True)
class RollOut:
    """The person, and what became of each verb.

    Attributes:
        settings: Settings of the workers, with addresses that bypass the proxies.
        redis_url: Function that returns the present URL of Redis, which a failover changes.
        bundles: Paths of the old and the new bundle.
        crew: Workers.
        note: Callback with a text for each step.
        draw: Random numbers.
        finishes: Share of steps that finish the roll-out instead of promoting.
        stage: What the person waits for: ``starting``, ``warming``, ``promoting``, ``going back``,
            ``finishing``, or ``idle``.
        promotes: Number of promotes, of all partitions at once, that were carried out.
        done: Number of verbs that succeeded, by name.
        refused: Number of verbs that did not, by name and error.
        partitions_done: Number of requests to promote that were carried out, by partition.
        gate: Lock that the person holds during a verb; a fault that holds it has the workers alone.
    """

    settings: Settings
    redis_url: Callable[[], str]
    bundles: list[str]
    crew: Crew
    note: Callable[[str], None]
    draw: random.Random
    finishes: float = 0.04
    stage: str = "idle"
    promotes: int = 0
    done: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    partitions_done: Counter = field(default_factory=Counter)
    last_refusal: str = ""
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)
    _given: int = 1  # bundle with which a roll-out starts
    _wish: str = ""
    _is_stopping: bool = False
    _rescuer: Worker | None = None
    _calls: dict[str, int] = field(default_factory=dict)
    _refused_since: float | None = None

    @property
    def ids(self) -> list[str]:
        """Ids of the old and the new fold."""
        prints = (load_bundle(bundle).fingerprint for bundle in self.bundles)
        return [fold_id(fingerprint, self.settings) for fingerprint in prints]

    async def run(self) -> None:
        """Roll out, back and forth, until ``stop``, after which the current verb still ends."""
        while not self._is_stopping:
            async with self.gate:
                await self.step(self._choose)
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Stop after the current verb."""
        self._is_stopping = True

    async def settle(self) -> None:
        """Show, after the last fault, that each verb can still be carried out.

        Raises:
            AssertionError: The roll-out does not get on.
        """
        wanted = ["promote", "promote", *(["finish"] if self.draw.random() < 0.5 else [])]
        deadline = time.monotonic() + SETTLED_WITHIN_S
        for name in wanted:
            while True:
                before = self.done[name]
                await self.step(lambda _status, name=name: name)
                if self.done[name] > before:
                    break
                assert time.monotonic() < deadline, (
                    f"no {name} within {SETTLED_WITHIN_S} s after the last fault: "
                    f"{self.last_refusal}; {self.refused}"
                )

    async def until_candidates_follow(self) -> None:
        """Wait until both folds of an open roll-out have folded all that is published.

        Raises:
            AssertionError: A candidate does not get on.
        """
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while True:
            try:
                async with open_rollout(self._settings_of(1).of_fold()) as rollout:
                    status = await rollout.status()
            except AWAY as error:
                lags, self.last_refusal = [str(error)], str(error)
            else:
                folds = status.plan.fold_ids if status.plan and status.plan.stage == "open" else ()
                lags = [p.lag(fold) for p in status.partitions for fold in folds]
                if not any(lag != 0 for lag in lags):
                    return
            assert time.monotonic() < deadline, f"a candidate stays behind: {lags}"
            await asyncio.sleep(0.5)

    async def until(self, stage: str, timeout_s: float) -> bool:
        """Wait until the person is at a stage; return whether this came to be."""
        deadline = time.monotonic() + timeout_s
        while self.stage != stage:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    async def reach(self, stage: str, timeout_s: float) -> bool:
        """Bring a stage about, and wait until it is there; return whether it is."""
        if stage in ("starting", "warming", "finishing"):
            self._wish = "finish"
        return await self.until(stage, timeout_s)

    async def let_die(self, verb: str, calls: int, timeout_s: float) -> bool:
        """Let the tool die after some calls of Redis at a verb; return whether it did.

        A verb that has fewer calls is tried again with half as many.
        """
        name, deadline = f"{verb} {ToolDiedError.__name__}", time.monotonic() + timeout_s
        before = self.refused[name]
        while calls and time.monotonic() < deadline:
            self._calls[verb] = calls
            self._wish = "finish" if verb == "start" else verb
            while verb in self._calls and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            async with self.gate:  # the verb is over
                died = self.refused[name] > before
            self._calls.pop(verb, None)
            self.note(f"the tool dies after {calls} calls at {verb}: {died}")
            if died:
                return True
            calls //= 2
        return False

    async def step(self, choose: Callable[[Status], str]) -> None:
        """Do one verb; count and survive what refuses it."""
        name = "status"
        try:
            async with (
                asyncio.timeout(STEP_WITHIN_S),
                open_rollout(self._settings_of(self._given).of_fold()) as rollout,
            ):
                status = await rollout.status()
                name = self._needed(status.plan) or choose(status)
                calls = self._calls.pop(name, None)
                given = rollout if calls is None else DyingRollout.of(rollout, calls)
                await getattr(self, f"_{name}")(given, status)
        except AWAY as error:
            self.last_refusal = f"{name}: {type(error).__name__}: {error}"
            self.refused[f"{name} {type(error).__name__}"] += 1
            if name == "start":
                self._given = 1 - self._given  # the workers may have the new bundle as their own
            self._rescue(name)
            await asyncio.sleep(0.5)
        else:
            self._refused_since = None
        finally:
            self.stage = "idle"

    def _settings_of(self, bundle: int) -> Settings:
        return self.settings.replace(bundle=self.bundles[bundle], redis_url=self.redis_url())

    def _choose(self, _status: Status) -> str:
        if wish := self._wish:
            self._wish = ""
            return wish
        return "finish" if self.draw.random() < self.finishes else "promote"

    @staticmethod
    def _needed(plan: Plan | None) -> str:
        """Return the verb without which no other one is possible; empty if any is."""
        if plan is None or plan.stage == "over":
            return "start"
        return "finish" if plan.stage == "dropping" else ""

    async def _start(self, rollout: OpenRollout, _status: Status) -> None:
        self.stage = "starting"
        proposal = await rollout_start.propose(rollout, from_log_start=True)
        plan = await rollout_start.start(rollout, proposal)
        self.done["start"] += 1
        self.note(f"roll-out started: {' and '.join(plan.fold_ids)}")
        self.stage = "warming"
        await self._until_loaded(rollout)

    async def _until_loaded(self, rollout: OpenRollout) -> None:
        """Wait until the candidate has begun in each partition."""
        async with asyncio.timeout(CARRIED_OUT_WITHIN_S):
            while True:
                status = await rollout.status()
                plan = status.require_plan()
                if all(p.stored[i].position is not None for p in status.partitions for i in plan.fold_ids):  # fmt: skip
                    return
                await asyncio.sleep(0.2)

    async def _promote(self, rollout: OpenRollout, status: Status) -> None:
        """Promote the fold that is in charge of fewer partitions."""
        new = self.ids[1]
        count = sum(p.fold_id == new for p in status.partitions)
        is_back = count * 2 >= len(status.partitions)
        target = self.ids[0] if is_back else new
        self.stage = "going back" if is_back else "promoting"
        made = await requests.promote(rollout, target)
        failed = await wait_for(
            rollout, made, CARRIED_OUT_WITHIN_S, lambda p, _: self.partitions_done.update([p])
        )
        if failed:
            raise TimeoutError(f"promote of {target}: {failed}")
        self.promotes += 1
        self.done["promote"] += 1
        numbers = [request.number for request in made.values()]
        self.note(f"promoted {target}, numbers {numbers}")

    async def _finish(self, rollout: OpenRollout, _status: Status) -> None:
        self.stage = "finishing"
        dropped = await requests.finish(rollout, CARRIED_OUT_WITHIN_S)
        self.done["finish"] += 1
        self.note(f"finished, dropped {dropped}")

    def _rescue(self, verb: str) -> None:
        """Start a worker with the new bundle if a verb was refused for long."""
        now = time.monotonic()
        self._refused_since = now if verb == "status" else self._refused_since or now
        has_rescuer = self._rescuer is not None and self._rescuer.is_alive
        is_due = now - self._refused_since > RESCUE_AFTER_S
        if is_due and self.crew.may_stop and not has_rescuer:
            self._refused_since = None
            worker = self._rescuer = self.crew.start(bundle=self.bundles[1])
            self.note(f"{worker.name} has the new bundle, after: {self.last_refusal[:300]}")

    def report(self) -> dict[str, object]:
        """Return the figures."""
        return {
            "promotes": self.promotes,
            "requests carried out": sum(self.partitions_done.values()),
            "done": dict(self.done),
            "refused": dict(self.refused),
        }
