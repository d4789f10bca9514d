"""A fold seen from outside: the store and the log of each of its partitions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from stream_rnn.errors import ConfigError
from stream_rnn.fold.fold_id import fold_id, store_tag
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.recovery import (
    Facts,
    RecoveryOptions,
    Stop,
    known_group_offset,
    where_to_start,
)
from stream_rnn.fold.recovery_facts import Recovery
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import Model
from stream_rnn.settings import FoldSettings, Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore, check_redis


@dataclass(frozen=True, slots=True)
class Place:
    """One partition of a fold."""

    partition: int
    store: RedisStore
    log: KafkaLog


@dataclass(frozen=True, slots=True)
class Fold:
    """The stores and logs of all partitions of a fold, while it is open.

    Attributes:
        settings: which fold, and where.
        model: its bundle.
        redis: a client.
        cluster: what Kafka is asked.
        places: its partitions.
    """

    settings: FoldSettings
    model: Model
    redis: Redis
    cluster: KafkaCluster
    places: list[Place]

    @property
    def identity(self) -> str:
        """The fold's id."""
        return fold_id(self.model.fingerprint, self.settings)

    def chosen(self, partition: int | None) -> list[Place]:
        """Return one partition, or all.

        Raises:
            ConfigError: there is no such partition.
        """
        found = [place for place in self.places if partition in (None, place.partition)]
        if not found:
            raise ConfigError(f"{self.settings.source} has no partition {partition}")
        return found

    async def require_no_workers(self, doing: str) -> None:
        """Refuse while the group has members that fold this: they would write meanwhile.

        The states of another bundle's fold may be changed while workers run: nobody folds it.

        Args:
            doing: what is refused, for the message.

        Raises:
            ConfigError: workers run.
        """
        app = self.settings.app
        offsets = await asyncio.gather(*(place.log.group_offset() for place in self.places))
        if all(c is not None and c.fold_id not in (None, self.identity) for c in offsets):
            return
        members = await self.cluster.member_count(app)
        if members:
            raise ConfigError(
                f"{members} worker{'s'[: members != 1]} of {app} run{'s'[: members == 1]}: stop "
                f"them before {doing}, or give --force; one that was killed is a member for its "
                "session timeout, 10 s"
            )

    async def look(self) -> list[dict[str, Any]]:
        """Return, for each partition, what Redis and Kafka hold and where a worker would start."""
        settings = self.settings
        options = RecoveryOptions.of(settings)
        rows = []
        for place in self.places:
            name = f"{settings.source}[{place.partition}]"
            recovery = Recovery(
                place=name,
                fold_id=self.identity,
                store=place.store,
                log=place.log,
                options=options,
            )
            rows.append(_row(place.partition, await recovery.read(), options))
        return rows


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """Open a client of Redis.  Nothing is asked yet."""
    redis = connect_redis(settings.redis_url.get_secret_value(), settings.redis_timeout_s)
    try:
        yield redis
    finally:
        await redis.aclose()


async def fold_of(
    settings: FoldSettings, model: Model, redis: Redis, cluster: KafkaCluster
) -> Fold:
    """Return a fold, by what is open already.

    Raises:
        ConfigError: the source topic does not exist.
    """
    source = settings.source
    count = (await cluster.topics(source))[source].partitions
    if not count:
        raise ConfigError(
            f"the source topic {source} does not exist; check --source and --bootstrap-servers"
        )
    fold = Fold(settings, model, redis, cluster, [])
    for partition in range(count):
        tag = store_tag(settings.app, source, partition, fold.identity)
        store = RedisStore(redis, tag, settings.redis_timeout_s)
        fold.places.append(Place(partition, store, KafkaLog(cluster, settings, partition)))
    return fold


@asynccontextmanager
async def open_fold(settings: FoldSettings) -> AsyncIterator[Fold]:
    """Load the bundle, connect to Redis and Kafka, and close both at the end."""
    model = load_bundle(settings.bundle)
    async with open_redis(settings) as redis:
        await check_redis(redis, settings)
        async with KafkaCluster.of(settings) as cluster:
            yield await fold_of(settings, model, redis, cluster)


def _row(partition: int, facts: Facts, options: RecoveryOptions) -> dict[str, Any]:
    decision, c = where_to_start(facts, options), known_group_offset(facts)
    held, stop = facts.stored, isinstance(decision, Stop)
    return {
        "partition": partition,
        "position": held.position,
        "origin": held.origin,
        "group_offset": c.offset if c else None,
        "log_start": facts.log_start,
        "log_end": facts.log_end,
        "lag": facts.log_end - (held.position if held.position is not None else facts.log_start),
        "anchor": None if held.anchor is None else held.anchor.offset,
        "keys": held.fields,
        "fold": facts.fold_id,
        "group_offset_fold": c.fold_id if c else None,
        "last_output_fold": facts.last_output.fold_id if facts.last_output else None,
        "torn": held.is_torn,
        "stream_time_ms": held.stream_time_ms,
        "numerics": held.numerics,
        "lost": held.lost,
        "row": decision.row,
        "start": None if isinstance(decision, Stop) else decision.position,
        "publish_from": None if isinstance(decision, Stop) else decision.publish_from,
        "stop": decision.message if isinstance(decision, Stop) and stop else None,
    }
