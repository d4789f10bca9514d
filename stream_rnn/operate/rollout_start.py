"""The start of a roll-out: what it would cost, what it refuses, and the plan."""

import getpass
import socket
import time
from dataclasses import dataclass

from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.fold.fold_id import fold_id_of, fold_settings_as_text
from stream_rnn.model.network import Model
from stream_rnn.operate.check_output_schema import check_output_schema
from stream_rnn.operate.check_result import Level
from stream_rnn.operate.rollout_cost import Cost, estimate, late_start
from stream_rnn.operate.rollout_status import OpenRollout, Status
from stream_rnn.rollout.bundles import read_bundle_bytes
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import BundleBytes
from stream_rnn.rollout.worker_report import Workers

CHANGED = "another process has changed the plan meanwhile: look at the status, and try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A roll-out that nothing refuses.

    Attributes:
        seen: Plan that was read.
        folds: Fold in charge and the new one.
        bundle: Files of the given bundle.
        fingerprint: Fingerprint of the given bundle.
        cost: What the roll-out takes.
        first: Offset at which the memories of the candidate begin, by partition, where that is
            after the beginning of those of the fold in charge.
        repairs: Whether the plan stays, and Redis only gets a bundle again that it has lost.
    """

    seen: Plan | None
    folds: tuple[FoldName, FoldName]
    bundle: BundleBytes
    fingerprint: str
    cost: Cost
    first: dict[int, int]
    repairs: bool = False


async def propose(rollout: OpenRollout, *, from_log_start: bool = False) -> Proposal:
    """Check whether a roll-out of the bundle of the settings can start, and what it costs.

    While a roll-out is open, only a bundle of it is accepted that Redis has lost.

    Args:
        rollout: Open clients; their settings name the bundle, and must be those of the workers.
        from_log_start: Whether memories may begin after those of the fold in charge, because
            retention has removed records.

    Raises:
        ConfigError: The roll-out cannot start; the message says what to do.
        BundleError: The bundle is missing, torn or too large.
    """
    model, bundle = read_bundle_bytes(rollout.settings.bundle)
    given = FoldName(fold_id=fold_id_of(model, rollout.settings), fingerprint=model.fingerprint)
    status = await rollout.status(given.fold_id)
    status.workers.require_settings(fold_settings_as_text(rollout.settings))
    repairs = await _is_lost(rollout, status.plan, given, bundle)
    if repairs and status.plan is not None:
        folds, first = status.plan.folds, {}
    else:
        _require_no_open_plan(status.plan)
        _require_workers(rollout, status.workers)
        await _require_schema(rollout, model)
        folds = _choose_folds(status, given)
        status = await rollout.status(*(fold.fold_id for fold in folds))  # of a worker's own, too
        first = _late_starts(status, folds, from_log_start=from_log_start)
    old, new = (fold.fold_id for fold in folds)
    cost = await estimate(rollout, status, (old, new), model, bundle.size)
    if not repairs:
        _require_room(cost)
    return Proposal(
        seen=status.plan,
        folds=folds,
        bundle=bundle,
        fingerprint=model.fingerprint,
        cost=cost,
        first=first,
        repairs=repairs,
    )


async def start(rollout: OpenRollout, proposal: Proposal) -> Plan:
    """Put the bundle and the plan into Redis; workers load both bundles and fold the candidate.

    Raises:
        UnavailableError: Another process has changed the plan since the proposal.
    """
    if proposal.repairs and proposal.seen is not None:
        await rollout.plans.put_bundle(proposal.fingerprint, proposal.bundle)
        return proposal.seen
    since_ms = round(1000 * time.time())  # noqa: TID251  # for people, the fold does not use it
    seen, who = proposal.seen, _who()
    if seen is None:
        plan = Plan(folds=proposal.folds, since_ms=since_ms, started_by=who)
    else:
        plan = seen.followed_by(proposal.folds, since_ms, who)
    await rollout.plans.put_bundle(proposal.fingerprint, proposal.bundle)
    if not await rollout.plans.write(seen, plan):
        now = await rollout.plans.read()
        if now is None or proposal.fingerprint not in {fold.fingerprint for fold in now.folds}:
            await rollout.plans.drop_bundle(proposal.fingerprint)
        raise UnavailableError(CHANGED)
    kept = {fold.fingerprint for fold in plan.folds}
    for fold in seen.folds if seen is not None else ():
        if fold.fingerprint not in kept:
            await rollout.plans.drop_bundle(fold.fingerprint)
    return plan


def _late_starts(
    status: Status, folds: tuple[FoldName, FoldName], *, from_log_start: bool
) -> dict[int, int]:
    """Return where the candidate begins after the fold in charge, by partition.

    Raises:
        ConfigError: There are such partitions, and that was not accepted.
    """
    old, new = (fold.fold_id for fold in folds)
    late = ((p.partition, late_start(p, p.candidate((old, new)))) for p in status.partitions)
    first = {partition: offset for partition, offset in late if offset is not None}
    if first and not from_log_start:
        number, offset = next(iter(first.items()))
        raise ConfigError(
            f"{len(first)} partitions have lost records that the fold in charge has folded, so the "
            f"new memories would begin later, at offset {offset} of partition {number}: accept "
            "that with --from-log-start"
        )
    return first


async def _is_lost(
    rollout: OpenRollout, plan: Plan | None, given: FoldName, bundle: BundleBytes
) -> bool:
    """Return whether a roll-out that goes on lacks the given bundle, or it has other bytes in Redis."""
    if plan is None or plan.stage == "over" or given not in plan.folds:
        return False
    try:
        return await rollout.plans.get_bundle(given.fingerprint) != bundle
    except ConfigError:  # another program has written the key
        return True


def _require_no_open_plan(plan: Plan | None) -> None:
    if plan is not None and plan.stage != "over":
        remedy = (
            "finish it, or promote the fold that you want and finish then"
            if plan.stage == "open"
            else "repeat stream-rnn rollout finish, which goes on with it"
        )
        raise ConfigError(
            f"a roll-out of the folds {' and '.join(plan.fold_ids)} is {plan.stage}: {remedy}"
        )


def _require_workers(rollout: OpenRollout, workers: Workers) -> None:
    if not workers.reports:
        raise ConfigError(
            f"no worker of app {rollout.settings.app} runs: start the workers first; if predictions may "
            "pause, no roll-out is needed: start the workers with the new bundle as --bundle"
        )
    workers.require_reports()


async def _require_schema(rollout: OpenRollout, model: Model) -> None:
    """Raise unless the workers will find the schema of the new bundle's predictions.

    Raises:
        ConfigError: They will not; with predictions in JSON, there is none to find.
    """
    for finding in await check_output_schema(rollout.settings, model):
        if finding.level is Level.BAD:
            raise ConfigError(
                f"the predictions of the bundle {rollout.settings.bundle} have no schema that the "
                f"workers could use: {finding.said}; {finding.remedy}"
            )


def _choose_folds(status: Status, given: FoldName) -> tuple[FoldName, FoldName]:
    """Return the fold in charge, or the workers' own one if the given one is in charge, and the given."""
    foreign = [p.partition for p in status.partitions if p.known is not None and p.fold_id is None]
    if foreign:
        raise ConfigError(
            f"no fold has written the group offset of partition {foreign[0]}: repair it first; see "
            "stream-rnn state show"
        )
    in_charge = sorted({p.fold_id for p in status.partitions if p.fold_id is not None})
    own = status.workers.own_folds
    if not in_charge:
        raise ConfigError(
            "no partition has published anything yet, so there is nothing to go on with: give the "
            "workers the new bundle as --bundle"
        )
    if len(in_charge) > 1 and given.fold_id not in in_charge:
        raise ConfigError(
            f"several folds are in charge, {', '.join(in_charge)}: wait until the workers have "
            "begun all partitions with one bundle, or start with the bundle of one of these folds"
        )
    others = [fold_id for fold_id in in_charge if fold_id != given.fold_id]
    others = others or [fold_id for fold_id in sorted(own) if fold_id != given.fold_id]
    if not others:
        raise ConfigError(
            f"the fold {given.fold_id} of this bundle is already in charge of all partitions, and "
            "all workers have it as their own: there is nothing to roll out"
        )
    if len(others) > 1 or others[0] not in own:
        raise ConfigError(
            f"no worker has the bundle of fold {others[0]} as its own"
            + (", and there are several others" if len(others) > 1 else "")
            + ": give the workers the bundle of the fold in charge, restart them one by one, and "
            "start again"
        )
    return own[others[0]], given


def _require_room(cost: Cost) -> None:
    """Raise if the states would fill Redis, which would then accept no commit of the fold in charge.

    Raises:
        ConfigError: They would.
    """
    if not cost.fits:
        raise ConfigError(
            f"the candidate needs about {cost.redis_bytes / 1e6:,.1f} MB in Redis for as many keys "
            f"as the fold in charge has, {cost.keys:,}, and {(cost.redis_free_bytes or 0) / 1e6:,.1f} "
            "MB are free: raise maxmemory, or distribute the partitions over a Redis Cluster"
        )


def _who() -> str:
    try:
        return f"{getpass.getuser()} on {socket.gethostname()}"[:200]
    except (OSError, KeyError):  # a container's user may have no name
        return ""
