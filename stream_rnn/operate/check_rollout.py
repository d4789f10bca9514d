"""Checks before a roll-out: whether it can start, and whether there is room for its candidate.

The rules and the estimates are those of ``stream-rnn rollout start``, in ``rollout_start.py`` and
``rollout_cost.py``.
"""

import secrets
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from stream_rnn.errors import ConfigError, StreamRNNError
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.topic_rules import find_shadow_problem
from stream_rnn.operate.check_result import Finding, bad, fine, warning
from stream_rnn.operate.rollout_cost import Cost
from stream_rnn.operate.rollout_start import propose
from stream_rnn.operate.rollout_status import OpenRollout
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.settings import FoldSettings
from stream_rnn.text import format_duration

HEADROOM_SHARE = 0.2


async def check_rollout(
    settings: FoldSettings, candidate: str | None, redis: Redis, cluster: KafkaCluster
) -> AsyncIterator[Finding]:
    """Check a roll-out of a bundle, which is not started.

    Args:
        settings: Settings of the workers.
        candidate: Directory of the new bundle; ``None`` to check nothing.
        redis: Client of Redis.
        cluster: Client of Kafka.
    """
    if candidate is None:
        return
    yield await _check_rights(redis, settings)
    yield await _check_shadow_topic(cluster, settings)
    given = settings.replace(bundle=candidate).of_fold()
    rollout = OpenRollout(given, redis, cluster, RedisPlanStore(redis, given))
    try:
        proposal = await propose(rollout)
    except StreamRNNError as error:
        remedy = "do what the message says; until then, stream-rnn rollout start is refused"
        yield bad("roll-out", str(error), remedy)
        return
    old, new = (fold.fold_id for fold in proposal.folds)
    yield fine("roll-out", f"fold {new} of {candidate} can start beside fold {old}")
    yield check_memory(proposal.cost)
    source = settings.source
    facts = (await cluster.topics(source))[source]
    limits = facts.limit("retention.ms") / 1000, settings.rollout_share
    yield check_time(proposal.cost, source, *limits)


def check_memory(cost: Cost) -> Finding:
    """Check that the states of the candidate leave room in Redis."""
    name, free = "roll-out memory", cost.redis_free_bytes
    detail = f"about {cost.redis_bytes / 1e6:,.1f} MB for {cost.keys:,} keys and both bundles"
    if free is None:
        remedy = "allow INFO, or look at the console of the service"
        return warning(name, f"{detail}; Redis does not tell how much is free", remedy)
    detail += f"; {free / 1e6:,.1f} MB are free"
    if cost.redis_bytes > (1 - HEADROOM_SHARE) * free:
        return warning(name, detail, "raise maxmemory: new keys of both folds need room, too")
    return fine(name, detail)


def check_time(cost: Cost, source: str, retention_s: float, share: float) -> Finding:
    """Compare the time until the candidate is warm with the retention of the source.

    A candidate that is slower than the records arrive, and are removed, never reaches the group
    offset.

    Args:
        cost: What the roll-out takes.
        source: Name of the source.
        retention_s: Retention of the source in seconds; infinity for none.
        share: Share of the time that the candidate has while the fold in charge has work.
    """
    name = "roll-out time"
    if cost.cpu_s is None or cost.warm_s is None:
        return fine(name, f"{source} has no records to fold")
    busy_s = cost.warm_s / share
    detail = (
        f"{cost.records:,} records to fold: {format_duration(cost.cpu_s)} of CPU, measured with "
        f"{cost.sample_records:,} records; {format_duration(cost.warm_s)} until the candidate is "
        f"warm, {format_duration(busy_s)} under full load"
    )
    if busy_s <= retention_s:
        return fine(name, detail)
    detail += f"; the retention of {source} is {format_duration(retention_s)}"
    remedy = (
        "start more workers, raise retention.ms, or start at a quiet time: retention may overtake "
        "the candidate, which then begins again"
    )
    return warning(name, detail, remedy)


async def _check_rights(redis: Redis, settings: FoldSettings) -> Finding:
    """Run the commands of a roll-out in Redis, on a key that is deleted again."""
    name, plans = "roll-out rights", RedisPlanStore(redis, settings)
    probe = f"doctor-{secrets.token_hex(4)}"
    try:
        await plans.read()
        await plans.get_reports([probe])
        await plans.check_rights(probe)
    except ConfigError as error:
        remedy = "grant the user the commands and keys of a roll-out that deploy/README.md lists"
        return bad(name, str(error), remedy)
    except StreamRNNError as error:  # its memory is full
        return bad(name, str(error), "let Redis accept writes: free memory, or raise maxmemory")
    return fine(name, "reports, bundles and the plan can be read and written")


async def _check_shadow_topic(cluster: KafkaCluster, settings: FoldSettings) -> Finding:
    name, topic = "shadow topic", settings.shadow_topic
    if settings.rollout_silent:
        return fine(name, "rollout_silent is set, so candidates publish nothing")
    facts = await cluster.topics(settings.source, topic)
    if not facts[topic].partitions:
        return fine(name, f"{topic} does not exist; the first worker with a candidate creates it")
    problem = find_shadow_problem(facts[topic], facts[settings.source], settings)
    if problem is not None:
        return bad(name, f"{topic}: it {problem.description}", problem.remedy)
    return fine(name, f"{topic}: {facts[topic].partitions} partitions")
