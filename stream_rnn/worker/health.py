"""The worker's own small web server: ``/live``, ``/ready`` and ``/metrics``.

It runs on the loop that folds: if that is stuck, nobody answers, and a probe fails.  Faust's own
page always says OK, so it is not used.

    /live     200 while there is progress, or nothing to do; 503 after half of ``watchdog_s`` without
    /ready    200 if every partition is positioned and publishing; 503 and the reasons if not
    /metrics  for Prometheus
"""

import asyncio
import logging
import time
from collections.abc import Callable
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
from stream_rnn.fold.processor import Processor
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import primary_info
from stream_rnn.worker.partitions import Owned, Partitions
from stream_rnn.worker.prometheus import Metrics, PartitionView

logger = logging.getLogger(__name__)

PORTS_TRIED = 100
SLOW_PUBLISH_S = 5.0
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What Kafka and Redis said of one partition."""

    log_start: int
    log_end: int
    keys: int | None
    retention_s: float


class Watched(Protocol):
    """What is asked of the worker."""

    partitions: Partitions

    def unready(self) -> list[str]:
        """Return why the worker does not publish; empty if it does."""

    @property
    def idle_s(self) -> float:
        """Seconds since the last sign of progress."""


class Health:
    """Answers probes, and asks Kafka and Redis now and then how far the log is.

    Args:
        worker: what is watched.
        settings: address and deadlines.
        wall: seconds since 1970: how old a record is.
    """

    def __init__(
        self,
        worker: Watched,
        settings: FoldSettings,
        wall: Callable[[], float] = time.time,  # noqa: TID251  # age of records, never of the fold
    ) -> None:
        self._worker = worker
        self._settings = settings
        self._wall = wall
        self._facts: dict[int, Facts] = {}
        self._asked_s = time.monotonic()
        self._runner: web.AppRunner | None = None
        self.metrics: Metrics | None = None
        self.address = ""

    async def start(self, metrics: Metrics) -> None:
        """Listen.

        Raises:
            ConfigError: the address is not one, or somebody else listens there.
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
        # Several workers of one host: each takes the next port, unless it was told which.
        is_told = "health_address" in self._settings.model_fields_set
        last = first + (0 if is_told else PORTS_TRIED)
        for port in range(first, last + 1):
            try:
                await web.TCPSite(self._runner, host, port).start()
            except OSError as error:
                if port < last:
                    continue
                await self.stop()
                raise ConfigError(
                    f"cannot listen on health_address {self._settings.health_address}: {reason(error)}; "
                    "give another --health-address, or an empty one for none"
                ) from error
            break
        name = self._runner.addresses[0]
        self.address = f"http://{name[0]}:{name[1]}"
        logger.info("health address=%s", self.address)

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- answers -------------------------------------------------------------------------------

    async def _live(self, _request: web.Request) -> web.Response:
        idle_s = self._worker.idle_s
        is_live = idle_s < self._settings.watchdog_s / 2
        return _json({"live": is_live, "seconds_without_progress": round(idle_s, 1)}, ok=is_live)

    async def _ready(self, _request: web.Request) -> web.Response:
        reasons = self._worker.unready()
        return _json({"ready": not reasons, "reasons": reasons}, ok=not reasons)

    async def _metrics(self, _request: web.Request) -> web.Response:
        assert self.metrics is not None, "set before it listens"
        self.metrics.facts_age.set(time.monotonic() - self._asked_s)
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={**HEADERS, "Content-Type": CONTENT_TYPE_LATEST})

    # --- where partitions stand ----------------------------------------------------------------

    def views(self) -> list[PartitionView]:
        """Return where each owned partition stands."""
        return [self._view(owned) for owned in self._worker.partitions]

    def _view(self, owned: Owned) -> PartitionView:
        processor = owned.processor
        if not owned.source.positioned.is_set() or processor.position < 0:
            return PartitionView(processor.partition)
        facts, anchor = self._facts.get(processor.partition), processor.anchor
        age_s = None if anchor is None else self._wall() - anchor.timestamp / 1000
        stream_ms = processor.stream_time_ms
        waits = facts is not None and processor.position < facts.log_end
        return PartitionView(
            partition=processor.partition,
            position=processor.position,
            origin=processor.origin,
            group_offset=max(processor.position, processor.publish_from),
            log_start=None if facts is None else facts.log_start,
            log_end=None if facts is None else facts.log_end,
            lag_s=(max(age_s, 0.0) if waits else 0.0) if age_s is not None else None,
            headroom_s=None if facts is None or age_s is None else facts.retention_s - age_s,
            keys=None if facts is None else facts.keys,
            stream_time_s=None if stream_ms is None else stream_ms / 1000,
            is_silent=processor.position < processor.publish_from,
        )

    async def look(self, kafka: KafkaCluster, redis: Redis) -> None:
        """Ask Kafka for log start, log end and retention, and Redis for its keys and memory.

        A server that does not answer is no error here: what depends on it fails by itself.
        """
        source = self._settings.source
        owned = [one for one in self._worker.partitions if one.source.positioned.is_set()]
        places = [TopicPartition(source, one.processor.partition) for one in owned]
        try:
            starts = await kafka.await_answer(kafka.consumer.beginning_offsets(places), source)
            ends = await kafka.await_answer(kafka.consumer.end_offsets(places), source)
            # The names that recovery asks for, so that both share what was asked last.
            names = (source, self._settings.predictions, self._settings.dead_letters_topic)
            about = (await kafka.topics(*names))[source]
            retention_s = about.limit("retention.ms") / 1000
            if self.metrics is not None:
                self.metrics.source_partitions.set(about.partitions)
            # Redis may be away while Kafka is not: the lag grows then, and must be seen.
            known = {partition: facts.keys for partition, facts in self._facts.items()}
            self._facts = {
                tp.partition: Facts(starts[tp], ends[tp], known.get(tp.partition), retention_s)
                for tp in places
            }
            self._asked_s = time.monotonic()
            held = await asyncio.gather(*(one.processor.store.read() for one in owned))
            for tp, one in zip(places, held, strict=True):
                self._facts[tp.partition] = replace(self._facts[tp.partition], keys=one.fields)
            await self._look_at_memory(redis)
        except StreamRNNError as error:
            logger.info("no facts for metrics: %s", error)

    async def _look_at_memory(self, redis: Any) -> None:
        """Ask for memory; of a cluster's primaries the fullest one counts."""
        if self.metrics is None:
            return
        try:
            async with asyncio.timeout(self._settings.redis_timeout_s):
                nodes = await primary_info(redis, "memory")
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            logger.info("no memory of Redis for metrics: %s", reason(error))
            return
        used, limit = max(
            (
                (int(one.get("used_memory", 0)), int(one.get("maxmemory", 0)))
                for one in nodes.values()
            ),
            key=lambda node: node[0] / (node[1] or float("inf")),
        )
        self.metrics.redis_used.set(used)
        self.metrics.redis_max.set(limit)

    def status_line(self) -> str:
        """Say in one line how the worker is."""
        views, counts = self.views(), [one.processor.counts for one in self._worker.partitions]
        lag = sum(view.lag or 0 for view in views)
        skips = sum(sum(one.skips.values()) for one in counts)
        return (
            f"folding partitions={len(views)} silent={sum(v.is_silent for v in views)} "
            f"events={sum(c.events for c in counts)} "
            f"predictions={sum(c.predictions for c in counts)} skipped={skips} "
            f"lag_records={lag} lag_seconds={max((v.lag_s or 0.0 for v in views), default=0.0):.1f}"
        )


def why_unready(processor: Processor, now_s: float) -> str:
    """Return why a partition publishes nothing now; empty if it does.

    Args:
        processor: of the partition.
        now_s: by the processor's clock.
    """
    since_s = processor.publishing_since_s
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
    """Read ``host:port``; IPv6 stands in brackets.

    Raises:
        ConfigError: it is none.

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
