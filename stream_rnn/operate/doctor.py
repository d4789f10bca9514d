"""Everything that a worker needs, checked one by one; nothing that it uses is changed."""

from collections.abc import AsyncIterator, Callable

from redis.exceptions import RedisClusterException, RedisError

from stream_rnn.clients import connect_redis, kafka_options
from stream_rnn.errors import StreamRNNError
from stream_rnn.fold.identity import fold_id, store_tag
from stream_rnn.fold.kafka_log import KafkaFacts
from stream_rnn.fold.redis_store import RedisStore, facts_of_primaries
from stream_rnn.model.model import Model
from stream_rnn.operate import check_kafka, check_redis
from stream_rnn.operate.check_here import check_bundle, check_machine, check_numerics
from stream_rnn.operate.findings import Finding, Level, bad, fine, warning
from stream_rnn.operate.folds import look
from stream_rnn.settings import Settings


async def examine(
    settings: Settings, wall: Callable[[], float], *, keys: int | None, writes: bool
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
    are_both_there = True
    async for found in _redis(settings, model, wall, keys):
        are_both_there &= found.what != "redis" or found.level is not Level.BAD
        yield found
    async for found in _kafka(settings, writes):
        are_both_there &= found.what != "kafka" or found.level is not Level.BAD
        yield found
    if model is not None and are_both_there:
        for found in await _positions(settings, wall):
            yield found


async def _redis(
    settings: Settings, model: Model | None, wall: Callable[[], float], keys: int | None
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
            nodes = await facts_of_primaries(redis, "memory")
            yield check_redis.check_memory(nodes.values(), model, settings, keys)
            identity = fold_id(model.fingerprint, settings)
            tag = store_tag(settings.app or "", settings.source or "", 0, identity)
            yield await check_redis.check_rights(RedisStore(redis, tag, settings.redis_timeout_s))
    except (StreamRNNError, RedisError, RedisClusterException, OSError) as error:
        yield bad("redis", f"{type(error).__name__}: {error}", "start it, or correct --redis-url")
    finally:
        if redis is not None:
            await redis.aclose()


async def _kafka(settings: Settings, writes: bool) -> AsyncIterator[Finding]:
    try:
        connection = kafka_options(settings.bootstrap_servers, settings.kafka_config)
        async with KafkaFacts(connection, settings) as facts:
            yield await check_kafka.check_brokers(facts)
            for found in await check_kafka.check_topics(facts, settings):
                yield found
            source = settings.source or ""
            partitions = (await facts.topics(source))[source].partitions
    except StreamRNNError as error:
        yield bad("kafka", str(error), "start it, or correct --bootstrap-servers, --kafka-config")
        return
    if writes and partitions:
        yield await check_kafka.check_rights(settings, partitions)


async def _positions(settings: Settings, wall: Callable[[], float]) -> list[Finding]:
    try:
        found = check_kafka.check_positions(list(await look(settings)), settings.source or "")
        return found + await _backup(settings, wall)
    except StreamRNNError as error:
        return [bad("position", str(error), "see the message")]


async def _backup(settings: Settings, wall: Callable[[], float]) -> list[Finding]:
    """Compare the age of the last snapshot with the log's retention."""
    connection = kafka_options(settings.bootstrap_servers, settings.kafka_config)
    source = settings.source or ""
    async with KafkaFacts(connection, settings) as facts:
        retention_s = (await facts.topics(source))[source].limit("retention.ms") / 1000
    redis = connect_redis(settings.redis_url.get_secret_value(), settings.redis_timeout_s)
    try:
        nodes = await facts_of_primaries(redis, "persistence")
    except (RedisError, RedisClusterException, OSError):
        return []
    finally:
        await redis.aclose()
    saved = [facts.get("rdb_last_save_time") for facts in nodes.values()]
    age_s = max((wall() - float(one) for one in saved if isinstance(one, int)), default=0.0)
    reach = "without end" if retention_s == float("inf") else f"{retention_s / 86400:.1f} days"
    said = f"Redis' last snapshot is {age_s / 86400:.1f} days old, the log reaches back {reach}"
    if age_s <= retention_s:
        return [fine("backup", said)]
    return [warning("backup", said, "take one: an older backup cannot be folded forward")]
