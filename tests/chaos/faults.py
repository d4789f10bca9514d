"""What a fault is, and the list of them.

A fault is a coroutine over a :class:`World`: it brings something about and ends what must not last
(a stopped Redis answers again).  It does not wait until the fold has healed: the next fault may
come before that.  The faults themselves are in ``faults_of_workers.py``,
``faults_of_redis.py``, ``faults_of_cluster.py`` and ``faults_of_kafka.py``.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stream_rnn.fold.crash_points import Point
from stream_rnn.fold.fold_id import fold_id, store_tag
from stream_rnn.settings import Settings
from tests.chaos.crew import Crew
from tests.chaos.servers import Servers
from tests.chaos.topics import Topics


@dataclass(slots=True)
class World:
    """What a fault can reach.

    Attributes:
        servers: Kafka, Redis and the proxies.
        crew: the workers.
        settings: of the fold, with addresses past the proxies.
        fingerprint: of its bundle.
        other_bundle: of another fold id.
        draw: chances of this fault.
        tell: told what happened.
        log: the topics of the fold.
    """

    servers: Servers
    crew: Crew
    settings: Settings
    fingerprint: str
    other_bundle: str
    draw: random.Random
    tell: Callable[[str], None]
    log: Topics

    def keys(self, partition: int) -> tuple[str, str]:
        """Return the names of the two keys of a partition in Redis."""
        identity = fold_id(self.fingerprint, self.settings)
        tag = store_tag(self.settings.app, self.settings.source, partition, identity)
        return f"{{{tag}}}:position", f"{{{tag}}}:hidden"

    def partition(self) -> int:
        """Draw a partition that is owned, else any."""
        return self.draw.choice(sorted(self.crew.owned()) or [0])


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: the kind.
        bring: brings it about.
        needs: ``redis`` or ``kafka`` where it hurts a server of ours, ``proxy`` for a proxy;
            ``cluster`` for a cluster of Redis;
            ``keys`` where it only touches the fold's own keys, ``group`` for one of the group.
        loses_redis: whether states may have to be built again from the origin.
        trims: whether records below every position are removed.
        long: whether it takes more than half a minute.
        alone: whether no other lane may do anything meanwhile.
        weight: how often it is drawn.
    """

    name: str
    bring: Callable[[World], Awaitable[None]]
    needs: frozenset[str]
    loses_redis: bool
    trims: bool
    long: bool
    alone: bool
    weight: float

    @property
    def lane(self) -> str:
        """Faults of one lane come one after the other, those of several at the same time."""
        needs = {"redis" if one in ("keys", "cluster") else one for one in self.needs}
        return next((lane for lane in LANES if lane in needs), LANES[-1])


BLOCKED_S = 4
LANES = ("redis", "kafka", "group", "workers")
FAULTS: dict[str, Fault] = {}


def impossible(*, on_cluster: bool) -> set[str]:
    """Return what faults may not need: each kind is of one Redis, or of a cluster."""
    return {"redis"} if on_cluster else {"cluster"}


def fault(
    *needs: str, name="", loses_redis=False, trims=False, long=False, alone=False, weight=1.0
):
    """Register a fault under its function's name."""

    def register(bring):
        kind = name or bring.__name__.replace("_", "-")
        assert kind not in FAULTS, kind
        FAULTS[kind] = Fault(kind, bring, frozenset(needs), loses_redis, trims, long, alone, weight)
        return bring

    return register


async def worker_at(world: World, point: Point) -> None:
    """Return when a worker stands still at a point, for some seconds; or without one."""
    worker = world.crew.start(f"{point} 6 block={BLOCKED_S}")
    reached = await world.crew.until_says(worker, "fault injected", 20)
    world.tell(f"{worker.name} stands still at {point}: {reached}")
