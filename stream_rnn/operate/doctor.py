"""Everything that a worker needs, checked one by one; nothing that it uses is changed."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

from stream_rnn.errors import StreamRNNError, reason
from stream_rnn.fold.fold_id import fold_id, store_tag
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.network import Model
from stream_rnn.operate import check_kafka, check_redis
from stream_rnn.operate.check_host import check_bundle, check_machine, check_numerics
from stream_rnn.operate.check_kafka import check_positions
from stream_rnn.operate.check_result import Finding, Level, bad, fine, warning
from stream_rnn.operate.open_fold import Fold, fold_of, open_redis
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import RedisStore, primary_info
from stream_rnn.text import format_duration


@dataclass(slots=True)
class _Opened:
    """What the doctor has opened and found to answer, each once."""

    model: Model | None = None
    redis: Redis | None = None
    cluster: KafkaCluster | None = None


async def examine(
    settings: FoldSettings, wall: Callable[[], float], *, keys: int | None, writes: bool
) -> AsyncIterator[Finding]:
    """Yield what each check finds.

    Args:
        settings: of the worker.
        wall: seconds since 1970.
        keys: how many are expected.
        writes: whether to open a transaction and abort it.
    """
    for found in check_machine(settings):
        yield found
    opened = _Opened()
    found, opened.model = check_bundle(settings)
    yield found
    if opened.model is not None:
        yield check_numerics(opened.model)
    async with AsyncExitStack() as stack:
        async for found in _redis(opened, stack, settings, wall):
            yield found
        async for found in _kafka(opened, stack, settings, writes):
            yield found
        model, redis, cluster = opened.model, opened.redis, opened.cluster
        if model is None or redis is None or cluster is None:
            yield warning(
                "not checked",
                "positions, backup and room for keys: bundle, Redis and Kafka must be there first",
                "mend what is bad above, and ask again",
            )
            return
        rows: list[dict[str, Any]] = []
        try:
            fold = await fold_of(settings, model, redis, cluster)
            rows = await fold.look()
            for found in (
                *check_positions(list(rows), settings.source),
                *await _backup(fold, wall),
            ):
                yield found
        except StreamRNNError as error:
            yield bad("position", str(error), "see the message")
        nodes = await _facts(redis, "memory")
        held = sum(row["keys"] for row in rows)
        yield check_redis.check_memory(nodes, model, settings, keys, held)


async def _redis(
    opened: _Opened, stack: AsyncExitStack, settings: FoldSettings, wall: Callable[[], float]
) -> AsyncIterator[Finding]:
    try:
        redis = await stack.enter_async_context(open_redis(settings))
        some = await check_redis.check_store(redis, settings)
        for found in some:
            yield found
        if any(found.level is Level.BAD and found.what == "redis" for found in some):
            return
        for found in await check_redis.check_speed(redis, wall):
            yield found
        if opened.model is not None:
            identity = fold_id(opened.model.fingerprint, settings)
            tag = store_tag(settings.app, settings.source, 0, identity)
            yield await check_redis.check_rights(RedisStore(redis, tag, settings.redis_timeout_s))
        opened.redis = redis
    except (StreamRNNError, RedisError, RedisClusterException, OSError) as error:
        yield bad(
            "redis", reason(error, settings.redis_timeout_s), "start it, or correct --redis-url"
        )


async def _kafka(
    opened: _Opened, stack: AsyncExitStack, settings: FoldSettings, writes: bool
) -> AsyncIterator[Finding]:
    try:
        cluster = await stack.enter_async_context(KafkaCluster.of(settings))
        yield await check_kafka.check_brokers(cluster)
        for found in await check_kafka.check_topics(cluster, settings):
            yield found
        yield await check_kafka.check_source_read(cluster, settings)
        outputs = (settings.predictions, settings.dead_letters_topic)
        topics = await cluster.topics(settings.source, *outputs)
        there = {name: topics[name].partitions for name in outputs if topics[name].partitions}
        opened.cluster = cluster
    except StreamRNNError as error:
        yield bad("kafka", str(error), "start it, or correct --bootstrap-servers, --kafka-config")
        return
    if writes and topics[settings.source].partitions:
        yield await check_kafka.check_rights(settings, there)


async def _facts(redis: Redis, section: str) -> list[dict[str, Any]]:
    """Ask each primary of Redis for a section of INFO; none: it does not say."""
    try:
        return list((await primary_info(redis, section)).values())
    except (RedisError, RedisClusterException, OSError):
        return []


async def _backup(fold: Fold, wall: Callable[[], float]) -> list[Finding]:
    """Compare the age of the last snapshot with the log's retention."""
    source = fold.settings.source
    retention_s = (await fold.cluster.topics(source))[source].limit("retention.ms") / 1000
    nodes = await _facts(fold.redis, "persistence")
    if not nodes:
        return []
    reach = "without end" if retention_s == float("inf") else format_duration(retention_s)
    remedy = "take one, or state export: a backup older than the log cannot be folded forward"
    if any(facts.get("rdb_saves") == 0 for facts in nodes):  # its last save is its own start
        said = f"Redis took no snapshot since it was started, the log reaches back {reach}"
        is_needed = retention_s != float("inf")
        return [warning("backup", said, remedy) if is_needed else fine("backup", said)]
    saved = [facts.get("rdb_last_save_time") for facts in nodes]
    age_s = max((wall() - float(one) for one in saved if isinstance(one, int)), default=0.0)
    age = format_duration(age_s)
    said = f"Redis' last snapshot is {age} old, the log reaches back {reach}"
    return [fine("backup", said) if age_s <= retention_s else warning("backup", said, remedy)]
