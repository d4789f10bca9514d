"""The registry of faults.

A fault is a coroutine that takes a :class:`World`.  It injects something and ends it again if it
must not last: a stopped Redis answers again.  It does not wait until the fold has recovered, so the
next fault may begin earlier.  ``faults_of_workers.py``, ``faults_of_redis.py``,
``faults_of_cluster.py``, ``faults_of_kafka.py`` and ``faults_of_registry.py`` define the faults.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stream_rnn.fold.crash_points import Point
from stream_rnn.fold.fold_id import fold_id, store_tag
from stream_rnn.settings import Settings
from tests.chaos.crew import Crew
from tests.chaos.rollout import RollOut
from tests.chaos.servers import Servers
from tests.chaos.topics import Topics


@dataclass(slots=True)
class World:
    """The servers, workers and topics that a fault can act on.

    Attributes:
        servers: Kafka, Redis and the proxies.
        crew: Workers of the fold.
        settings: Settings of the fold, with addresses that bypass the proxies.
        fingerprint: Fingerprint of the fold's bundle.
        other_bundle: Path of a bundle that makes another fold.
        draw: Random numbers of this fault.
        note: Callback with a text for each action.
        log: Topics of the fold.
        rollout: Person of the roll-out; ``None`` in an episode without one.
    """

    servers: Servers
    crew: Crew
    settings: Settings
    fingerprint: str
    other_bundle: str
    draw: random.Random
    note: Callable[[str], None]
    log: Topics
    rollout: RollOut | None = None

    def keys(self, partition: int) -> tuple[str, str]:
        """Return the names of the two keys of a partition in Redis."""
        identity = fold_id(self.fingerprint, self.settings)
        tag = store_tag(self.settings.app, self.settings.source, partition, identity)
        return f"{{{tag}}}:position", f"{{{tag}}}:hidden"

    def partition(self) -> int:
        """Draw a partition that a worker owns, or return 0 if there is none."""
        return self.draw.choice(sorted(self.crew.owned()) or [0])


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: Name of the kind.
        inject: Coroutine that injects the fault; it returns False if its moment never came.
        needs: What the fault acts on: ``redis`` or ``kafka``, a server of the driver; ``proxy``;
            ``cluster``, a Redis Cluster; ``keys``, only the fold's own keys in Redis; ``group``,
            the consumer group; ``registry``, the schema registry of the driver, for which the
            events of the episode are framed; ``rollout``, a roll-out in the background.
        loses_redis: Whether workers may have to rebuild states from the origin.
        trims: Whether the fault removes records below every position.
        long: Whether the fault takes more than half a minute.
        alone: Whether the other lanes pause during the fault.
        weight: Relative frequency in a random schedule.
    """

    name: str
    inject: Callable[[World], Awaitable[bool | None]]
    needs: frozenset[str]
    loses_redis: bool
    trims: bool
    long: bool
    alone: bool
    weight: float

    @property
    def lane(self) -> str:
        """Lane of the fault: faults of one lane run one after another, lanes run concurrently."""
        needs = {"redis" if need in ("keys", "cluster") else need for need in self.needs}
        return next((lane for lane in LANES if lane in needs), LANES[-1])


BLOCKED_S = 4
LANES = ("redis", "kafka", "group", "registry", "workers")
FAULTS: dict[str, Fault] = {}


def impossible_needs(*, on_cluster: bool, rolls_out: bool = False) -> set[str]:
    """Return the needs that exclude a fault.

    Args:
        on_cluster: Whether Redis is a cluster; a kind is for a single Redis or for a cluster.
        rolls_out: Whether a roll-out goes on; the events of these episodes are JSON.
    """
    return {"redis" if on_cluster else "cluster", "registry" if rolls_out else "rollout"}


def fault(
    *needs: str, name="", loses_redis=False, trims=False, long=False, alone=False, weight=1.0
):
    """Register a fault under its function's name."""

    def register(inject):
        kind = name or inject.__name__.replace("_", "-")
        assert kind not in FAULTS, kind
        FAULTS[kind] = Fault(
            kind, inject, frozenset(needs), loses_redis, trims, long, alone, weight
        )
        return inject

    return register


async def block_worker_at(world: World, point: Point) -> None:
    """Start a worker that blocks for some seconds at a crash point; return once it is there."""
    worker = world.crew.start(f"{point} 6 block={BLOCKED_S}")
    reached = await world.crew.until_logged(worker, "fault injected", 20)
    world.note(f"{worker.name} blocks at {point}: {reached}")
