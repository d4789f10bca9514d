"""The requests of a person during a roll-out: promote, finish and abandon."""

import asyncio
import time
from collections.abc import Sequence

from stream_rnn.errors import ConfigError, MovedError, UnavailableError
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import load_bundle
from stream_rnn.operate.rollout_start import CHANGED
from stream_rnn.operate.rollout_status import OpenRollout, PartitionStatus, Status
from stream_rnn.operate.rollout_waits import POLL_S, Requests, wait_for
from stream_rnn.rollout.plan import FoldName, Plan

LOST_FINGERPRINT = "0" * 64
"""Fingerprint in a plan of a bundle that nobody has any more; no bundle has it."""
SETTLE_S = 2.0
"""Seconds after which every worker has seen a change of the plan."""


def choose_fold(plan: Plan, name: str) -> str:
    """Return the id of a fold of the plan, which is named ``old``, ``new`` or by its id.

    Raises:
        ConfigError: The plan has no such fold.
    """
    fold_id = dict(zip(("old", "new"), plan.fold_ids, strict=True)).get(name, name)
    if fold_id not in plan.fold_ids:
        raise ConfigError(
            f"the roll-out has no fold {name}: it has old, {plan.fold_ids[0]}, and new, "
            f"{plan.fold_ids[1]}"
        )
    return fold_id


async def promote(
    rollout: OpenRollout, fold: str = "new", partitions: frozenset[int] | None = None
) -> Requests:
    """Request that a fold is put in charge; a worker does it as soon as the candidate is warm.

    A promote of the fold in charge cancels a request that is pending.

    Args:
        rollout: Open clients.
        fold: ``new``, ``old`` or the id of the fold.
        partitions: Partitions; ``None`` for all.

    Returns:
        The request of each partition.

    Raises:
        ConfigError: The plan or a worker does not allow it; the message says what to do.
        UnavailableError: Another process has changed the plan meanwhile.
    """
    status = await rollout.status()
    seen = plan = status.require_plan()
    fold_id = choose_fold(plan, fold)
    if plan.stage == "open":
        status.workers.require_loaded(plan.fold_ids)
    chosen = status.select(partitions)
    for partition in chosen:
        known = _require_known(partition)
        origin = None
        if fold_id != known.fold_id:
            origin = partition.stored[fold_id].origin
            if origin is None and plan.stage == "open":
                raise ConfigError(
                    f"partition {partition.partition}: the candidate {fold_id} has not begun yet; "
                    "try again when stream-rnn rollout status shows its position"
                )
        plan = plan.with_request("promote", partition.partition, fold_id, known, origin)
    return await _write(rollout, seen, plan, chosen)


async def finish(rollout: OpenRollout, within_s: float) -> dict[str, int]:
    """End a roll-out: drop the states of the fold that is not in charge.

    A finish that was interrupted goes on where it was.

    Args:
        rollout: Open clients.
        within_s: Seconds to wait for the workers.

    Returns:
        Number of hidden states that were dropped of each fold.

    Raises:
        ConfigError: Several folds are in charge, a request is pending, or the roll-out is over.
        UnavailableError: No worker carries the finish out in time, or another process has changed
            the plan meanwhile.
    """
    status = await rollout.status()
    plan = status.require_plan()
    if plan.stage == "over":
        raise ConfigError(
            "the roll-out is over already; the workers may get the bundle of the fold in charge as "
            "--bundle, one by one"
        )
    folds = sorted({str(partition.fold_id) for partition in status.partitions})
    if len(folds) > 1:
        raise ConfigError(
            f"the folds {' and '.join(folds)} are in charge of some partitions each: promote one "
            "of them in all partitions, and finish then"
        )
    if plan.stage == "open":
        plan = await _finish_all(rollout, status, plan, within_s)
    await _until_no_candidate(rollout, within_s)
    if folds[0] not in plan.fold_ids or await rollout.plans.read() != plan:
        raise UnavailableError(CHANGED)
    dropped = {fold_id: 0 for fold_id in plan.fold_ids if fold_id != folds[0]}
    for fold_id in dropped:
        for partition in status.partitions:
            dropped[fold_id] += await _drop(rollout, fold_id, partition.partition)
    if not await rollout.plans.write(plan, plan.with_end()):
        raise UnavailableError(CHANGED)
    return dropped


async def abandon(rollout: OpenRollout, partitions: frozenset[int] | None = None) -> Requests:
    """Request that the workers' own bundle takes over a fold whose bundle no worker has any more.

    The own bundle begins at the log start, silently below the group offset, unless Redis has its
    states.

    Args:
        rollout: Open clients; their settings name the workers' own bundle.
        partitions: Partitions; ``None`` for all that need it.

    Returns:
        The request of each partition.

    Raises:
        ConfigError: A worker has the bundle of the fold in charge, or another own bundle than the
            settings name, or nothing needs it.
        UnavailableError: Another process has changed the plan meanwhile.
    """
    model = load_bundle(rollout.settings.bundle)
    own = FoldName(fold_id=fold_id_of(model, rollout.settings), fingerprint=model.fingerprint)
    status = await rollout.status()
    is_open = status.plan is not None and status.plan.stage == "open"
    kept = status.plan.fold_ids if status.plan is not None and is_open else ()
    chosen = [
        partition
        for partition in status.select(partitions)
        if partition.known is not None
        and (partition.known.number or partition.fold_id in kept)
        and partition.fold_id != own.fold_id
    ]
    if not chosen:
        raise ConfigError(
            f"no roll-out has another fold than {own.fold_id}, of this bundle, in charge of "
            "these partitions: there is nothing to abandon"
        )
    _require_lost(status, chosen)
    _require_own(status, own)
    seen = plan = status.plan
    if plan is None:
        lost = FoldName(fold_id=str(chosen[0].fold_id), fingerprint=LOST_FINGERPRINT)
        plan = Plan(folds=(lost, own), stage="over", since_ms=0, started_by="")
    elif own.fold_id not in plan.fold_ids:
        plan = plan.model_copy(update={"stage": "over"})  # neither of its folds goes on
    for partition in chosen:
        known = _require_known(partition)
        plan = plan.with_request("abandon", partition.partition, own.fold_id, known)
    return await _write(rollout, seen, plan, chosen)


async def _finish_all(rollout: OpenRollout, status: Status, plan: Plan, within_s: float) -> Plan:
    """Have the finish carried out in all partitions; return the plan in the stage ``dropping``."""
    seen, done = plan, dict[int, GroupOffset]()
    for partition in status.partitions:
        known, last = _require_known(partition), plan.requests.get(partition.partition)
        if last is None or (last.kind, last.number) != ("finish", known.number):
            fold_id = str(known.fold_id)
            plan = plan.with_request("finish", partition.partition, fold_id, known)
    requests = await _write(rollout, seen, plan, status.partitions)
    failed = await wait_for(rollout, requests, within_s, done.__setitem__)
    if failed:
        number, why = next(iter(failed.items()))
        raise UnavailableError(
            f"partition {number}: the finish was {why}; nothing was dropped: start the workers "
            "if none runs, and finish again"
        )
    dropping = plan.with_dropping(done)
    if not await rollout.plans.write(plan, dropping):
        raise UnavailableError(CHANGED)
    return dropping


async def _until_no_candidate(rollout: OpenRollout, within_s: float) -> None:
    """Wait until no worker folds a candidate, which would write its states again."""
    deadline = time.monotonic() + within_s
    await asyncio.sleep(SETTLE_S)
    while True:
        workers = await rollout.read_workers()
        busy = [
            name
            for name, report in workers.reports.items()
            if report is not None and (report.stage == "open" or report.candidates)
        ]
        if not busy:
            return
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{busy[0]} still folds the candidate after {within_s:g} s: look at its log, and "
                "finish again, which goes on"
            )
        await asyncio.sleep(POLL_S)


async def _drop(rollout: OpenRollout, fold_id: str, partition: int) -> int:
    """Drop the states of a fold of one partition; return their number."""
    store = rollout.store(fold_id, partition)
    stored = await store.read()
    try:
        await store.drop_seen(stored)
    except MovedError as error:
        raise UnavailableError(
            f"partition {partition}: a worker still folds {fold_id}, whose states are to be "
            "dropped: finish again, which goes on; a worker that has lost the partition ends by "
            "itself"
        ) from error
    return stored.fields


def _require_lost(status: Status, chosen: Sequence[PartitionStatus]) -> None:
    in_charge = {str(partition.fold_id) for partition in chosen}
    is_open = status.plan is not None and status.plan.stage == "open"
    remedy = "promote the old fold" if is_open else "start a roll-out with the bundle that you want"
    for name, report in status.workers.reports.items():
        if report is not None and (loaded := sorted(in_charge & {*report.loaded})):
            raise ConfigError(
                f"{name} has the bundle of the fold {loaded[0]}, which is in charge, so nothing is "
                f"lost: to go back, {remedy} instead"
            )


def _require_own(status: Status, given: FoldName) -> None:
    for name, report in status.workers.reports.items():
        if report is not None and report.own.fold_id != given.fold_id:
            raise ConfigError(
                f"{name} has the fold {report.own.fold_id} as its own, and the given bundle and "
                f"settings make the fold {given.fold_id}, which that worker cannot run: give this "
                "command the bundle of the workers, or start them with this one"
            )


def _require_known(partition: PartitionStatus) -> GroupOffset:
    """Return the group offset of a partition in which a fold is in charge.

    Raises:
        ConfigError: No fold has written the group offset.
    """
    if partition.known is None or partition.known.fold_id is None:
        raise ConfigError(
            f"partition {partition.partition}: no fold has written the group offset, so none is in "
            "charge; start a worker, and see stream-rnn state show"
        )
    return partition.known


async def _write(
    rollout: OpenRollout, seen: Plan | None, plan: Plan, chosen: Sequence[PartitionStatus]
) -> Requests:
    if plan is not seen and not await rollout.plans.write(seen, plan):
        raise UnavailableError(CHANGED)
    return {partition.partition: plan.requests[partition.partition] for partition in chosen}
