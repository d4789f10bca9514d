"""Everything that a worker needs, checked one by one; nothing that it uses is changed."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from stream_rnn.errors import StreamRNNError, reason
from stream_rnn.fold.fold_id import fold_id, store_tag
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.connection import kafka_options
from stream_rnn.model.network import Model
from stream_rnn.operate import check_kafka, check_redis
from stream_rnn.operate.check_host import check_bundle, check_machine, check_numerics
from stream_rnn.operate.check_result import Finding, Level, bad, fine, warning
from stream_rnn.operate.open_fold import look
from stream_rnn.settings import FoldSettings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore, facts_of_primaries
from stream_rnn.text import format_duration


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
    found, model = check_bundle(settings)
    yield found
    if model is not None:
        yield check_numerics(model)
    is_redis_there = is_kafka_there = True
    async for found in _redis(settings, model, wall):
        is_redis_there &= found.what != "redis" or found.level is not Level.BAD
        yield found
    async for found in _kafka(settings, writes):
        is_kafka_there &= found.what != "kafka" or found.level is not Level.BAD
        yield found
    if model is None or not (is_redis_there and is_kafka_there):
        yield warning(
            "not checked",
            "positions, backup and room for keys: bundle, Redis and Kafka must be there first",
            "mend what is bad above, and ask again",
        )
        return
    rows, some = await _positions(settings, wall)
    for found in some:
        yield found
    yield await _memory(settings, model, keys, sum(row["keys"] for row in rows))


async def _redis(
    settings: FoldSettings, model: Model | None, wall: Callable[[], float]
) -> AsyncIterator[Finding]:
    redis = None
    try:
        redis = connect_redis(settings.redis_url.get_secret_value(), settings.redis_timeout_s)
        some = await check_redis.check_store(redis, settings)
        for found in some:
            yield found
        if any(found.level is Level.BAD and found.what == "redis" for found in some):
            return
        for found in await check_redis.check_speed(redis, wall):
            yield found
        if model is not None:
            identity = fold_id(model.fingerprint, settings)
            tag = store_tag(settings.app, settings.source, 0, identity)
            yield await check_redis.check_rights(RedisStore(redis, tag, settings.redis_timeout_s))
    except (StreamRNNError, RedisError, RedisClusterException, OSError) as error:
        yield bad(
            "redis", reason(error, settings.redis_timeout_s), "start it, or correct --redis-url"
        )
    finally:
        if redis is not None:
            await redis.aclose()


async def _kafka(settings: FoldSettings, writes: bool) -> AsyncIterator[Finding]:
    try:
        connection = kafka_options(settings.bootstrap_servers, settings.kafka_config)
        async with KafkaCluster(connection, settings) as facts:
            yield await check_kafka.check_brokers(facts)
            for found in await check_kafka.check_topics(facts, settings):
                yield found
            source = settings.source
            yield await check_kafka.check_source_read(facts, settings)
            outputs = (settings.predictions, settings.dead_letters_topic)
            topics = await facts.topics(source, *outputs)
            there = {name: topics[name].partitions for name in outputs if topics[name].partitions}
    except StreamRNNError as error:
        yield bad("kafka", str(error), "start it, or correct --bootstrap-servers, --kafka-config")
        return
    if writes and topics[source].partitions:
        yield await check_kafka.check_rights(settings, there)


async def _positions(
    settings: FoldSettings, wall: Callable[[], float]
) -> tuple[list[dict[str, Any]], list[Finding]]:
    try:
        rows = await look(settings)
        found = check_kafka.check_positions(list(rows), settings.source)
        return rows, found + await _backup(settings, wall)
    except StreamRNNError as error:
        return [], [bad("position", str(error), "see the message")]


async def _facts(settings: FoldSettings, section: str) -> list[dict[str, Any]]:
    """Ask each primary of Redis for a section of INFO; none: it does not say."""
    redis = connect_redis(settings.redis_url.get_secret_value(), settings.redis_timeout_s)
    try:
        return list((await facts_of_primaries(redis, section)).values())
    except (RedisError, RedisClusterException, OSError):
        return []
    finally:
        await redis.aclose()


async def _memory(settings: FoldSettings, model: Model, keys: int | None, held: int) -> Finding:
    nodes = await _facts(settings, "memory")
    return check_redis.check_memory(nodes, model, settings, keys, held)


async def _backup(settings: FoldSettings, wall: Callable[[], float]) -> list[Finding]:
    """Compare the age of the last snapshot with the log's retention."""
    connection = kafka_options(settings.bootstrap_servers, settings.kafka_config)
    source = settings.source
    async with KafkaCluster(connection, settings) as facts:
        retention_s = (await facts.topics(source))[source].limit("retention.ms") / 1000
    nodes = await _facts(settings, "persistence")
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
