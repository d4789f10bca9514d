"""A fold opened from outside of its workers: the store and the log of each partition."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from stream_rnn.errors import ConfigError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.fold_id import fold_id_of, store_tag
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
from stream_rnn.operate.in_charge import add_fold_in_charge, add_requests, read_kept_folds
from stream_rnn.settings import FoldSettings, Settings
from stream_rnn.store.connection import connect_by_settings
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import check_redis


@dataclass(frozen=True, slots=True)
class FoldPartition:
    """One partition of a fold with its hidden states and its log."""

    partition: int
    store: RedisStore
    log: KafkaLog


@dataclass(frozen=True, slots=True)
class Fold:
    """An open fold: the stores and logs of all its partitions.

    Attributes:
        settings: Settings of its workers.
        model: Model that was loaded from the bundle.
        redis: Client of Redis.
        cluster: Client of Kafka.
        places: Store and log of each partition, in order.
    """

    settings: FoldSettings
    model: Model
    redis: Redis
    cluster: KafkaCluster
    places: list[FoldPartition]

    @property
    def identity(self) -> str:
        """Id of the fold."""
        return fold_id_of(self.model, self.settings)

    def select(self, partition: int | None) -> list[FoldPartition]:
        """Return one partition, or all if ``partition`` is ``None``.

        Raises:
            ConfigError: The source has no such partition.
        """
        places = [place for place in self.places if partition in (None, place.partition)]
        if not places:
            raise ConfigError(f"{self.settings.source} has no partition {partition}")
        return places

    async def require_no_workers(self, action: str) -> None:
        """Raise if workers of this fold run, because they would write at the same time.

        Workers that run another bundle do not count, unless this fold is their candidate: they write
        to a fold of their own.

        Args:
            action: Action to refuse, for the message.

        Raises:
            ConfigError: Workers of this fold run.
        """
        app = self.settings.app
        plan, _ = await read_kept_folds(self.redis, self.settings)
        is_rolled_out = plan is not None and plan.stage == "open" and self.identity in plan.fold_ids
        offsets = await gather_or_cancel(place.log.group_offset() for place in self.places)
        is_other = all(c is not None and c.fold_id not in (None, self.identity) for c in offsets)
        if is_other and not is_rolled_out:
            return
        members = await self.cluster.member_count(app)
        if members:
            raise ConfigError(
                f"group {app} has {members} running worker{'s'[: members != 1]}: stop them before "
                f"{action}, or use --force. Kafka counts a killed worker until its session timeout "
                "of 10 s ends"
            )

    async def describe(self) -> list[dict[str, Any]]:
        """Return positions and offsets of each partition, and where a worker would start."""
        settings = self.settings
        options = RecoveryOptions.of(settings)
        plan, kept = await read_kept_folds(self.redis, settings)
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
            facts = add_requests(await recovery.read(), place.partition, plan, kept)
            row = _row(place.partition, facts, options)
            add_fold_in_charge(row, plan, kept)
            rows.append(row)
        return rows


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """Open a client of Redis, which connects at its first command."""
    redis = connect_by_settings(settings)
    try:
        yield redis
    finally:
        await redis.aclose()


async def assemble_fold(
    settings: FoldSettings, model: Model, redis: Redis, cluster: KafkaCluster
) -> Fold:
    """Return a fold that uses open clients.

    Raises:
        ConfigError: The source topic does not exist.
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
        fold.places.append(FoldPartition(partition, store, KafkaLog(cluster, settings, partition)))
    return fold


@asynccontextmanager
async def open_fold(settings: FoldSettings) -> AsyncIterator[Fold]:
    """Load the bundle, and connect to Redis and Kafka until the context ends."""
    model = load_bundle(settings.bundle)
    async with open_redis(settings) as redis:
        await check_redis(redis, settings)
        async with KafkaCluster.of(settings) as cluster:
            yield await assemble_fold(settings, model, redis, cluster)


def _row(partition: int, facts: Facts, options: RecoveryOptions) -> dict[str, Any]:
    decision, group_offset = where_to_start(facts, options), known_group_offset(facts)
    stored = facts.stored
    folded_to = facts.log_start if stored.position is None else stored.position
    return {
        "partition": partition,
        "position": stored.position,
        "origin": stored.origin,
        "group_offset": group_offset.offset if group_offset else None,
        "log_start": facts.log_start,
        "log_end": facts.log_end,
        "lag": facts.log_end - folded_to,
        "anchor": None if stored.anchor is None else stored.anchor.offset,
        "keys": stored.fields,
        "fold": facts.fold_id,
        "group_offset_fold": group_offset.fold_id if group_offset else None,
        "number": group_offset.number if group_offset else 0,
        "last_output_fold": facts.last_output.fold_id if facts.last_output else None,
        "torn": stored.is_torn,
        "stream_time_ms": stored.stream_time_ms,
        "numerics": stored.numerics,
        "lost": stored.lost,
        "row": decision.row,
        "start": None if isinstance(decision, Stop) else decision.position,
        "publish_from": None if isinstance(decision, Stop) else decision.publish_from,
        "would_lose": None if isinstance(decision, Stop) else decision.lost,
        "stop": decision.message if isinstance(decision, Stop) else None,
    }
