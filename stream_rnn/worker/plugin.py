"""The plugin: ``StreamRNN(app, ...)`` makes a Faust app fold a topic.

It registers an agent on the source topic, teaches the app's consumer what ``transport.py`` says,
and is a service of the app that starts before the consumer: so the bundle, Redis and the topics
are checked before the worker joins its group.
"""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import faust
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, server_list
from mode import CrashingSupervisor, Service
from redis.asyncio import Redis

from stream_rnn.clients import connect_redis
from stream_rnn.errors import ConfigError, Reaction, StreamRNNError
from stream_rnn.fold.cache import StateCache
from stream_rnn.fold.facts import Recovery
from stream_rnn.fold.identity import fold_id, store_tag
from stream_rnn.fold.kafka_log import KafkaFacts, KafkaLog
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.publisher import IdempotentPublisher, Publisher, TransactionalPublisher
from stream_rnn.fold.recovery import Choices, GroupOffset
from stream_rnn.fold.redis_store import RedisStore, check_redis
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.model import Model, pin_numerics
from stream_rnn.predictions.writer import PredictionWriter
from stream_rnn.settings import Delivery, Settings
from stream_rnn.worker.demands import refuse, set_defaults
from stream_rnn.worker.partitions import Partitions
from stream_rnn.worker.source import PartitionSource
from stream_rnn.worker.topics import prepare_topics
from stream_rnn.worker.transport import Fetched, FoldConsumer, Whereabouts, install
from stream_rnn.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

EXIT_STATUS = {Reaction.STOP: 3, Reaction.RELEASE: 4, Reaction.RETRY: 4, Reaction.REPOSITION: 4}
STATUS_LINE_S = 60.0


class _HandedThrough(faust.Schema):  # type: ignore[misc]  # faust's classes are Any to mypy
    """Leaves keys and values as the transport made them."""

    def loads_key(self, _app: Any, message: Any, **_options: Any) -> Any:
        return message.key

    def loads_value(self, _app: Any, message: Any, **_options: Any) -> Any:
        return message.value


class _SourceTopic(faust.Topic):  # type: ignore[misc]  # faust's classes are Any to mypy
    """The source: somebody else's topic, which Faust must not create."""

    async def declare(self) -> None:
        """Do nothing: a missing source is refused at start."""


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

    Raises:
        ConfigError: a setting is out of its bounds.

    Example:
        app = faust.App("departures", broker="kafka://localhost:9092")
        rnn = StreamRNN(app, source="flights", predictions="delays", bundle="bundles/delay",
                        redis_url="redis://localhost:6379/0")
    """

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
        self.settings = (settings or Settings.build()).replace(
            app=app.conf.id,
            source=source,
            predictions=predictions,
            bundle=str(bundle),
            redis_url=redis_url,
            dead_letters=dead_letters,
            delivery=delivery,
        )
        self.failure: BaseException | None = None
        self.partitions = Partitions(self._make, self._fail, self.settings.revoke_timeout_s)
        self._watchdog = Watchdog(self.settings.watchdog_s, time.monotonic)
        self._model: Model | None = None
        self._redis: Redis | None = None
        self._facts: KafkaFacts | None = None
        self._progress = -1
        super().__init__()
        install(app, source, self)
        self._agent = self._register_agent()
        app.add_dependency(self)
        app.on_before_shutdown.connect(self._before_shutdown)

    def _register_agent(self) -> str:
        topic = _SourceTopic(
            self.app,
            topics=[self.settings.source],
            schema=_HandedThrough(),
            acks=False,
            maxsize=self.settings.queue_messages_max,
        )

        async def fold(fetches: Any) -> None:
            async for fetched in fetches:
                await self._offer(fetched)

        fold.__name__ = fold.__qualname__ = f"stream_rnn_{self.settings.source}"
        agent = self.app.agent(topic, concurrency=1, supervisor_strategy=CrashingSupervisor)(fold)
        return str(agent.name)

    async def _offer(self, fetched: Fetched) -> None:
        owned = self.partitions.get(fetched.partition)
        if owned is not None:
            await owned.source.offer(fetched)

    # --- the service ---------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Check everything that can be checked before joining the group."""
        try:
            await self._open()
        except StreamRNNError as error:
            self.failure = error
            logger.critical("%s", error)
            raise

    async def _open(self) -> None:
        settings = self.settings
        refuse(self.app, settings.source or "", self._agent)
        pin_numerics()
        self._model = load_bundle(settings.bundle or "")
        self._redis = connect_redis(settings.redis_url.get_secret_value(), settings.redis_timeout_s)
        await check_redis(self._redis, settings)
        self._facts = await KafkaFacts(self._connection(), settings).__aenter__()
        assert self._facts.admin is not None, "inside of its context"
        await prepare_topics(self._facts.admin, settings)
        self._watchdog.start()
        logger.info(
            "fold ready app=%s source=%s predictions=%s model=%s fold=%s delivery=%s",
            settings.app,
            settings.source,
            settings.predictions,
            self._model.name,
            self.fold_id,
            settings.delivery,
        )

    async def on_stop(self) -> None:
        """Release what is left and close the clients."""
        await self.partitions.release_all()
        self._watchdog.stop()
        if self._facts is not None:
            await self._facts.__aexit__()
        if self._redis is not None:
            await self._redis.aclose()

    async def _before_shutdown(self, *_arguments: Any, **_options: Any) -> None:
        await self.partitions.release_all()

    @Service.task
    async def _look_after(self) -> None:
        """Feed the watchdog while there is progress or nothing to do; say a line a minute."""
        said_s = time.monotonic()
        while not self.should_stop:
            if self._is_alive():
                self._watchdog.alive()
            if time.monotonic() - said_s >= STATUS_LINE_S:
                said_s = time.monotonic()
                self._say_status()
            await self.sleep(min(1.0, self.settings.watchdog_s / 8))

    def _is_alive(self) -> bool:
        owned = list(self.partitions)
        progress = sum(
            one.processor.counts.batches + one.processor.counts.positioned for one in owned
        )
        moved, self._progress = progress != self._progress, progress
        if self.app.rebalancing:
            return False
        return moved or not any(one.source.pending_records or one.source.is_busy for one in owned)

    def _say_status(self) -> None:
        for one in self.partitions:
            counts = one.processor.counts
            logger.info(
                "folding partition=%s position=%d events=%d predictions=%d skipped=%d batches=%d",
                one.processor.place,
                one.processor.position,
                counts.events,
                counts.predictions,
                sum(counts.skips.values()),
                counts.batches,
            )

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
        self._cache_bytes = self.settings.cache_bytes_max // max(1, len(partitions))
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
    def model(self) -> Model:
        """The loaded bundle, once the service has started."""
        assert self._model is not None, "the bundle is loaded at start"
        return self._model

    @property
    def fold_id(self) -> str:
        """What names this fold."""
        return fold_id(self.model.fingerprint, self.settings)

    def _connection(self) -> dict[str, Any]:
        conf, transport = self.app.conf, self.app.transport
        return {
            "bootstrap_servers": server_list(transport.url, transport.default_port),
            "client_id": conf.broker_client_id,
            **credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        }

    def _make(self, partition: int, generation: int) -> tuple[Processor, PartitionSource]:
        settings, model = self.settings, self.model
        assert self._redis is not None, "Redis is connected at start"
        assert self._facts is not None, "Kafka is connected at start"
        app, source = settings.app or "", settings.source or ""
        tag = store_tag(app, source, partition, self.fold_id)
        store = RedisStore(self._redis, tag, settings.redis_timeout_s)
        seeker = _Seeker(self.app, source, partition)
        records = PartitionSource(seeker, settings.pending_records_max)
        recovery = Recovery(
            f"{source}[{partition}]",
            self.fold_id,
            store,
            KafkaLog(self._facts, settings, partition),
            Choices(settings.auto_offset_reset, settings.on_lost_history, settings.allow_compacted),
            settings.transaction_timeout_ms / 1000,
            time.monotonic,
        )
        writer = PredictionWriter(
            model.spec.heads,
            model.name,
            model.fingerprint,
            model.numerics(),
            source,
            partition,
            app,
            self.fold_id,
            settings.top_k,
        )
        processor = Processor(
            model,
            settings,
            partition,
            self.fold_id,
            records,
            store,
            self._publisher(partition, generation),
            recovery,
            writer,
            StateCache(model.hidden_size_floats, self._cache_bytes),
            time.monotonic,
        )
        return processor, records

    def _publisher(self, partition: int, generation: int) -> Publisher:
        connection = self._connection()
        if self.settings.delivery == "exactly_once":
            return TransactionalPublisher(connection, self.settings, partition)

        async def commit_group_offset(partition: int, offset: GroupOffset) -> None:
            consumer: FoldConsumer = self.app.consumer
            tp = TopicPartition(self.settings.source, partition)
            stamped = OffsetAndMetadata(offset.offset, offset.metadata)
            await consumer.fold_thread.commit_fold(tp, stamped, generation)

        return IdempotentPublisher(connection, self.settings, partition, commit_group_offset)

    def _fail(self, error: BaseException) -> None:
        """Bring the worker down with one clear line; the restart decides where to go on."""
        if self.failure is not None:
            return
        self.failure = error
        logger.critical("%s", error)
        self._failing = asyncio.ensure_future(self.app.crash(error))

    @property
    def exit_status(self) -> int:
        """Status for the process: 0, or by the reaction of what failed."""
        if self.failure is None:
            return 0
        reaction = getattr(self.failure, "reaction", Reaction.STOP)
        return EXIT_STATUS.get(reaction, 3)


class _Seeker:
    """What a partition's source asks of the app's consumer."""

    def __init__(self, app: faust.App, topic: str, partition: int) -> None:
        self._app = app
        self._tp = TopicPartition(topic, partition)

    async def seek(self, position: int) -> int:
        """Seek in the consumer's thread; a partition that is gone meanwhile delivers nothing."""
        consumer: FoldConsumer = self._app.consumer
        try:
            return await consumer.fold_thread.seek_fold(self._tp, position)
        except IllegalStateError:
            logger.info("partition lost while seeking partition=%s", self._tp)
            return -1

    async def whereabouts(self) -> Whereabouts:
        """Look where the consumer stands."""
        consumer: FoldConsumer = self._app.consumer
        return await consumer.fold_thread.whereabouts(self._tp)
