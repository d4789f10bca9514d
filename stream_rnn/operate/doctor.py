"""Checks of everything that a worker needs.  No check changes anything that a worker uses."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

from stream_rnn.errors import StreamRNNError, UnreachableError, reason
from stream_rnn.fold.fold_id import fold_id_of, store_tag
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.network import Model
from stream_rnn.operate import check_kafka, check_redis
from stream_rnn.operate.check_dead_letters import check_dead_letters
from stream_rnn.operate.check_host import check_bundle, check_machine, check_numerics
from stream_rnn.operate.check_kafka import check_positions
from stream_rnn.operate.check_keys import check_records
from stream_rnn.operate.check_output_schema import check_output_schema
from stream_rnn.operate.check_registry import check_registry
from stream_rnn.operate.check_result import Finding, Level, bad, fine, warning
from stream_rnn.operate.check_rollout import check_rollout
from stream_rnn.operate.open_fold import Fold, assemble_fold, open_redis
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import primary_info
from stream_rnn.text import format_duration


@dataclass(slots=True)
class _Opened:
    """The bundle and the clients that could be opened; ``None`` for each that could not.

    Attributes:
        model: Model of the bundle.
        redis: Client of Redis.
        cluster: Client of Kafka.
        has_source: Whether the source topic exists.
    """

    model: Model | None = None
    redis: Redis | None = None
    cluster: KafkaCluster | None = None
    has_source: bool = False


async def examine(
    settings: FoldSettings,
    wall: Callable[[], float],
    *,
    keys: int | None,
    writes: bool,
    candidate: str | None = None,
) -> AsyncIterator[Finding]:
    """Run all checks, and yield their findings.

    Args:
        settings: Settings of the worker.
        wall: Clock that returns seconds since 1970.
        keys: Expected number of keys; ``None`` if unknown.
        writes: Whether to open a transaction and abort it.
        candidate: Directory of the bundle of a roll-out to check; ``None`` for none.
    """
    for finding in check_machine(settings):
        yield finding
    opened = _Opened()
    finding, opened.model = check_bundle(settings)
    yield finding
    async for finding in _check_model(opened.model, settings):
        yield finding
    async with AsyncExitStack() as stack:
        async for finding in _check_redis(opened, stack, settings, wall):
            yield finding
        async for finding in _check_kafka(opened, stack, settings, writes):
            yield finding
        model, redis, cluster = opened.model, opened.redis, opened.cluster
        if model is None or redis is None or cluster is None:
            yield warning(
                "not checked",
                "the checks of positions, backup and memory need a working bundle, Redis and Kafka",
                "correct the bad findings above, and run doctor again",
            )
            return
        rows: list[dict[str, Any]] = []
        if opened.has_source:
            given = settings, model, redis, cluster, wall, rows
            async for finding in _check_fold(*given, candidate=candidate):
                yield finding
        else:
            yield warning(
                "not checked",
                "rights on topics, positions and backup need the source topic",
                "correct the bad findings above, and run doctor again",
            )
        nodes = await _read_info(redis, "memory")
        stored = sum(row["keys"] for row in rows)
        yield check_redis.check_memory(nodes, model, settings, keys, stored)


async def _check_model(model: Model | None, settings: FoldSettings) -> AsyncIterator[Finding]:
    if model is not None:
        yield check_numerics(model)
        for finding in await check_output_schema(settings, model):
            yield finding


async def _check_fold(
    settings: FoldSettings,
    model: Model,
    redis: Redis,
    cluster: KafkaCluster,
    wall: Callable[[], float],
    rows: list[dict[str, Any]],
    *,
    candidate: str | None,
) -> AsyncIterator[Finding]:
    """Check positions, backup and roll-out; ``rows`` receives the description of each partition."""
    try:
        fold = await assemble_fold(settings, model, redis, cluster)
        rows += await fold.describe()
        findings = check_positions(list(rows), settings.source)
        findings += check_kafka.check_stream_times(list(rows), settings, wall())
        for finding in (*findings, *await _check_backup(fold, wall, rows)):
            yield finding
    except StreamRNNError as error:
        yield bad("position", str(error), "do what the message says")
    async for finding in check_rollout(settings, candidate, redis, cluster):
        yield finding


async def _check_redis(
    opened: _Opened, stack: AsyncExitStack, settings: FoldSettings, wall: Callable[[], float]
) -> AsyncIterator[Finding]:
    try:
        redis = await stack.enter_async_context(open_redis(settings))
        findings = await check_redis.check_store(redis, settings)
        for finding in findings:
            yield finding
        if any(finding.level is Level.BAD and finding.what == "redis" for finding in findings):
            return
        for finding in await check_redis.check_speed(redis, wall):
            yield finding
        if opened.model is not None:
            identity = fold_id_of(opened.model, settings)
            tag = store_tag(settings.app, settings.source, 0, identity)
            yield await check_redis.check_rights(RedisStore(redis, tag, settings.redis_timeout_s))
        opened.redis = redis
    except (StreamRNNError, RedisError, RedisClusterException, OSError) as error:
        remedy = "start Redis, or correct --redis-url or the file of --redis-url-file"
        yield bad("redis", reason(error, settings.redis_timeout_s), remedy)


async def _check_kafka(
    opened: _Opened, stack: AsyncExitStack, settings: FoldSettings, writes: bool
) -> AsyncIterator[Finding]:
    try:
        cluster = await stack.enter_async_context(KafkaCluster.of(settings))
        yield await check_kafka.check_brokers(cluster)
        for finding in await check_kafka.check_topics(cluster, settings):
            yield finding
        outputs = (settings.predictions, settings.dead_letters_topic)
        topics = await cluster.topics(settings.source, *outputs)
        existing = {name: topics[name].partitions for name in outputs if topics[name].partitions}
        opened.has_source = topics[settings.source].partitions > 0
        if opened.has_source:
            async for finding in _check_source(opened, cluster, settings):
                yield finding
        finding, has_transactions = await check_kafka.check_transactions(cluster, settings)
        yield finding
        latest = await check_dead_letters(cluster, settings, existing)
        if latest is not None:
            yield latest
        opened.cluster = cluster
    except UnreachableError as error:
        detail, _, remedy = str(error).rpartition("; ")
        yield bad("kafka", detail, remedy)
        return
    except StreamRNNError as error:
        remedy = "start Kafka, or correct --bootstrap-servers and --kafka-config"
        yield bad("kafka", str(error), remedy)
        return
    if writes and opened.has_source and has_transactions:
        yield await check_kafka.check_rights(settings, existing)


async def _check_source(
    opened: _Opened, cluster: KafkaCluster, settings: FoldSettings
) -> AsyncIterator[Finding]:
    yield await check_kafka.check_source_read(cluster, settings)
    async for finding in check_registry(cluster, settings, opened.redis):
        yield finding
    spec = None if opened.model is None else opened.model.spec
    for finding in await check_records(cluster, settings, spec):
        yield finding
    yield await check_kafka.check_group(cluster, settings)


async def _read_info(redis: Redis, section: str) -> list[dict[str, Any]]:
    """Return a section of INFO of each primary; nothing if Redis does not answer."""
    try:
        return list((await primary_info(redis, section)).values())
    except (RedisError, RedisClusterException, OSError):
        return []


async def _check_backup(
    fold: Fold, wall: Callable[[], float], rows: list[dict[str, Any]]
) -> list[Finding]:
    """Compare the age of the last snapshot with the retention of the source.

    Args:
        fold: The fold.
        wall: Clock that returns seconds since 1970.
        rows: Description of each partition.
    """
    if all(row["position"] in (None, row["origin"]) for row in rows):
        return [fine("backup", "nothing is folded yet")]
    source = fold.settings.source
    retention_s = (await fold.cluster.topics(source))[source].limit("retention.ms") / 1000
    nodes = await _read_info(fold.redis, "persistence")
    if not nodes:
        return []
    reach = "unlimited" if retention_s == float("inf") else format_duration(retention_s)
    remedy = (
        "take a snapshot, or run state export: a worker cannot continue from a backup that is "
        "older than the log"
    )
    # Without a snapshot, Redis reports its start as the time of the last one.
    if any(facts.get("rdb_saves") == 0 for facts in nodes):
        detail = f"Redis has taken no snapshot since its start; the retention is {reach}"
        is_needed = retention_s != float("inf")
        return [warning("backup", detail, remedy) if is_needed else fine("backup", detail)]
    saves = [facts.get("rdb_last_save_time") for facts in nodes]
    age_s = max(
        (wall() - float(saved_s) for saved_s in saves if isinstance(saved_s, int)), default=0
    )
    age = format_duration(age_s)
    detail = f"the last snapshot of Redis is {age} old; the retention is {reach}"
    return [fine("backup", detail) if age_s <= retention_s else warning("backup", detail, remedy)]
