"""The plugin: ``StreamRNN(app, ...)`` makes a Faust app fold a topic.

It registers an agent on the source topic and installs the consumer of ``transport.py``.  It is a
service of the app that starts before the consumer, so that the bundle, Redis and the topics are
checked before the worker joins its group.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import faust
from aiokafka.abc import AbstractTokenProvider
from mode import Service
from redis.asyncio import Redis

from stream_rnn.errors import ConfigError, StreamRNNError, reason
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.model.tiles import VARIANT_BITS, is_batch_invariant
from stream_rnn.settings import Delivery, Settings
from stream_rnn.store.connection import connect_by_settings
from stream_rnn.store.server_checks import check_redis_and_warn
from stream_rnn.worker.agent import register_agent
from stream_rnn.worker.app_connection import client_options, connect_app
from stream_rnn.worker.build_processor import ProcessorBuilder
from stream_rnn.worker.exit_status import STOPPED, exit_status_of
from stream_rnn.worker.faust_settings import check_app, set_defaults
from stream_rnn.worker.health import Health, unready_reason
from stream_rnn.worker.membership import Membership
from stream_rnn.worker.output_format import find_output_format
from stream_rnn.worker.output_topics import prepare_topics, require_coordinator
from stream_rnn.worker.partitions import Partitions
from stream_rnn.worker.prometheus import Metrics
from stream_rnn.worker.rollout_report import reporter_of
from stream_rnn.worker.service_tasks import report_unexpected_end
from stream_rnn.worker.transport import FoldConsumer, PartitionFetch, install
from stream_rnn.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

CLOSE_WITHIN_S = 5.0
STATUS_LINE_S = 60.0


class StreamRNN(Service):
    """Folds a topic with a recurrent network; the hidden state of each key is in Redis.

    Args:
        app: Faust app without tables; its id is the name of the consumer group.
        source: Topic of events.
        predictions: Topic that receives one prediction per valid event.
        bundle: Directory of the model.
        redis_url: URL of the Redis that stores the hidden states; ``None`` takes that of settings.
        dead_letters: Topic that receives a dead letter for each skipped record; the default is
            ``<predictions>.dead-letters``.
        delivery: ``exactly_once`` or ``at_least_once``.
        token_provider: aiokafka's provider of tokens, with which the app logs in over TLS.
        settings: All other settings; the arguments above take precedence over them.

    Attributes:
        stop_requested: Whether a signal has requested the worker to stop; later errors are then
            not failures.

    Raises:
        ConfigError: A setting is out of its bounds, or two topics are the same.

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
        redis_url: str | None = None,
        dead_letters: str | None = None,
        delivery: Delivery | None = None,
        token_provider: AbstractTokenProvider | None = None,
        settings: Settings | None = None,
    ) -> None:
        set_defaults(app)
        self.app = app
        self._credentials = connect_app(app, token_provider)
        settings = (settings or Settings.build()).replace(
            app=app.conf.id,
            source=source,
            predictions=predictions,
            bundle=str(bundle),
            redis_url=redis_url,
            dead_letters=dead_letters,
            delivery=delivery,
        )
        self.settings = settings.of_fold()
        self.failure: BaseException | None = None
        make = lambda *at: self.processor_builder.make(*at)  # noqa: E731, PLW0108  # at start
        self.partitions = Partitions(make, self._fail, self.settings.revoke_timeout_s)
        # To finish a batch, to abandon it and to close its producer each have a deadline.
        ends_within_s = 3 * self.settings.revoke_timeout_s + CLOSE_WITHIN_S
        self._watchdog = Watchdog(
            self.settings.watchdog_s, time.monotonic, self._end_status, ends_within_s
        )
        self._redis: Redis | None = None
        self._cluster: KafkaCluster | None = None
        self._builder: ProcessorBuilder | None = None
        self._membership: Membership | None = None
        self._background_tasks: list[asyncio.Task[None]] = []
        self._progress = -1
        self._is_member = False
        self.stop_requested = False
        self.health = Health(self, self.settings)
        super().__init__()
        install(app, source, self)
        self._agent = register_agent(app, self.settings, self._offer)
        app.add_dependency(self)
        app.on_before_shutdown.connect(self._before_shutdown)

    async def _offer(self, fetched: PartitionFetch) -> None:
        if (owned := self.partitions.get(fetched.partition)) is not None:
            await owned.source.offer(fetched)

    async def on_start(self) -> None:
        """Open the clients, and check everything that can be checked before joining the group."""
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
            if self.app.started:  # otherwise a program starts the app, and handles the error
                self._watchdog.end_within(CLOSE_WITHIN_S, self.exit_status)
            if isinstance(error, StreamRNNError):
                logger.critical("%s", self.failure)
            raise

    async def _open(self) -> None:
        settings = self.settings
        check_app(self.app, settings.source, self._agent)
        pin_numerics()
        if not is_batch_invariant():
            logger.error("%s", VARIANT_BITS)
        model = load_bundle(settings.bundle)
        self._redis = connect_by_settings(settings)
        await check_redis_and_warn(self._redis, settings)
        connection = client_options(self.app)
        self._cluster = await KafkaCluster(connection, settings).__aenter__()
        assert self._cluster.admin is not None, "the cluster was entered"
        await prepare_topics(self._cluster.admin, settings)
        await require_coordinator(self._cluster.admin, connection, settings)
        self._membership = Membership(self._cluster, settings, connection["client_id"])
        await self._membership.require_no_stranger()
        wire = await find_output_format(settings, model)
        metrics = Metrics(model, settings, self.health.views)
        self._builder = ProcessorBuilder(
            app=self.app,
            settings=settings,
            model=model,
            redis=self._redis,
            cluster=self._cluster,
            connection=connection,
            observer=metrics,
            candidates=metrics.candidates,
            wire=wire,
        )
        await self.health.start(metrics)
        self._watchdog.record_progress()
        self._run_in_background("the progress check", self._watch_progress())
        self._run_in_background("the refresh of facts from Kafka and Redis", self._refresh_facts())
        report = reporter_of(self._builder.folds, self.partitions, self.app)
        self._run_in_background("the look at a roll-out's plan", self._builder.folds.look(report))
        logger.info(
            "fold ready app=%s source=%s predictions=%s model=%s fold=%s delivery=%s",
            settings.app,
            settings.source,
            settings.predictions,
            model.name,
            self._builder.fold_id,
            settings.delivery,
        )

    async def on_stop(self) -> None:
        """Release the remaining partitions and close the clients."""
        await self.partitions.release_all()
        for task in self._background_tasks:
            task.cancel()
        if self._background_tasks:
            await asyncio.wait(self._background_tasks, timeout=CLOSE_WITHIN_S)
        await self.health.stop()
        if self._cluster is not None:
            await self._cluster.__aexit__()
        if self._redis is not None:
            await self._redis.aclose()
        self._watchdog.stop()

    def _run_in_background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that runs until the service stops."""
        task = asyncio.create_task(work, name=name)
        report_unexpected_end(task, lambda: self.should_stop, self._fail)
        self._background_tasks.append(task)

    async def _before_shutdown(self, *_arguments: Any, **_options: Any) -> None:
        await self.partitions.release_all()

    async def _watch_progress(self) -> None:
        """Report progress to the watchdog, and write a status line to the log every minute."""
        logged_s = time.monotonic()
        while not self.should_stop:
            await self._check_membership()
            self._credentials.report_failure(self.settings.kafka_timeout_s, self._fail)
            if self._is_alive():
                self._watchdog.record_progress()
            if time.monotonic() - logged_s >= STATUS_LINE_S:
                logged_s = time.monotonic()
                logger.info("%s", self.health.status_line())
            await self.sleep(min(1.0, self.settings.watchdog_s / 8))

    async def _check_membership(self) -> None:
        """Fail if the group refuses this worker, which would otherwise wait for ever."""
        consumer = cast("FoldConsumer", self.app.consumer)
        thread = getattr(consumer, "_thread", None)
        error = None if thread is None else consumer.fold_thread.group_error()
        if error is not None and self._membership is not None and not self.should_stop:
            self._fail(await self._membership.explain(error))

    def _is_alive(self) -> bool:
        counts = [owned.processor.counts for owned in self.partitions]
        progress = sum(c.batches + c.positioned for c in counts)
        has_progressed, self._progress = progress != self._progress, progress
        if self.app.rebalancing:
            return False
        sources = [owned.source for owned in self.partitions]
        return has_progressed or not any(s.pending_records or s.is_busy for s in sources)

    async def _refresh_facts(self) -> None:
        """Read the facts for metrics from Kafka and Redis, at the configured interval."""
        while not self.should_stop:
            if self._cluster is not None and self._redis is not None:
                await self.health.refresh(self._cluster, self._redis)
            if self._membership is not None:
                await self._membership.refresh()
            await self.sleep(self.settings.facts_interval_s)

    @property
    def idle_s(self) -> float:
        """Seconds since the worker last made progress or had nothing to do."""
        return self._watchdog.idle_s

    @property
    def is_settled(self) -> bool:
        """Whether the worker is a member of its group, and the group is not rebalancing."""
        return self._is_member and not self.app.rebalancing

    def unready_reasons(self) -> list[str]:
        """Return the reasons why the worker does not publish.

        The list is empty for a worker that is ready, also for a member without partitions.
        """
        if self.failure is not None:
            return ["failed"]
        if not self._is_member:
            return ["not yet a member of the group"]
        if self.app.rebalancing:
            return ["the group is rebalancing"]
        now_s = time.monotonic()
        reasons = [unready_reason(owned.processor, now_s) for owned in self.partitions]
        stranger = self._membership.stranger if self._membership else ""
        return [text for text in (*reasons, stranger) if text]

    # --- the transport's rebalance listener ----------------------------------------------------

    def assign(self, partitions: frozenset[int], generation: int) -> None:
        """Start the partitions of a new assignment."""
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
        if self._membership is not None:
            self._membership.assign()
        share = max(1, len(partitions))
        self.processor_builder.cache_bytes = self.settings.cache_bytes_max // share
        self.partitions.assign(partitions, generation)

    async def position(self) -> None:
        """Wait until every partition is positioned; fail before Faust would give up silently."""
        request_s = float(self.app.conf.broker_request_timeout)
        limit_s = min(self.settings.recovery_timeout_s, 0.8 * request_s)
        try:
            await self.partitions.positioned(limit_s)
        except StreamRNNError as error:
            self._fail(error)

    async def release(self, partitions: frozenset[int]) -> None:
        """Release the partitions that were revoked."""
        await self.partitions.release(partitions)

    # --- processors and failures ---------------------------------------------------------------

    @property
    def processor_builder(self) -> ProcessorBuilder:
        """Builder of the processors; the service must have started."""
        assert self._builder is not None, "the builder is made at start"
        return self._builder

    def _fail(self, error: BaseException) -> None:
        """Log an error and bring the worker down; recovery after the restart finds the position."""
        if self.failure is not None:
            return
        if self._is_stopping:  # the consumer may have closed before the partitions
            logger.info("error ignored while the worker stops: %s", error)
            return
        self.failure = error
        logger.critical("%s", error)
        self._watchdog.end_within(self.settings.revoke_timeout_s + CLOSE_WITHIN_S, self.exit_status)
        self._failing = asyncio.ensure_future(self.app.crash(error))

    @property
    def _is_stopping(self) -> bool:
        return self.stop_requested or (self.app.should_stop and not self.app.crashed)

    def _end_status(self) -> int | None:
        """Return the exit status of an app that is stopping; ``None`` while it runs."""
        if not self.app.should_stop:
            return None
        return self.exit_status or (STOPPED if self.app.crashed else 0)

    @property
    def exit_status(self) -> int:
        """Exit status of the process: 0, or the status of the failure's reaction."""
        return exit_status_of(self.failure)
