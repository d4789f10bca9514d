"""One episode: a log, workers and faults, until everything is published."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings
from tests.chaos.bundles import make_bundles
from tests.chaos.crew import OUR_SESSION_TIMEOUT_S, SESSION_TIMEOUT_S, Crew
from tests.chaos.episode_result import EpisodeResult, collect
from tests.chaos.faults import FAULTS, LANES, World
from tests.chaos.faults_of_registry import RETRY_S, TIMEOUT_S
from tests.chaos.log import Sender
from tests.chaos.plan import Plan
from tests.chaos.rollout import STEP_WITHIN_S, STOPPED, RollOut
from tests.chaos.servers import Servers
from tests.chaos.topics import Topics

FAULT_WITHIN_S = 240
SETTLED_WITHIN_S = 240
SENT_WITHIN_S = 480
PROMOTE_WITHIN_S = 20  # on average; a small micro-batch keeps the candidate behind under load
REST_RATE = 5000  # records sent per second after the last fault, while the workers keep up


def _settings_of(plan: Plan, app: str, servers: Servers, bundle: str) -> Settings:
    """Return the settings of the workers, with the servers' own addresses."""
    return Settings.build(
        app=app,
        source=f"{app}-in",
        predictions=f"{app}-out",
        bundle=bundle,
        bootstrap_servers=servers.bootstrap_servers,
        redis_url=servers.redis_url,
        delivery=plan.delivery,
        **plan.settings,
    )


def _worker_options(plan: Plan, settings: Settings, servers: Servers) -> dict[str, str]:
    """Return the options of the workers, which reach the servers by proxies."""
    options = {
        "app": settings.app,
        "source": settings.source,
        "predictions": settings.predictions,
        "bundle": settings.bundle,
        "bootstrap_servers": servers.proxied_kafka,
        "redis_url": servers.proxied_redis,
        "delivery": plan.delivery,
        "redis_timeout_s": "2",
        "redis_retry_s": "20",
        "kafka_timeout_s": "15",
        **{name: str(value) for name, value in plan.settings.items()},
    }
    if plan.is_framed:
        options["schema_registry_url"] = servers.registry.url
        options["schema_registry_timeout_s"] = str(TIMEOUT_S)
        options["schema_registry_retry_s"] = str(RETRY_S)
    return options


class Episode:
    """Runs a plan.

    Args:
        plan: Plan of the episode. If ``scripted`` is set, it replaces the plan's faults.
        app: App id, which prefixes all names on the servers.
        servers: Kafka and Redis.
        directory: Directory of bundles and logs.
        on_line: Callback with each line of the story.
        records_min: Minimum number of records to send, even if the faults end earlier.
    """

    def __init__(
        self,
        plan: Plan,
        app: str,
        servers: Servers,
        directory: Path,
        on_line: Callable[[str], None],
        records_min: int = 0,
    ) -> None:
        self.plan = plan
        self._records_min = records_min
        self.promotes_min = 0
        self.servers = servers
        self._on_line = on_line
        self._began = time.monotonic()
        self._c: dict[int, int] = {}
        self._lag = 0
        self._lanes = {lane: asyncio.Lock() for lane in LANES}
        self.scripted: Callable[[], Awaitable[None]] | None = None
        bundles = make_bundles(directory / "bundles", overflows=plan.overflows)
        self.settings = _settings_of(plan, app, servers, bundles[0])
        if plan.is_framed:
            self.schemas = directory / f"{app}.schemas.jsonl"  # written at the end, for the oracle
            self.settings = self.settings.replace(schemas=str(self.schemas))
        self.topics = Topics(self.settings, plan.log.partitions)
        self.result = EpisodeResult(plan, self.settings, bundles)
        options = _worker_options(plan, self.settings, servers)
        logs = directory / app
        logs.mkdir(parents=True)
        session_s = SESSION_TIMEOUT_S if servers.own_kafka else OUR_SESSION_TIMEOUT_S
        draw = random.Random(plan.seed)
        self.crew = Crew(options, logs, plan.workers, draw, self.note, session_s)
        self.rollout: RollOut | None = None
        if plan.rolls_out:
            person = random.Random(f"{plan.seed} person")
            self.rollout = RollOut(
                self.settings, lambda: servers.redis_url, bundles, self.crew, self.note, person
            )

    def note(self, text: str) -> None:
        """Add a line to the story."""
        self.result.story.append((time.monotonic() - self._began, text, dict(self._c)))
        self._on_line(f"{self.result.story[-1][0]:7.1f} s  {text}")

    async def run(self) -> EpisodeResult:
        """Run the episode; return its topics and states for the oracle."""
        self.note(f"{self.plan}")
        await self.topics.create(self.servers.replication)
        encode = {"encode": self.servers.writers.encode} if self.plan.is_framed else {}
        where = self.settings.source, self.servers.bootstrap_servers
        sender = Sender(self.plan.log, *where, self.plan.rate, **encode)
        self.crew.tend()
        background = [
            asyncio.create_task(self.crew.tend_forever()),
            asyncio.create_task(self._track_group_offsets()),
            asyncio.create_task(sender.run()),
        ]
        if self.rollout is not None:
            background.append(asyncio.create_task(self.rollout.run()))
        try:
            await self._await_with(background, self._inject_all())
            await self._await_with(background, self._wait_until_sent(sender))
            if self.rollout is not None:
                await self._end_roll_out(self.rollout, background)
            sender.stop()
            await self._await_with(background[:2], asyncio.wait_for(background[2], 60))
            self.note(f"{sender.sent} records sent, {sender.aborted} aborted")
            if self.rollout is not None:
                await self._await_with(background[:2], self.rollout.settle())
                self.result.rollout = self.rollout.report()
            await self._await_with(background[:2], self._wait_until_published())
            if self.rollout is not None:
                await self._await_with(background[:2], self.rollout.until_candidates_follow())
            background[0].cancel()
            self.crew.size = 0
            await self.crew.terminate_all()
            await self._collect()
        except BaseException as error:
            error.add_note(self.result.story_text())
            raise
        finally:
            for task in background:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
            await self.crew.kill_all()
        self.result.records = sum(len(outcome.records) for outcome in self.result.outcomes)
        self.result.seconds = time.monotonic() - self._began
        return self.result

    async def _end_roll_out(self, rollout: RollOut, background: list[asyncio.Task]) -> None:
        """Let enough promotes happen under load; then stop the person."""

        async def until_enough() -> None:
            async with asyncio.timeout(SETTLED_WITHIN_S + PROMOTE_WITHIN_S * self.promotes_min):
                while rollout.promotes < self.promotes_min:
                    await asyncio.sleep(0.2)

        await self._await_with(background, until_enough())
        rollout.stop()
        await asyncio.wait_for(background.pop(), 2 * STEP_WITHIN_S)

    async def _await_with(self, background, work) -> None:
        """Await a coroutine; raise the error of a background task if one fails first."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, *background}, return_when=asyncio.FIRST_COMPLETED)
            for other in background:
                if other.done() and other is not task and other.exception() is not None:
                    await other
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _inject_all(self) -> None:
        if self.scripted is not None:
            await self.scripted()
            return
        await self.crew.wait_for_owners(self.plan.log.partitions)
        async with asyncio.TaskGroup() as group:
            for lane in LANES:
                group.create_task(self._inject_faults_of(lane))
        await asyncio.sleep(1)

    async def _inject_faults_of(self, lane: str) -> None:
        for scheduled in self.plan.schedule:
            fault = FAULTS[scheduled.kind]
            if fault.lane != lane:
                continue
            await asyncio.sleep(scheduled.after_s)
            async with AsyncExitStack() as locks:
                for name in LANES if fault.alone else (lane,):
                    await locks.enter_async_context(self._lanes[name])
                if fault.alone and self.rollout is not None:
                    await locks.enter_async_context(self.rollout.gate)
                self.note(f"-> {scheduled.kind}")
                if self.rollout is not None and fault.loses_redis:
                    self.crew.may_stop = STOPPED  # Redis may lose the bundle in charge
                async with asyncio.timeout(FAULT_WITHIN_S):
                    reached = await fault.inject(self.world(scheduled.seed))
            counts = self.result.missed if reached is False else self.result.kinds
            counts[scheduled.kind] += 1

    async def _wait_until_sent(self, sender: Sender) -> None:
        """Send the rest as fast as the workers fold it, and then at the plan's rate again."""
        async with asyncio.timeout(SENT_WITHIN_S):
            while sender.sent < self._records_min:
                sender.rate = REST_RATE if self._lag < REST_RATE * 2 else self.plan.rate
                await asyncio.sleep(0.2)
        sender.rate = self.plan.rate

    def world(self, seed: int) -> World:
        """Return the world of a fault, with random numbers of its own."""
        return World(
            self.servers,
            self.crew,
            self.settings,
            load_bundle(self.result.bundles[0]).fingerprint,
            self.result.bundles[1],
            random.Random(seed),
            self.note,
            self.topics,
            self.rollout,
        )

    async def _wait_until_published(self) -> None:
        await self.topics.until_published(SETTLED_WITHIN_S)
        self.note("everything is published")

    async def _track_group_offsets(self) -> None:
        """Update the group offsets for the story until cancelled."""
        while True:
            offsets = await self.topics.group_offsets_and_log_ends()
            self._c = {partition: c for partition, (c, _) in offsets.items()}
            self._lag = sum(end - c for c, end in offsets.values())
            await asyncio.sleep(1.5)

    async def _collect(self) -> None:
        if self.plan.is_framed:
            self.servers.writers.write(self.schemas)
        self.result.outcomes = await collect(self.result, self.topics, self.servers)
        read = sum(len(outcome.predictions) for outcome in self.result.outcomes)
        self.note(f"{read} predictions read")
