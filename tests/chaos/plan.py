"""Plans of episodes: a random seed determines the log, the settings and the schedule of faults."""

import random
from collections.abc import Collection
from dataclasses import asdict, dataclass

from stream_rnn.predictions.wire_schema import FRAMED_FORMATS
from tests.chaos import (  # noqa: F401  # registers the kinds of faults
    faults_of_cluster,
    faults_of_kafka,
    faults_of_redis,
    faults_of_registry,
    faults_of_rollout,
    faults_of_workers,
)
from tests.chaos.faults import FAULTS, Fault, impossible_needs
from tests.chaos.log import DISTRIBUTIONS, LogPlan


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """One fault of a schedule.

    Attributes:
        after_s: Seconds between the end of the previous fault and this one.
        kind: Kind of the fault.
        seed: Random seed of this fault.
    """

    after_s: float
    kind: str
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One episode.

    Attributes:
        seed: Random seed of the whole episode.
        log: Plan of the source log.
        rate: Records sent per second.
        delivery: Delivery of the workers.
        workers: Number of workers.
        brokers: Number of brokers, 1 or 3.
        settings: Further settings of the fold.
        schedule: Faults in their order.
        rolls_out: Whether a person promotes one of two folds after the other meanwhile.
        overflows: Whether the new model computes infinities for some events.
    """

    seed: int
    log: LogPlan
    rate: float
    delivery: str
    workers: int
    brokers: int
    settings: dict[str, object]
    schedule: tuple[ScheduledFault, ...]
    rolls_out: bool = False
    overflows: bool = False

    @property
    def is_framed(self) -> bool:
        """Whether the events are framed, because a fault is one of the schema registry."""
        return any("registry" in FAULTS[one.kind].needs for one in self.schedule)

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
    rolls_out: bool = False,
    overflows: bool | None = None,
) -> Plan:
    """Plan an episode; equal arguments give equal plans.

    Args:
        seed: Random seed of the episode.
        faults: Number of faults.
        kinds: Kinds of faults to use, each once before one repeats; all kinds by default.
        rate: Records sent per second.
        without: Servers that no fault may touch: ``redis``, ``kafka``, ``proxy``.
        brokers: Number of brokers, 1 or 3.
        delivery: Delivery of the workers; drawn by default, mostly ``exactly_once``.
        on_cluster: Whether Redis is a cluster that the driver has started.
        rolls_out: Whether a person promotes one of two folds after the other meanwhile.
        overflows: Whether the new model computes infinities for some events; drawn by default.
    """
    draw = random.Random(seed)
    log = LogPlan(seed, draw.choice(DISTRIBUTIONS), draw.choice([1, 2, 4, 4]), draw.random() < 0.5)
    drawn_delivery = draw.choices(["exactly_once", "at_least_once"], [5, 1])[0]
    settings = _draw_settings(draw)
    trims = not kinds and draw.random() < 0.2
    impossible = {*without, *impossible_needs(on_cluster=on_cluster, rolls_out=rolls_out)}
    possible = _possible(kinds, impossible, trims=trims)
    schedule = tuple(
        ScheduledFault(draw.uniform(0.1, 2), name, draw.randrange(2**31))
        for name in _draw_names(draw, possible, faults, in_turn=bool(kinds))
    )
    workers = draw.choice([1, 2, 2, 3, 4])
    if overflows is None:
        overflows = rolls_out and random.Random(f"{seed} overflows").random() < 0.2
    if rolls_out:  # each worker gets partitions, so that its moment comes
        workers = min(workers, log.partitions)
    settings |= _draw_format(random.Random(f"{seed} format"))
    return Plan(
        seed=seed,
        log=log,
        rate=rate,
        delivery=delivery or drawn_delivery,
        workers=workers,
        brokers=brokers,
        settings=settings,
        schedule=schedule,
        rolls_out=rolls_out,
        overflows=overflows,
    )


def _draw_settings(draw) -> dict[str, object]:
    """Draw the settings of the workers; the empty ones are left out."""
    settings = {
        "batch_events_max": draw.choice([37, 300, 2000, 4096]),
        "cache_bytes_max": draw.choice([0, 30_000, 64_000_000]),
        "idle_check_s": 1,
        "state_ttl": draw.choice(["", 60, 3600]),
        "rounds_max": draw.choice([40, 4096]),
        "sweep_interval_s": 0.2,
    }
    return {name: value for name, value in settings.items() if value != ""}


def _possible(kinds: Collection[str], impossible: Collection[str], *, trims: bool) -> list[Fault]:
    """Return the faults that an episode may have, by their names in order."""
    return [
        fault
        for _, fault in sorted(FAULTS.items())
        if not fault.needs & {*impossible}
        and (not kinds or fault.name in kinds)
        and not (fault.long and not kinds)
        and (kinds or not (fault.loses_redis if trims else fault.trims))
    ]


def _draw_format(draw) -> dict[str, object]:
    """Draw the format of predictions, by itself, so that it changes nothing else of a plan."""
    chosen = draw.choices(["json", *FRAMED_FORMATS], [3, 1, 1, 1])[0]
    return {} if chosen == "json" else {"predictions_format": chosen, "predictions_schema_id": 7}


def _draw_names(draw, possible, count, *, in_turn) -> list[str]:
    if not in_turn:
        return [
            fault.name for fault in draw.choices(possible, [p.weight for p in possible], k=count)
        ]
    names: list[str] = []
    while possible and len(names) < count:
        names += [fault.name for fault in draw.sample(possible, len(possible))]
    return names[:count]
