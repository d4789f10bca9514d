"""Checks of the schema registry: whether it answers, and whether it knows the ids of the source."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from redis.asyncio import Redis

from stream_rnn.errors import ConfigError, DecodeError, NoAnswerError, UnavailableError
from stream_rnn.formats.frames import frame_of
from stream_rnn.formats.open_schemas import open_registry, open_schemas
from stream_rnn.formats.schema_file import decode_line
from stream_rnn.formats.schemas import Verdict
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.operate.check_result import Finding, bad, fine, warning
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_schemas import RedisSchemas

if TYPE_CHECKING:
    from stream_rnn.formats.registry import Registry  # of the extra `registry`

OFFSETS_MAX = 200
"""Latest offsets that are read of each partition."""
PARTITIONS_MAX = 32
IDS_MAX = 50
SHOWN_MAX = 10


async def check_registry(
    cluster: KafkaCluster, settings: FoldSettings, redis: Redis | None
) -> AsyncIterator[Finding]:
    """Yield what is found out about the registry and the ids of the latest records.

    Args:
        cluster: The open cluster.
        settings: Settings of the worker.
        redis: Client of Redis; ``None`` if it does not answer.

    Raises:
        StreamRNNError: Kafka or Redis does not answer.
    """
    try:
        schemas, registry = open_schemas(settings), open_registry(settings)
    except ConfigError as error:
        yield bad("schema registry", str(error), "do what the message says")
        return
    if schemas is None:
        return
    if registry is not None:
        yield await _check_answer(registry)
    known = schemas.known()
    if redis is not None:
        store = RedisSchemas(redis, settings)
        yield await _check_right(store)
        kept = await store.read_all()
        known |= dict(decode_line(line, f"schema id {one}") for one, line in kept.items())
    ids, records = await _sample(cluster, settings.source)
    yield await _check_ids(ids, records, known, registry, settings)


async def _check_answer(registry: "Registry") -> Finding:
    try:
        await asyncio.to_thread(registry.ping)
    except UnavailableError as error:
        return bad(
            "schema registry",
            str(error),
            "start it, or correct --schema-registry-url and the file of --schema-registry-config",
        )
    return fine("schema registry", f"{registry.place} answers")


async def _check_right(store: RedisSchemas) -> Finding:
    """Return whether Redis lets a worker keep schemas."""
    what = "schemas in redis"
    try:
        await store.check_right()
    except ConfigError as error:
        return bad(what, str(error), "grant the user the command that deploy/README.md lists")
    except NoAnswerError as error:
        return bad(what, str(error), "start Redis, or correct --redis-url")
    except UnavailableError as error:
        return bad(what, str(error), "let Redis accept writes: free memory, or raise maxmemory")
    return fine(what, f"a worker may keep the schemas of the source in {store.key}")


async def _sample(cluster: KafkaCluster, source: str) -> tuple[Counter[str], int]:
    """Return how many of the latest records have each schema id, and the number of all."""
    ids, count = Counter[str](), 0
    partitions = (await cluster.topics(source))[source].partitions
    for partition in range(min(partitions, PARTITIONS_MAX)):
        tp = TopicPartition(source, partition)
        start, end = await cluster.log_start(tp), await cluster.log_end(tp)
        async with aclosing(cluster.batches(tp, max(start, end - OFFSETS_MAX), end)) as batches:
            async for records in batches:
                count += len(records)
                frames = (frame_of(one.value, one.headers) for one in records if one.value)
                ids.update(frame.schema_id for frame in frames if frame)
    return ids, count


async def _check_ids(
    ids: Counter[str],
    records: int,
    known: Mapping[str, Verdict],
    registry: "Registry | None",
    settings: FoldSettings,
) -> Finding:
    name, shown, unknown = "schema ids", [], []
    for schema_id, count in ids.most_common(IDS_MAX):
        verdict = known.get(schema_id)
        if verdict is None and registry is not None:
            verdict = await _ask(registry, schema_id)
        if verdict is None:
            unknown.append(schema_id)
        kind = verdict.code if isinstance(verdict, DecodeError) else getattr(verdict, "kind", "?")
        shown.append(f"{schema_id} ({kind}, {count})")
    more = f" and {len(ids) - SHOWN_MAX} more" if len(ids) > SHOWN_MAX else ""
    framed = f"{ids.total()} of the {records} latest records are framed"
    detail = f"{framed}: ids {', '.join(shown[:SHOWN_MAX])}{more}" if ids else framed
    if not unknown:
        return fine(name, detail)
    detail += f"; no schema for {', '.join(unknown[:SHOWN_MAX])}"
    if settings.on_unknown_schema == "dead_letter":
        return warning(name, detail, "register the schemas before a worker reads these records")
    return bad(
        name,
        detail,
        "register the schemas, name a file that has them with --schemas, or set "
        "--on-unknown-schema dead_letter; a worker stops at these records",
    )


async def _ask(registry: "Registry", schema_id: str) -> Verdict | None:
    """Return what an id stands for; ``None`` if that cannot be found out."""
    try:
        return await asyncio.to_thread(registry.fetch, schema_id)
    except DecodeError as error:
        return None if error.code == "unknown_schema" else error
    except UnavailableError:
        return None
