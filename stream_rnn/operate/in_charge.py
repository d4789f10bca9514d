"""Which fold a worker would run, if the bundle of the settings is not that of the fold in charge."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from stream_rnn.errors import ConfigError
from stream_rnn.fold.facts import Facts, known_group_offset
from stream_rnn.rollout.in_charge import without_fold_in_charge
from stream_rnn.rollout.plan import Plan
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.settings import FoldSettings


async def read_kept_folds(redis: Redis, settings: FoldSettings) -> tuple[Plan | None, set[str]]:
    """Return the plan of a roll-out, and its folds whose bundles workers load from Redis.

    A plan that another program has written counts as none, as it does for a worker that starts.

    Raises:
        UnavailableError: Redis does not answer.
    """
    plans = RedisPlanStore(redis, settings)
    try:
        plan = await plans.read()
    except ConfigError:
        return None, set()
    if plan is None:
        return None, set()
    folds = [one for one in plan.folds if await plans.has_bundle(one.fingerprint)]
    return plan, {one.fold_id for one in folds}


def add_requests(facts: Facts, partition: int, plan: Plan | None, kept: set[str]) -> Facts:
    """Add to facts what a worker reads in the plan, if it cannot load the bundle of the fold in charge.

    Args:
        facts: Facts of the fold of the settings.
        partition: Number of the partition.
        plan: Plan of the roll-out, if any.
        kept: Folds whose bundles are in Redis.
    """
    known = known_group_offset(facts)
    if known is None or known.fold_id in (None, facts.fold_id, *kept):
        return facts
    return without_fold_in_charge(facts, plan, partition, known)


def add_fold_in_charge(row: dict[str, Any], plan: Plan | None, kept: set[str]) -> None:
    """Add to the description of a partition which fold a worker would run.

    A worker runs the fold that the group offset names if it can load its bundle, whatever its own
    bundle is; then there is no decision about the fold of the settings.

    Args:
        row: Description of one partition; see :meth:`stream_rnn.operate.open_fold.Fold.describe`.
        plan: Plan of the roll-out, if any.
        kept: Folds whose bundles are in Redis.
    """
    fold, in_charge = row["fold"], row["group_offset_fold"]
    row["runs"], row["rollout"] = fold, None if plan is None else plan.stage
    row["is_candidate"] = False
    if in_charge is None or in_charge == fold or in_charge not in kept or plan is None:
        return
    row["runs"] = in_charge
    row["is_candidate"] = plan.stage == "open" and fold in plan.fold_ids
    for name in ("row", "start", "publish_from", "would_lose", "stop"):
        row[name] = None


def describe_fold_in_charge(row: Mapping[str, Any]) -> str:
    """Return that another fold is in charge, for people; empty if none is."""
    if row.get("runs") in (None, row.get("fold")):
        return ""
    how = f"by cut-over {row['number']}" if row["number"] else "since before the roll-out"
    own = "is none of the roll-out's" if row["rollout"] == "open" else "is not folded"
    if row["is_candidate"]:
        own = "is the candidate: see stream-rnn rollout status"
    return (
        f"fold {row['runs']} is in charge, {how}, and workers run it with its bundle from Redis, "
        f"whatever their own bundle is; fold {row['fold']}, of this bundle, {own}"
    )
