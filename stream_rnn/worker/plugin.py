"""The plugin: ``StreamRNN(app, ...)`` makes a Faust app fold a topic.

It registers an agent on the source topic, teaches the app's consumer what ``transport.py`` says,
and is a service of the app that starts before the consumer: so the bundle, Redis and the topics
are checked before the worker joins its group.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import faust
from aiokafka.errors import InvalidSessionTimeoutError
from mode import Service
from redis.asyncio import Redis

from stream_rnn.errors import ConfigError, FencedError, Reaction, StreamRNNError, reason
from stream_rnn.fold.processor import Processor
from stream_rnn.kafka.acls import authorization_error
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.settings import Delivery, Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import check_redis
from stream_rnn.worker.agent import register_agent
from stream_rnn.worker.build_processor import ProcessorBuilder
from stream_rnn.worker.faust_settings import connection_of, refuse, set_defaults
from stream_rnn.worker.health import Health, why_unready
from stream_rnn.worker.lasting import tell_end
from stream_rnn.worker.output_topics import prepare_topics, require_coordinator
from stream_rnn.worker.partition_source import PartitionSource
from stream_rnn.worker.partitions import Partitions
from stream_rnn.worker.prometheus import Metrics
from stream_rnn.worker.transport import Fetched, FoldConsumer, install
from stream_rnn.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

EXIT_STATUS = {Reaction.STOP: 3, Reaction.RELEASE: 4, Reaction.RETRY: 4, Reaction.REPOSITION: 4}
CLOSE_WITHIN_S = 5.0
STATUS_LINE_S = 60.0


class StreamRNN(Service):
    """Folds a topic with a recurrent network, each key's hidden state in Redis.

    Args:
        app: any Faust app without tables; its id is the consumer group.
        source: topic of events.
        predictions: topic that receives one prediction per valid event.
        bundle: directory of the model.
        redis_url: where hidden states are kept.
        dead_letters: topic of skipped records; default: ``<predictions>.dead-letters``.
        delivery: ``exactly_once`` or ``at_least_once``.
        settings: everything else; the arguments above win over it.

    Attributes:
        stop_requested: a signal asked the worker to stop; later errors are no failures.

    Raises:
        ConfigError: a setting is out of its bounds, or two topics are the same.

    Example:
        app = faust.App("departures", broker="kafka://localhost:9092")
        rnn = StreamRNN(app, source="flights", predictions="delays", bundle="bundles/delay",
                        redis_url="redis://localhost:6379/0")
    """

    mundane_level = "debug"

    def __init__(
        self,
        app: faust.App,
        *,
        source: str,
        predictions: str,
        bundle: str | Path,
        redis_url: str,
        dead_letters: str | None = None,
        delivery: Delivery | None = None,
        settings: Settings | None = None,
    ) -> None:
        set_defaults(app)
        self.app = app
        given = (settings or Settings.build()).replace(
            app=app.conf.id,
            source=source,
            predictions=predictions,
            bundle=str(bundle),
            redis_url=redis_url,
            dead_letters=dead_letters,
            delivery=delivery,
        )
        self.settings = given.of_fold()
        self.failure: BaseException | None = None
        self.partitions = Partitions(self._make, self._fail, self.settings.revoke_timeout_s)
        # A batch is finished, or abandoned; then its producer is closed: each has its deadline.
        ends_within_s = 3 * self.settings.revoke_timeout_s + CLOSE_WITHIN_S
        self._watchdog = Watchdog(
            self.settings.watchdog_s, time.monotonic, self._end_status, ends_within_s
        )
        self._redis: Redis | None = None
        self._cluster: KafkaCluster | None = None
        self._parts: ProcessorBuilder | None = None
        self._lasting: list[asyncio.Task[None]] = []
        self._progress = -1
        self._is_member = False
        self.stop_requested = False
        self.health = Health(self, self.settings)
        super().__init__()
        install(app, source, self)
        self._agent = register_agent(app, self.settings, self._offer)
        app.add_dependency(self)
        app.on_before_shutdown.connect(self._before_shutdown)

    async def _offer(self, fetched: Fetched) -> None:
        owned = self.partitions.get(fetched.partition)
        if owned is not None:
            await owned.source.offer(fetched)

    # --- the service ---------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Check everything that can be checked before joining the group."""
        self._watchdog.start()
        try:
            await self._open()
        except Exception as error:
            if self._is_stopping:
                logger.info("error ignored while the worker stops: %s", reason(error))
                if self.app.should_stop:
                    return
                raise
            self.failure = error
            if self.app.started:  # else it is started by somebody's program, which goes on
                self._watchdog.failed(CLOSE_WITHIN_S, self.exit_status)
            if isinstance(error, StreamRNNError):
                logger.critical("%s", self.failure)
            raise

    async def _open(self) -> None:
        settings = self.settings
        refuse(self.app, settings.source, self._agent)
        pin_numerics()
        model = load_bundle(settings.bundle)
        self._redis = connect_redis(settings.redis_url.get_secret_value(), settings.redis_timeout_s)
        await check_redis(self._redis, settings)
        connection = connection_of(self.app)
        self._cluster = await KafkaCluster(connection, settings).__aenter__()
        assert self._cluster.admin is not None, "inside of its context"
        await prepare_topics(self._cluster.admin, settings)
        await require_coordinator(self._cluster.admin, connection, settings)
        metrics = Metrics(model, settings, self.health.views)
        self._parts = ProcessorBuilder(
            app=self.app,
            settings=settings,
            model=model,
            redis=self._redis,
            cluster=self._cluster,
            connection=connection,
            observer=metrics,
        )
        await self.health.start(metrics)
        self._watchdog.alive()
        self._last("the watch over progress", self._look_after())
        self._last("the look at Kafka and Redis", self._look_at_servers())
        logger.info(
            "fold ready app=%s source=%s predictions=%s model=%s fold=%s delivery=%s",
            settings.app,
            settings.source,
            settings.predictions,
            model.name,
            self._parts.fold_id,
            settings.delivery,
        )

    async def on_stop(self) -> None:
        """Release what is left and close the clients."""
        await self.partitions.release_all()
        for task in self._lasting:
            task.cancel()
        if self._lasting:
            await asyncio.wait(self._lasting, timeout=CLOSE_WITHIN_S)
        await self.health.stop()
        if self._cluster is not None:
            await self._cluster.__aexit__()
        if self._redis is not None:
            await self._redis.aclose()
        self._watchdog.stop()

    def _last(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Let a task run until the service stops."""
        task = asyncio.create_task(work, name=name)
        tell_end(task, lambda: self.should_stop, self._fail)
        self._lasting.append(task)

    async def _before_shutdown(self, *_arguments: Any, **_options: Any) -> None:
        await self.partitions.release_all()

    async def _look_after(self) -> None:
        """Feed the watchdog while there is progress or nothing to do; say a line a minute."""
        said_s = time.monotonic()
        while not self.should_stop:
            self._check_membership()
            if self._is_alive():
                self._watchdog.alive()
            if time.monotonic() - said_s >= STATUS_LINE_S:
                said_s = time.monotonic()
                logger.info("%s", self.health.status_line())
            await self.sleep(min(1.0, self.settings.watchdog_s / 8))

    def _check_membership(self) -> None:
        """Fail if the group will not have us: a worker without partitions would wait for ever."""
        consumer = cast("FoldConsumer", self.app.consumer)
        thread = getattr(consumer, "_thread", None)
        error = None if thread is None else consumer.fold_thread.group_error()
        if error is None or self.should_stop:
            return
        group = self.app.conf.id
        message = f"group {group}: {reason(error)}"
        refused = authorization_error(error, group, f"Read on topic {self.settings.source}")
        if refused is not None:
            self._fail(refused)
        elif isinstance(error, InvalidSessionTimeoutError):
            said = "set BROKER_SESSION_TIMEOUT, in seconds, within the broker's group.min.session"
            said += ".timeout.ms and group.max.session.timeout.ms"
            self._fail(ConfigError(f"{message}; {said}"))
        else:
            self._fail(FencedError(message))

    def _is_alive(self) -> bool:
        owned = list(self.partitions)
        progress = sum(
            one.processor.counts.batches + one.processor.counts.positioned for one in owned
        )
        moved, self._progress = progress != self._progress, progress
        if self.app.rebalancing:
            return False
        return moved or not any(one.source.pending_records or one.source.is_busy for one in owned)

    async def _look_at_servers(self) -> None:
        """Ask Kafka and Redis for what metrics say."""
        while not self.should_stop:
            if self._cluster is not None and self._redis is not None:
                await self.health.look(self._cluster, self._redis)
            await self.sleep(self.settings.facts_interval_s)

    @property
    def idle_s(self) -> float:
        """Seconds since the last sign of progress."""
        return self._watchdog.idle_s

    @property
    def is_settled(self) -> bool:
        """Whether the worker is a member of its group, and the group at rest."""
        return self._is_member and not self.app.rebalancing

    def unready(self) -> list[str]:
        """Return why the worker does not publish; a member without partitions is ready."""
        if self.failure is not None:
            return ["failed"]
        if not self._is_member:
            return ["not yet a member of the group"]
        if self.app.rebalancing:
            return ["the group is rebalancing"]
        now_s = time.monotonic()
        found = (why_unready(one.processor, now_s) for one in self.partitions)
        return [said for said in found if said]

    # --- the transport's assignee --------------------------------------------------------------

    def assign(self, partitions: frozenset[int], generation: int) -> None:
        """Begin with the partitions of a new assignment."""
        limit = self.settings.partitions_max
        if len(partitions) > limit:
            self._fail(
                ConfigError(
                    f"{len(partitions)} partitions of {self.settings.source} were assigned to this "
                    f"worker, partitions_max is {limit}: start more workers or raise it"
                )
            )
            return
        self._is_member = True
        self.parts.cache_bytes = self.settings.cache_bytes_max // max(1, len(partitions))
        self.partitions.assign(partitions, generation)

    async def position(self) -> None:
        """Wait until every partition is positioned; fail rather than let Faust give up silently."""
        limit_s = min(
            self.settings.recovery_timeout_s, 0.8 * float(self.app.conf.broker_request_timeout)
        )
        try:
            await self.partitions.positioned(limit_s)
        except StreamRNNError as error:
            self._fail(error)

    async def release(self, partitions: frozenset[int]) -> None:
        """End with the partitions that were revoked."""
        await self.partitions.release(partitions)

    # --- parts ---------------------------------------------------------------------------------

    @property
    def parts(self) -> ProcessorBuilder:
        """What the processors share, once the service has started."""
        assert self._parts is not None, "the parts are made at start"
        return self._parts

    def _make(self, partition: int, generation: int) -> tuple[Processor, PartitionSource]:
        return self.parts.make(partition, generation)

    def _fail(self, error: BaseException) -> None:
        """Bring the worker down with one clear line; the restart decides where to go on."""
        if self.failure is not None:
            return
        if self._is_stopping:  # the consumer may be gone under a partition
            logger.info("error ignored while the worker stops: %s", error)
            return
        self.failure = error
        logger.critical("%s", error)
        self._watchdog.failed(self.settings.revoke_timeout_s + CLOSE_WITHIN_S, self.exit_status)
        self._failing = asyncio.ensure_future(self.app.crash(error))

    @property
    def _is_stopping(self) -> bool:
        return self.stop_requested or (self.app.should_stop and not self.app.crashed)

    def _end_status(self) -> int | None:
        """Return the status of the end that the app comes to; ``None`` while it runs."""
        if not self.app.should_stop:
            return None
        return self.exit_status or (EXIT_STATUS[Reaction.STOP] if self.app.crashed else 0)

    @property
    def exit_status(self) -> int:
        """Status for the process: 0, or by the reaction of what failed."""
        if self.failure is None:
            return 0
        reaction = getattr(self.failure, "reaction", Reaction.STOP)
        return EXIT_STATUS.get(reaction, 3)
