"""The web server of the worker: ``/live``, ``/ready`` and ``/metrics``.

It runs on the event loop that folds, so that a probe fails if the loop is stuck.  The web server
of Faust answers OK in every case.

    /live     200 while the worker makes progress, or has nothing to do; 503 after half of
              ``watchdog_s`` without progress
    /ready    200 if every partition is positioned and publishing; otherwise 503 and the reasons
    /metrics  metrics for Prometheus
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson
from aiohttp import web
from aiokafka import TopicPartition
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

from stream_rnn.errors import ConfigError, StreamRNNError, reason
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.stream_time import describe_ahead
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.settings import FoldSettings
from stream_rnn.store.server_checks import (
    POLICY,
    SET_NOEVICTION,
    may_evict,
    primary_info,
    read_policies,
)
from stream_rnn.worker.partitions import OwnedPartition, Partitions
from stream_rnn.worker.prometheus import Metrics, PartitionView

logger = logging.getLogger(__name__)

PORTS_TRIED = 100
SLOW_PUBLISH_S = 5.0
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """Facts about one partition, as Kafka and Redis last reported them."""

    log_start: int
    log_end: int
    keys: int | None
    retention_s: float


class WatchedWorker(Protocol):
    """The state of the worker that the web server reports."""

    partitions: Partitions

    def unready_reasons(self) -> list[str]:
        """Return the reasons why the worker does not publish; empty if it publishes."""

    @property
    def idle_s(self) -> float:
        """Seconds since the last sign of progress."""


class Health:
    """Answers probes, and reads the facts about partitions from Kafka and Redis.

    Args:
        worker: Worker whose state is reported.
        settings: Settings with the address to listen on and the deadlines.
        wall: Function that returns the seconds since 1970, for the age of records.
    """

    def __init__(
        self,
        worker: WatchedWorker,
        settings: FoldSettings,
        wall: Callable[[], float] = time.time,  # noqa: TID251  # age of records, never of the fold
    ) -> None:
        self._worker = worker
        self._settings = settings
        self._wall = wall
        self._facts: dict[int, PartitionFacts] = {}
        self._refreshed_s = time.monotonic()
        self._runner: web.AppRunner | None = None
        self._evicts = False
        self._warned: set[int] = set()  # partitions whose stream time is far ahead
        self.metrics: Metrics | None = None
        self.address = ""

    async def start(self, metrics: Metrics) -> None:
        """Start to listen on the configured address; an empty address starts no server.

        Raises:
            ConfigError: The address is invalid or in use.
        """
        self.metrics = metrics
        if not self._settings.health_address:
            return
        app = web.Application()
        for path, answer in (
            ("/live", self._live),
            ("/ready", self._ready),
            ("/metrics", self._metrics),
        ):
            app.router.add_get(path, answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        host, first = parse_address(self._settings.health_address)
        # With the default address, each further worker of a host takes the next free port.
        is_explicit = "health_address" in self._settings.model_fields_set
        last = first + (0 if is_explicit else PORTS_TRIED)
        for port in range(first, last + 1):
            try:
                await web.TCPSite(self._runner, host, port).start()
            except OSError as error:
                if port < last:
                    continue
                await self.stop()
                raise ConfigError(
                    f"cannot listen on health_address {self._settings.health_address}: {reason(error)}; "
                    "give another --health-address, or an empty one to start no server"
                ) from error
            break
        name = self._runner.addresses[0]
        self.address = f"http://{name[0]}:{name[1]}"
        logger.info("health address=%s", self.address)

    async def stop(self) -> None:
        """Close the server."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- answers -------------------------------------------------------------------------------

    async def _live(self, _request: web.Request) -> web.Response:
        idle_s = self._worker.idle_s
        is_live = idle_s < self._settings.watchdog_s / 2
        return _json({"live": is_live, "seconds_without_progress": round(idle_s, 1)}, ok=is_live)

    async def _ready(self, _request: web.Request) -> web.Response:
        reasons = self._worker.unready_reasons()
        return _json({"ready": not reasons, "reasons": reasons}, ok=not reasons)

    async def _metrics(self, _request: web.Request) -> web.Response:
        assert self.metrics is not None, "set before the server listens"
        self.metrics.facts_age.set(time.monotonic() - self._refreshed_s)
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={**HEADERS, "Content-Type": CONTENT_TYPE_LATEST})

    # --- progress of the partitions ------------------------------------------------------------

    def views(self) -> list[PartitionView]:
        """Return a view of each owned partition."""
        return [self._view(owned) for owned in self._worker.partitions]

    def _view(self, owned: OwnedPartition) -> PartitionView:
        processor = owned.processor
        if not owned.source.positioned.is_set() or processor.position < 0:
            return PartitionView(processor.partition)
        folds = owned.folds if isinstance(owned.folds, PartitionFolds) else None
        candidate = folds.candidate if folds is not None else None
        facts, anchor = self._facts.get(processor.partition), processor.anchor
        age_s = None if anchor is None else self._wall() - anchor.timestamp / 1000
        stream_ms = processor.stream_time_ms
        is_behind = facts is not None and processor.position < facts.log_end
        return PartitionView(
            partition=processor.partition,
            position=processor.position,
            origin=processor.origin,
            group_offset=max(processor.position, processor.publish_from),
            log_start=None if facts is None else facts.log_start,
            log_end=None if facts is None else facts.log_end,
            lag_s=(max(age_s, 0.0) if is_behind else 0.0) if age_s is not None else None,
            headroom_s=None if facts is None or age_s is None else facts.retention_s - age_s,
            keys=None if facts is None else facts.keys,
            stream_time_s=None if stream_ms is None else stream_ms / 1000,
            is_silent=processor.position < processor.publish_from,
            candidate_position=candidate.position if candidate is not None else None,
            candidate_lag=folds.candidate_lag if folds is not None else None,
            pending_s=folds.pending_s if folds is not None else None,
        )

    async def refresh(self, kafka: KafkaCluster, redis: Redis) -> None:
        """Read log start, log end and retention from Kafka, and key counts and memory from Redis.

        If a server does not answer, the previous facts remain; the fold itself reports the error.
        """
        source = self._settings.source
        self._check_stream_times()
        partitions = [
            owned for owned in self._worker.partitions if owned.source.positioned.is_set()
        ]
        places = [TopicPartition(source, owned.processor.partition) for owned in partitions]
        try:
            starts = await kafka.await_answer(kafka.consumer.beginning_offsets(places), source)
            ends = await kafka.await_answer(kafka.consumer.end_offsets(places), source)
            # Recovery reads the same topics, so that both share one cached answer.
            names = (source, self._settings.predictions, self._settings.dead_letters_topic)
            topic = (await kafka.topics(*names))[source]
            retention_s = topic.limit("retention.ms") / 1000
            if self.metrics is not None:
                self.metrics.source_partitions.set(topic.partitions)
            # The lag must be visible while Redis is away, so the last key counts stay until it answers.
            keys = {partition: facts.keys for partition, facts in self._facts.items()}
            self._facts = {
                tp.partition: PartitionFacts(
                    starts[tp], ends[tp], keys.get(tp.partition), retention_s
                )
                for tp in places
            }
            self._refreshed_s = time.monotonic()
            stored = await gather_or_cancel(owned.processor.store.read() for owned in partitions)
            for tp, position in zip(places, stored, strict=True):
                self._facts[tp.partition] = replace(self._facts[tp.partition], keys=position.fields)
            await self._refresh_memory(redis)
        except StreamRNNError as error:
            logger.info("no facts for metrics: %s", error)

    async def _refresh_memory(self, redis: Any) -> None:
        """Read the policy of Redis, and its memory use.

        In a cluster, the memory use is that of the primary with the greatest share in use.
        """
        if self.metrics is None:
            return
        try:
            async with asyncio.timeout(self._settings.redis_timeout_s):
                nodes = await primary_info(redis, "memory")
                policies = await read_policies(redis, nodes)
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            logger.info("Redis did not report its memory for metrics: %s", reason(error))
            return
        self._note_policies(policies)
        if not nodes:  # this Redis refuses INFO; the worker has warned of it at start
            return
        used, limit = max(
            (
                (int(node.get("used_memory", 0)), int(node.get("maxmemory", 0)))
                for node in nodes.values()
            ),
            key=lambda node: node[0] / (node[1] or float("inf")),
        )
        self.metrics.redis_used.set(used)
        self.metrics.redis_max.set(limit)

    def _check_stream_times(self) -> None:
        """Report it once for each partition if its stream time is far ahead of now."""
        for owned in self._worker.partitions:
            processor = owned.processor
            ahead = describe_ahead(processor.stream_time_ms, self._wall(), self._settings)
            if ahead is not None and processor.partition not in self._warned:
                level = logging.ERROR if ahead.remedy else logging.INFO
                logger.log(level, "%s: %s", processor.place, ahead)
                self._warned.add(processor.partition)

    def _note_policies(self, policies: Collection[str]) -> None:
        """Report it once if Redis evicts hidden states from now on, or does so no more."""
        assert self.metrics is not None, "the caller has checked it"
        evicting = sorted(filter(may_evict, policies))
        if evicting and not self._evicts:
            logger.error(
                "Redis now has %s %s: it evicts hidden states when memory is short, and workers "
                "then rebuild them from the log, if it still has all records; %s: a worker that "
                "starts refuses this policy",
                *(POLICY, evicting[0], SET_NOEVICTION),
            )
        elif self._evicts and not evicting:
            logger.info("Redis evicts no hidden states any more: %s", ", ".join(sorted(policies)))
        self._evicts = bool(evicting)
        self.metrics.redis_evicts.set(self._evicts)

    def status_line(self) -> str:
        """Return one line about the progress of the worker, for its log."""
        views, counts = self.views(), [owned.processor.counts for owned in self._worker.partitions]
        lag = sum(view.lag or 0 for view in views)
        skips = sum(sum(c.skips.values()) for c in counts)
        return (
            f"folding partitions={len(views)} silent={sum(v.is_silent for v in views)} "
            f"events={sum(c.events for c in counts)} "
            f"predictions={sum(c.predictions for c in counts)} skipped={skips} "
            f"filtered={sum(c.filtered for c in counts)} "
            f"lag_records={lag} lag_seconds={max((v.lag_s or 0.0 for v in views), default=0.0):.1f}"
        )


def unready_reason(processor: Processor, now_s: float) -> str:
    """Return the reason why a partition does not publish now; empty if it publishes.

    Args:
        processor: Processor of the partition.
        now_s: Current time on the processor's clock, in seconds.
    """
    since_s = processor.pace.since_s
    if not processor.is_positioned:
        return f"{processor.place} is not positioned"
    if processor.store_error:
        return f"{processor.place} waits: {processor.store_error}"
    if since_s is not None and now_s - since_s > SLOW_PUBLISH_S:
        return f"{processor.place} waits for Kafka to acknowledge its predictions"
    if processor.position < processor.publish_from:
        return f"{processor.place} rebuilds its states"
    return ""


def parse_address(address: str) -> tuple[str, int]:
    """Parse ``host:port``; an IPv6 address stands in brackets.

    Raises:
        ConfigError: The text is not such an address.

    Example:
        >>> parse_address("[::1]:9464")
        ('::1', 9464)
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"health_address {address!r} is not host:port, such as 127.0.0.1:9464")
    return host.strip("[]"), int(port)


def _json(body: dict[str, Any], *, ok: bool) -> web.Response:
    return web.Response(
        body=orjson.dumps(body),
        status=200 if ok else 503,
        headers={**HEADERS, "Content-Type": "application/json"},
    )
