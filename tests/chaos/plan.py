"""What happens in an episode: decided by a seed, and by nothing else."""

import random
from collections.abc import Collection
from dataclasses import asdict, dataclass

from tests.chaos import (  # noqa: F401  # they register
    faults_of_cluster,
    faults_of_kafka,
    faults_of_redis,
    faults_of_workers,
)
from tests.chaos.faults import FAULTS, impossible
from tests.chaos.log import DISTRIBUTIONS, LogPlan


@dataclass(frozen=True, slots=True)
class Happening:
    """One fault of a schedule.

    Attributes:
        after_s: since the end of the one before.
        kind: of the fault.
        seed: of its own chances.
    """

    after_s: float
    kind: str
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One episode.

    Attributes:
        seed: decides everything.
        log: what is sent.
        rate: records a second.
        delivery: of the workers.
        workers: how many work.
        brokers: 1 or 3.
        settings: more of the fold.
        happenings: the faults in their order.
    """

    seed: int
    log: LogPlan
    rate: float
    delivery: str
    workers: int
    brokers: int
    settings: dict[str, object]
    happenings: tuple[Happening, ...]

    def __str__(self) -> str:
        about = {k: v for k, v in asdict(self).items() if k not in ("happenings", "log")}
        log = f"{self.log.distribution}, {self.log.partitions} partitions"
        log += ", transactional" if self.log.is_transactional else ""
        return f"{about} log: {log}"


def plan(
    seed: int,
    faults: int,
    *,
    kinds: Collection[str] = (),
    rate: float = 2500,
    without: Collection[str] = (),
    brokers: int = 1,
    delivery: str = "",
    on_cluster: bool = False,
) -> Plan:
    """Plan an episode; the same one for the same arguments.

    Args:
        seed: decides.
        faults: how many.
        kinds: these only, each once before one comes again; default: all.
        rate: records a second.
        without: what is not ours to hurt: ``redis``, ``kafka``, ``proxy``.
        brokers: 1 or 3.
        delivery: of the workers; default: mostly ``exactly_once``.
        on_cluster: whether Redis is a cluster of ours.
    """
    draw = random.Random(seed)
    log = LogPlan(seed, draw.choice(DISTRIBUTIONS), draw.choice([1, 2, 4, 4]), draw.random() < 0.5)
    chosen = draw.choices(["exactly_once", "at_least_once"], [5, 1])[0]
    settings = {
        "batch_events_max": draw.choice([37, 300, 2000, 4096]),
        "cache_bytes_max": draw.choice([0, 30_000, 64_000_000]),
        "idle_check_s": 1,
        "state_ttl": draw.choice(["", 60, 3600]),
        "rounds_max": draw.choice([40, 4096]),
        "sweep_interval_s": 0.2,
    }
    trims = not kinds and draw.random() < 0.2
    possible = [
        one
        for _, one in sorted(FAULTS.items())
        if not one.needs & {*without, *impossible(on_cluster=on_cluster)}
        and (not kinds or one.name in kinds)
        and not (one.long and not kinds)
        and (kinds or not (one.loses_redis if trims else one.trims))
    ]
    happenings = tuple(
        Happening(draw.uniform(0.1, 2), name, draw.randrange(2**31))
        for name in _names(draw, possible, faults, in_turn=bool(kinds))
    )
    workers = draw.choice([1, 2, 2, 3, 4])
    settings = {name: value for name, value in settings.items() if value != ""}
    return Plan(seed, log, rate, delivery or chosen, workers, brokers, settings, happenings)


def _names(draw, possible, count, *, in_turn) -> list[str]:
    if not in_turn:
        return [one.name for one in draw.choices(possible, [p.weight for p in possible], k=count)]
    found: list[str] = []
    while possible and len(found) < count:
        found += [one.name for one in draw.sample(possible, len(possible))]
    return found[:count]
