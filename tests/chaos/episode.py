"""One episode: a log, workers, faults; then everything that is left, for the comparison."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from stream_rnn.fold.fold_id import fold_id
from stream_rnn.model.bundle import load_bundle, save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from tests.chaos.crew import OUR_SESSION_TIMEOUT_S, SESSION_TIMEOUT_S, Crew
from tests.chaos.faults import FAULTS, LANES, World
from tests.chaos.log import SPEC, Sender
from tests.chaos.plan import Plan
from tests.chaos.servers import Servers
from tests.chaos.topics import Topics
from tests.chaos.verify import Left, StoredPosition

FAULT_WITHIN_S = 240
SETTLED_WITHIN_S = 240


@dataclass(slots=True)
class Happened:
    """What an episode has left.

    Attributes:
        plan: of it.
        settings: of the fold.
        bundles: of both folds.
        story: what happened, with seconds and C by partition.
        kinds: faults, by kind.
        records: that were sent.
        left: by partition, for the oracle.
        seconds: of all of it.
    """

    plan: Plan
    settings: Settings
    bundles: list[str]
    story: list[tuple[float, str, dict[int, int]]] = field(default_factory=list)
    kinds: Counter = field(default_factory=Counter)
    records: int = 0
    left: list[Left] = field(default_factory=list)
    seconds: float = 0.0

    def before(self, partition: int, offset: int) -> str:
        """Return what had happened when C was last below an offset."""
        said = [text for _, text, c in self.story if c.get(partition, 0) <= offset]
        return said[-1] if said else "nothing"

    def told(self) -> str:
        """Return the story."""
        return "\n".join(f"{at:7.1f} s  {text}  C={c}" for at, text, c in self.story)


class Episode:
    """Runs a plan.

    Args:
        plan: what happens; ``scripted``, if it is set, happens in place of its faults.
        app: app id, the prefix of everything on the servers.
        servers: where.
        directory: for bundles and logs.
        say: told each line as it happens.
        records_min: this many records are sent at least, however soon the faults are over.
    """

    def __init__(
        self,
        plan: Plan,
        app: str,
        servers: Servers,
        directory: Path,
        say: Callable[[str], None],
        records_min: int = 0,
    ) -> None:
        self.plan = plan
        self._records_min = records_min
        self.servers = servers
        self._say = say
        self._began = time.monotonic()
        self._c: dict[int, int] = {}
        self._lanes = {lane: asyncio.Lock() for lane in LANES}
        self.scripted: Callable[[], Awaitable[None]] | None = None
        bundles = make_bundles(directory / "bundles")
        self.settings = Settings.build(
            app=app,
            source=f"{app}-in",
            predictions=f"{app}-out",
            bundle=bundles[0],
            bootstrap_servers=servers.bootstrap_servers,
            redis_url=servers.redis_url,
            delivery=plan.delivery,
            **plan.settings,
        )
        self.topics = Topics(self.settings, plan.log.partitions)
        self.happened = Happened(plan, self.settings, bundles)
        options = {
            "app": app,
            "source": self.settings.source,
            "predictions": self.settings.predictions,
            "bundle": bundles[0],
            "bootstrap_servers": servers.proxied_kafka,
            "redis_url": servers.proxied_redis,
            "delivery": plan.delivery,
            "redis_timeout_s": "2",
            "redis_retry_s": "20",
            "kafka_timeout_s": "15",
            **{name: str(value) for name, value in plan.settings.items()},
        }
        logs = directory / app
        logs.mkdir(parents=True)
        session_s = SESSION_TIMEOUT_S if servers.own_kafka else OUR_SESSION_TIMEOUT_S
        draw = random.Random(plan.seed)
        self.crew = Crew(options, logs, plan.workers, draw, self.tell, session_s)

    def tell(self, text: str) -> None:
        """Remember what happens."""
        self.happened.story.append((time.monotonic() - self._began, text, dict(self._c)))
        self._say(f"{self.happened.story[-1][0]:7.1f} s  {text}")

    async def run(self) -> Happened:
        """Run it; what is left is for the oracle."""
        self.tell(f"{self.plan}")
        await self.topics.create(self.servers.replication)
        sender = Sender(
            self.plan.log, self.settings.source, self.servers.bootstrap_servers, self.plan.rate
        )
        self.crew.tend()
        background = [
            asyncio.create_task(self.crew.tending()),
            asyncio.create_task(self._watch()),
            asyncio.create_task(sender.run()),
        ]
        try:
            await self._while(background, self._go_on())
            await self._while(background, self._until_sent(sender))
            sender.stop()
            await self._while(background[:2], asyncio.wait_for(background[2], 60))
            self.tell(f"{sender.sent} records sent, {sender.aborted} aborted")
            await self._while(background[:2], self._settle())
            background[0].cancel()
            self.crew.size = 0
            await self.crew.leave()
            await self._collect()
        except BaseException as error:
            error.add_note(self.happened.told())
            raise
        finally:
            for task in background:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
            await self.crew.end()
        self.happened.records = sum(len(left.records) for left in self.happened.left)
        self.happened.seconds = time.monotonic() - self._began
        return self.happened

    async def _while(self, background, work) -> None:
        """Await some work; if something in the background fails, so does it."""
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

    async def _go_on(self) -> None:
        if self.scripted is not None:
            await self.scripted()
            return
        await self.crew.until_owned(self.plan.log.partitions)
        async with asyncio.TaskGroup() as group:
            for lane in LANES:
                group.create_task(self._go_on_in(lane))
        await asyncio.sleep(1)

    async def _go_on_in(self, lane: str) -> None:
        for happening in self.plan.happenings:
            fault = FAULTS[happening.kind]
            if fault.lane != lane:
                continue
            await asyncio.sleep(happening.after_s)
            async with AsyncExitStack() as held:
                for name in LANES if fault.alone else (lane,):
                    await held.enter_async_context(self._lanes[name])
                self.tell(f"-> {happening.kind}")
                async with asyncio.timeout(FAULT_WITHIN_S):
                    await fault.bring(self.world(happening.seed))
            self.happened.kinds[happening.kind] += 1

    async def _until_sent(self, sender: Sender) -> None:
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while sender.sent < self._records_min:
                await asyncio.sleep(0.2)

    def world(self, seed: int) -> World:
        """Return what a fault can reach, with chances of its own."""
        return World(
            self.servers,
            self.crew,
            self.settings,
            load_bundle(self.happened.bundles[0]).fingerprint,
            self.happened.bundles[1],
            random.Random(seed),
            self.tell,
            self.topics,
        )

    async def _settle(self) -> None:
        await self.topics.until_published(SETTLED_WITHIN_S)
        self.tell("all is published")

    async def _watch(self) -> None:
        """Keep C, for the story."""
        while True:
            self._c = await self.topics.group_offsets()
            await asyncio.sleep(1.5)

    async def _collect(self) -> None:
        c = await self.topics.group_offsets()
        for partition in range(self.plan.log.partitions):
            settings, topics = self.settings, self.topics
            left = Left(
                partition,
                await topics.source(partition),
                await topics.outputs(settings.predictions, partition),
                await topics.outputs(settings.dead_letters_topic, partition),
                await asyncio.to_thread(self._held, partition),
                c[partition],
            )
            self.happened.left.append(left)
        self.tell(f"{sum(len(left.predictions) for left in self.happened.left)} predictions read")

    def _held(self, partition: int) -> dict[str, StoredPosition]:
        found = {}
        settings = self.settings
        with self.servers.connect() as redis:
            for bundle in self.happened.bundles:
                identity = fold_id(load_bundle(bundle).fingerprint, settings)
                tag = f"{settings.app}:{settings.source}:{partition}:{identity}"
                position = redis.hgetall(f"{{{tag}}}:position")
                if position:
                    found[identity] = StoredPosition(
                        int(position[b"position"]),
                        int(position[b"origin"]),
                        int(position[b"keys"]),
                        redis.hgetall(f"{{{tag}}}:hidden"),
                    )
                redis.unlink(f"{{{tag}}}:position", f"{{{tag}}}:hidden")
        return found


def make_bundles(directory: Path) -> list[str]:
    """Make the bundles of both folds, unless they are there."""
    found = []
    for number, kind in enumerate(("gru", "lstm")):
        path = directory / kind
        if not path.exists():
            torch.manual_seed(number)
            save_bundle(Model.initialize(SPEC, CellSpec(kind=kind, hidden=8)), path)
        found.append(str(path))
    return found
