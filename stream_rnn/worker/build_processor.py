"""Builds the processor of a partition from the clients that the worker has opened."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakSet

import faust
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from redis.asyncio import Redis

from stream_rnn.fold.assemble import build_processor
from stream_rnn.fold.crash_points import AtCrashPoint
from stream_rnn.fold.fold_id import fold_id_of, store_tag
from stream_rnn.fold.observer import Observer, UnsampledObserver
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.publisher import IdempotentPublisher, Publisher, TransactionalPublisher
from stream_rnn.fold.recovery_facts import Log
from stream_rnn.fold.source import Source
from stream_rnn.fold.value_formats import check_registry
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.network import Model
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.predictions.writer import JSON
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_schemas import RedisSchemas
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.worker.candidate_metrics import CandidateMetrics
from stream_rnn.worker.fault_injection import faults_from_environment
from stream_rnn.worker.give_way import RightOfWay
from stream_rnn.worker.output_format import WiredModel
from stream_rnn.worker.partition_source import PartitionSource
from stream_rnn.worker.rollout_folds import WorkerFolds
from stream_rnn.worker.shadow import ShadowTopic
from stream_rnn.worker.transport import ConsumerPosition, FoldConsumer

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ProcessorBuilder:
    """Builds processors from the resources that all partitions of a worker share.

    Attributes:
        app: Faust app that the worker runs.
        settings: Settings of the fold.
        model: Model that was loaded from the bundle.
        redis: Redis client that all partitions share.
        cluster: Pair of Kafka clients that all partitions share.
        connection: Connection options for the producer of each partition.
        observer: Observer that every processor notifies of its work.
        candidates: Metrics of the candidates.
        wire: Format of the predictions of the worker's own bundle.
        cache_bytes: Size of the cache of one partition, in bytes.
        at_crash_point: Callback for the crash points; see ``worker/fault_injection.py``.

    Raises:
        ConfigError: The spec names a format that needs a schema registry, and there is none.
    """

    app: faust.App
    settings: FoldSettings
    model: Model
    redis: Redis
    cluster: KafkaCluster
    connection: Mapping[str, Any]
    observer: Observer
    candidates: CandidateMetrics = field(default_factory=CandidateMetrics)
    wire: Wire = JSON
    cache_bytes: int = 0
    at_crash_point: AtCrashPoint = field(default_factory=faults_from_environment)

    folds: WorkerFolds = field(init=False)
    _right_of_way: RightOfWay = field(init=False)
    _sources: "WeakSet[PartitionSource]" = field(
        default_factory=WeakSet
    )  # those that have not ended

    def __post_init__(self) -> None:
        self._right_of_way = RightOfWay(self._has_work, self.settings.rollout_share)
        check_registry(self.model.spec.event, self.settings)
        place = self.cluster, self.connection, self.settings
        self.folds = WorkerFolds(
            settings=self.settings,
            model=self.model,
            builder=self,
            plans=RedisPlanStore(self.redis, self.settings),
            cluster=self.cluster,
            wire=self.wire,
            metrics=self.candidates,
            shadow=None if self.settings.rollout_silent else ShadowTopic(*place),
        )

    @property
    def fold_id(self) -> str:
        """Identifier of this fold."""
        return fold_id_of(self.model, self.settings)

    def make(self, partition: int, generation: int) -> tuple[PartitionFolds, PartitionSource]:
        """Make the folds and the source of a partition for one generation of the group."""
        seeker = ConsumerSeeker(self.app, self.settings.source, partition)
        source = PartitionSource(seeker, self.settings.pending_records_max)
        folds = PartitionFolds(
            folds=self.folds,
            partition=partition,
            source=source,
            publisher=self._publisher(partition, generation),
            on_cut_over=self.candidates.on_cut_over,
            on_failure=self.candidates.on_failure,
            pause_max_s=self.settings.rollout_pause_max_s,
            turn=self._right_of_way.of(lambda: folds.is_pausing),
        )
        self._sources.add(source)
        return folds, source

    def _has_work(self) -> bool:
        return any(source.has_work for source in self._sources)

    def store(self, fold: str, partition: int) -> RedisStore:
        """Return the store of a fold's hidden states."""
        tag = store_tag(self.settings.app, self.settings.source, partition, fold)
        return RedisStore(self.redis, tag, self.settings.redis_timeout_s)

    def processor(
        self, wired: WiredModel, partition: int, source: Source, publisher: Publisher, log: Log
    ) -> Processor:
        """Build the processor of a model's fold."""
        settings, model = self.settings, wired.model
        has_same_heads = model.spec.heads == self.model.spec.heads  # which are sampled by name
        return build_processor(
            model=model,
            settings=settings,
            partition=partition,
            source=source,
            store=self.store(fold_id_of(model, settings), partition),
            log=log,
            publisher=publisher,
            wire=wired.wire,
            cache_bytes=self.cache_bytes,
            patience_s=settings.transaction_timeout_ms / 1000,
            at_crash_point=self.at_crash_point,
            observer=self.observer if has_same_heads else UnsampledObserver(self.observer),
            schemas=RedisSchemas(self.redis, settings) if settings.reads_frames else None,
        )

    def _publisher(self, partition: int, generation: int) -> Publisher:
        connection, settings = dict(self.connection), self.settings
        tp = TopicPartition(settings.source, partition)

        async def check_owner() -> None:
            consumer = cast("FoldConsumer", self.app.consumer)
            thread = consumer.fold_thread
            await thread.check_generation(tp, generation, settings.kafka_timeout_s)

        if settings.delivery == "exactly_once":
            return TransactionalPublisher(
                connection, settings, partition, self.at_crash_point, check_owner
            )

        async def commit_group_offset(_partition: int, offset: GroupOffset) -> None:
            consumer = cast("FoldConsumer", self.app.consumer)
            committed = OffsetAndMetadata(offset.offset, offset.metadata)
            await consumer.fold_thread.commit_fold(tp, committed, generation)

        return IdempotentPublisher(
            connection, self.settings, partition, commit_group_offset, self.at_crash_point
        )


class ConsumerSeeker:
    """Access of a partition's source to the consumer of the app."""

    def __init__(self, app: faust.App, topic: str, partition: int) -> None:
        self._app = app
        self._tp = TopicPartition(topic, partition)

    async def seek(self, position: int) -> int:
        """Seek in the consumer's thread and return the new epoch; -1 if the partition was lost."""
        consumer = cast("FoldConsumer", self._app.consumer)
        try:
            return await consumer.fold_thread.seek_fold(self._tp, position)
        except IllegalStateError:
            logger.info("partition lost while seeking partition=%s", self._tp)
            return -1

    async def consumer_position(self) -> ConsumerPosition:
        """Return the position of the consumer in the partition."""
        consumer = cast("FoldConsumer", self._app.consumer)
        return await consumer.fold_thread.consumer_position(self._tp)
