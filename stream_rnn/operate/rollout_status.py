"""A roll-out seen from outside of its workers: the plan, the workers and each partition."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from redis.asyncio import Redis

from stream_rnn.errors import ConfigError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.fold_id import store_tag
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_members import read_group_members
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.operate.open_fold import open_redis
from stream_rnn.rollout.plan import Plan, Request
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.rollout.worker_report import Workers
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.server_checks import check_redis
from stream_rnn.store.state import StoredPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStatus:
    """One partition of a roll-out.

    Attributes:
        partition: Number of the source partition.
        log_start: First available offset of the source.
        known: Group offset, which names the fold in charge; ``None`` before the first start.
        pending: Request that is not carried out yet; ``None`` if there is none.
        stored: What Redis stores for each fold of the plan and the fold in charge, by its id.
    """

    partition: int
    log_start: int
    known: GroupOffset | None
    pending: Request | None
    stored: dict[str, StoredPosition]

    @property
    def fold_id(self) -> str | None:
        """Id of the fold in charge; ``None`` if no fold has written the group offset."""
        return None if self.known is None else self.known.fold_id

    def lag(self, fold_id: str) -> int | None:
        """Return the number of offsets of which a fold is behind the group offset.

        ``None`` before the fold or the partition has begun.
        """
        stored = self.stored.get(fold_id, StoredPosition())
        if self.known is None or stored.position is None:
            return None
        return max(self.known.offset - stored.position, 0)

    def candidate(self, fold_ids: tuple[str, str]) -> str:
        """Return the fold of a roll-out that is not in charge; the new one if neither is."""
        old, new = fold_ids
        return old if self.fold_id == new else new

    def as_json(self) -> dict[str, Any]:
        """Return the status for JSON."""
        known = self.known
        return {
            "partition": self.partition,
            "fold": self.fold_id,
            "group_offset": known.offset if known else None,
            "origin": known.origin if known else None,
            "number": known.number if known else None,
            "log_start": self.log_start,
            "pending": self.pending.model_dump() if self.pending else None,
            "folds": {
                fold_id: {
                    "position": stored.position,
                    "origin": stored.origin,
                    "keys": stored.fields,
                    "lag": self.lag(fold_id),
                }
                for fold_id, stored in self.stored.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Status:
    """A roll-out at one time.

    Attributes:
        plan: Plan; ``None`` if no roll-out was started.
        workers: Members of the group, each with its report.
        partitions: All partitions, in order.
    """

    plan: Plan | None
    workers: Workers
    partitions: list[PartitionStatus]

    def require_plan(self) -> Plan:
        """Return the plan.

        Raises:
            ConfigError: There is none.
        """
        if self.plan is None:
            raise ConfigError(
                "Redis has no plan of a roll-out: start one with stream-rnn rollout start, and "
                "check that --app, --source and --redis-url are those of the workers"
            )
        return self.plan

    def select(self, numbers: frozenset[int] | None) -> list[PartitionStatus]:
        """Return some partitions, or all if ``numbers`` is ``None``.

        Raises:
            ConfigError: The source has no such partition.
        """
        absent = sorted((numbers or frozenset()) - {p.partition for p in self.partitions})
        if absent:
            raise ConfigError(
                f"the source has no partition {absent[0]}; it has {len(self.partitions)}, from 0 on"
            )
        return [p for p in self.partitions if numbers is None or p.partition in numbers]

    def as_json(self) -> dict[str, Any]:
        """Return the status for JSON."""
        plan = self.plan
        about = None if plan is None else plan.model_dump(exclude={"requests", "promotes"})
        return {
            "plan": about,
            "workers": [
                {"worker": name, "report": None if report is None else report.model_dump()}
                for name, report in self.workers.reports.items()
            ],
            "partitions": [partition.as_json() for partition in self.partitions],
        }


@dataclass(frozen=True, slots=True)
class OpenRollout:
    """Clients that are open, for one app and source.

    Attributes:
        settings: Settings of the workers; the bundle may be empty.
        redis: Client of Redis.
        cluster: Client of Kafka.
        plans: Store of the plan, the bundles and the reports.
    """

    settings: FoldSettings
    redis: Redis
    cluster: KafkaCluster
    plans: RedisPlanStore

    def store(self, fold_id: str, partition: int) -> RedisStore:
        """Return the store of a fold's hidden states."""
        settings = self.settings
        tag = store_tag(settings.app, settings.source, partition, fold_id)
        return RedisStore(self.redis, tag, settings.redis_timeout_s)

    async def known(self, partition: int) -> GroupOffset | None:
        """Return the group offset of a partition, which names the fold in charge."""
        tp = TopicPartition(self.settings.source, partition)
        return await self.cluster.group_offset(self.settings.app, tp)

    async def read_workers(self) -> Workers:
        """Return the members of the group with their reports."""
        admin, group = self.cluster.admin, self.settings.app
        assert admin is not None, "the cluster is open"
        found = await self.cluster.await_admin_answer(
            lambda: read_group_members(admin, group), f"group {group}"
        )
        members = [
            member
            for member in found.members
            if member.topics is None or self.settings.source in member.topics
        ]
        reports = await self.plans.get_reports([member.member_id for member in members])
        return Workers(dict(zip(map(str, members), reports, strict=True)))

    async def status(self, *more: str) -> Status:
        """Read everything.

        Args:
            more: Ids of further folds whose stored positions are read.

        Raises:
            ConfigError: The source does not exist, or another program has written the plan.
        """
        source = self.settings.source
        count = (await self.cluster.topics(source))[source].partitions
        if not count:
            raise ConfigError(
                f"the source topic {source} does not exist; check --source and --bootstrap-servers"
            )
        plan, workers = await self.plans.read(), await self.read_workers()
        fold_ids = [*(plan.fold_ids if plan is not None else ()), *more]
        reads = (self._read_partition(number, plan, fold_ids) for number in range(count))
        return Status(plan, workers, await gather_or_cancel(reads))

    async def _read_partition(
        self, partition: int, plan: Plan | None, fold_ids: list[str]
    ) -> PartitionStatus:
        tp, known = TopicPartition(self.settings.source, partition), await self.known(partition)
        in_charge = [known.fold_id] if known is not None and known.fold_id is not None else []
        number = known.number if known is not None else 0
        return PartitionStatus(
            partition=partition,
            log_start=await self.cluster.log_start(tp),
            known=known,
            pending=plan.pending(partition, number) if plan is not None else None,
            stored={
                fold_id: await self.store(fold_id, partition).read()
                for fold_id in dict.fromkeys([*fold_ids, *in_charge])
            },
        )


@asynccontextmanager
async def open_rollout(settings: FoldSettings) -> AsyncIterator[OpenRollout]:
    """Connect to Redis and Kafka until the context ends."""
    async with open_redis(settings) as redis:
        await check_redis(redis, settings)
        async with KafkaCluster.of(settings) as cluster:
            yield OpenRollout(settings, redis, cluster, RedisPlanStore(redis, settings))
