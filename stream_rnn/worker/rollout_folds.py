"""The folds that a worker can run: the one of its own bundle, and those of a roll-out's plan."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol
from weakref import WeakSet

from aiokafka import TopicPartition

from stream_rnn.errors import (
    BundleError,
    StreamRNNError,
    UnavailableError,
    UnreachableError,
    reason,
)
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.publisher import Publisher
from stream_rnn.fold.recovery_facts import Consult, Log, Recovery
from stream_rnn.fold.source import Source
from stream_rnn.fold.value_formats import check_registry
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.network import Model
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.predictions.writer import JSON
from stream_rnn.rollout.bundles import load_bundle_bytes, read_bundle_bytes
from stream_rnn.rollout.candidate import (
    CandidateRecovery,
    CandidateSource,
    Published,
    SilentPublisher,
    Turn,
)
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import BundleBytes, PlanStore
from stream_rnn.settings import FoldSettings
from stream_rnn.store.cache import StateCache
from stream_rnn.store.state import Store
from stream_rnn.worker.candidate_metrics import CandidateMetrics
from stream_rnn.worker.output_format import WiredModel, find_format_beside
from stream_rnn.worker.range_reader import KafkaRangeReader
from stream_rnn.worker.shadow import ShadowTopic

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
MODELS_MAX = 5  # in memory: the own one, and those of this plan and the one before
CACHE_SHARE = 0.1  # of the cache of a partition, for its candidate
REFUSED_FOR_S = 60.0  # a bundle that cannot be loaded: it may have 100 MB, and may be replaced


class BuildsProcessors(Protocol):
    """Builds processors from the resources of a worker.

    Attributes:
        cache_bytes: Size of the cache of one partition, in bytes.
    """

    cache_bytes: int

    def store(self, fold: str, partition: int) -> Store:
        """Return the store of a fold's hidden states."""

    def processor(
        self, wired: WiredModel, partition: int, source: Source, publisher: Publisher, log: Log
    ) -> Processor:
        """Build the processor of a model's fold."""


@dataclass(slots=True)
class WorkerFolds:
    """A :class:`stream_rnn.rollout.in_charge.Folds` of a worker.

    Attributes:
        settings: Settings of the folds; only their bundles differ.
        model: Model of the worker's own bundle.
        builder: Builder of processors.
        plans: Store of the plan and its bundles.
        cluster: Kafka clients that all partitions share.
        wire: Format of the predictions of the worker's own bundle.
        metrics: Metrics of the candidates.
        shadow: Shadow topic; ``None`` if candidates publish nothing.
        plan: Plan as it was last read.
        clock: Monotonic clock in seconds.
        models: Models that are loaded, by the ids of their folds.
        refused: Reasons why this worker cannot run folds of the plan, by their ids; empty for a
            fold that was loaded after all.
    """

    settings: FoldSettings
    model: Model
    builder: BuildsProcessors
    plans: PlanStore
    cluster: KafkaCluster
    wire: Wire = JSON
    metrics: CandidateMetrics = field(default_factory=CandidateMetrics)
    shadow: ShadowTopic | None = None
    plan: Plan | None = None
    clock: Callable[[], float] = time.monotonic
    models: dict[str, WiredModel] = field(init=False)
    refused: dict[str, str] = field(default_factory=dict)
    _unreachable: dict[str, UnreachableError] = field(default_factory=dict)
    _again_s: dict[str, float] = field(default_factory=dict)
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _caches: "WeakSet[StateCache]" = field(default_factory=WeakSet)  # of the folds in charge

    def __post_init__(self) -> None:
        self.models = {self.own: WiredModel(self.model, self.wire)}

    @property
    def own(self) -> str:
        """Id of the fold of the worker's own bundle."""
        return fold_id_of(self.model, self.settings)

    def has(self, fold: str) -> bool:
        """Return whether the bundle of a fold is loaded."""
        return fold in self.models

    def refusal(self, fold: str) -> str:
        """Return why this worker cannot run a fold of the plan; empty for no known reason."""
        return self.refused.get(fold, "")

    def unreachable(self, fold: str) -> UnreachableError | None:
        """Return why the bundle of a fold could not be loaded, if a server did not answer."""
        return self._unreachable.get(fold)

    def complaints(self) -> dict[str, str]:
        """Return why this worker cannot run folds that the plan needs, by their ids."""
        needed = self.plan.needed_folds if self.plan is not None else ()
        return {fold: why for fold, why in self.refused.items() if why and fold in needed}

    async def read_plan(self) -> Plan | None:
        """Read the plan now, and load its bundles; a bundle that fails is reported once.

        Raises:
            UnavailableError: Redis does not answer.
            ConfigError: Another program has written the plan.
        """
        self.plan = plan = await self.plans.read()  # a load that takes long delays no request
        self._forget_refusals(plan)
        if plan is not None:
            async with self._loading:
                for name in plan.folds:
                    is_due = self.clock() >= self._again_s.get(name.fold_id, 0.0)
                    if name.fold_id not in self.models and is_due:
                        await self._load(name, plan)
        for cache in list(self._caches):
            if cache.limit(self._cache_bytes()):
                await asyncio.sleep(0)  # an eviction takes long, and there may be many partitions
        return plan

    def _cache_bytes(self, *, of_candidate: bool = False) -> int:
        """Return the size of a cache: while a roll-out is open, both of a partition share one."""
        is_open = self.plan is not None and self.plan.stage == "open"
        share = int(CACHE_SHARE * self.builder.cache_bytes) if of_candidate or is_open else 0
        return share if of_candidate else self.builder.cache_bytes - share

    async def _load(self, name: FoldName, plan: Plan) -> None:
        """Load a bundle of the plan; the last ones stay, because a partition may still need them."""
        bundle = None
        self._unreachable.pop(name.fold_id, None)
        try:
            bundle = await self.plans.get_bundle(name.fingerprint)
            why = await self._load_bytes(name, bundle, plan)
        except UnavailableError:
            raise
        except UnreachableError as error:
            self._unreachable[name.fold_id] = error
            why = f"{error}; the worker tries again within a minute"
        except StreamRNNError as error:
            why = str(error)
        is_needed = name.fold_id in plan.needed_folds
        if why and is_needed and self.refused.get(name.fold_id) != why:
            logger.warning("cannot run fold %s of the roll-out: %s", name.fold_id, why)
        self.refused[name.fold_id] = why
        if why and bundle is not None:
            self._again_s[name.fold_id] = self.clock() + REFUSED_FOR_S

    async def _load_bytes(self, name: FoldName, bundle: BundleBytes | None, plan: Plan) -> str:
        """Load a bundle from bytes; return why that is not the fold of the plan, or nothing."""
        if bundle is None:
            return "Redis has no bundle of this fingerprint; start the roll-out with it again"
        model = await asyncio.to_thread(load_bundle_bytes, bundle, name.fingerprint)
        check_registry(model.spec.event, self.settings)
        if fold_id_of(model, self.settings) != name.fold_id:
            return "the settings of this worker give the bundle another fold id"
        wire = await find_format_beside(self.settings, self.models[self.own], model)
        self._forget_models(plan)
        self.models[name.fold_id] = WiredModel(model, wire)
        logger.info("bundle loaded model=%s fold=%s", model.name, name.fold_id)
        return ""

    def _forget_models(self, plan: Plan) -> None:
        """Make room for a model: leave out the oldest ones of earlier plans."""
        oldest = [fold for fold in self.models if fold not in (self.own, *plan.fold_ids)]
        for fold in oldest[: max(0, len(self.models) - MODELS_MAX + 1)]:
            del self.models[fold]

    def _forget_refusals(self, plan: Plan | None) -> None:
        """Leave out the refusals of folds that the plan does not name: nobody asks for them."""
        for fold in self.refused.keys() - (plan.fold_ids if plan is not None else ()):
            del self.refused[fold]
            self._again_s.pop(fold, None)
            self._unreachable.pop(fold, None)

    async def _keep_own(self, plan: Plan) -> None:
        """Put the worker's own bundle beside an open plan that names it, unless it is there."""
        own = FoldName(fold_id=self.own, fingerprint=self.model.fingerprint)
        is_needed = plan.stage == "open" and own in plan.folds
        if not is_needed or await self.plans.has_bundle(own.fingerprint):
            return
        model, bundle = await asyncio.to_thread(read_bundle_bytes, self.settings.bundle)
        if model.fingerprint != own.fingerprint:
            raise BundleError(
                f"{self.settings.bundle} contains another bundle than at the start of this worker, "
                f"whose fingerprint is {own.fingerprint[:16]}: other workers cannot load the fold "
                f"{own.fold_id} of the roll-out; write the earlier bundle there"
            )
        await self.plans.put_bundle(own.fingerprint, bundle)

    async def look(self, report: Callable[[], Awaitable[None]]) -> None:
        """Read the plan once a second until cancelled; while Redis does not answer, the last one stands.

        Args:
            report: Function that is called after each look.
        """
        logged = ""
        try:
            while True:
                try:
                    await self._look_once(report)
                    logged = ""
                except StreamRNNError as error:
                    if str(error) != logged:
                        logger.warning("cannot follow the plan of a roll-out: %s", reason(error))
                    logged = str(error)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            if self.shadow is not None:
                await self.shadow.close()

    async def _look_once(self, report: Callable[[], Awaitable[None]]) -> None:
        plan = await self.read_plan()
        lost = self.shadow.lost if self.shadow is not None else 0
        folds = plan.fold_ids if plan is not None and plan.stage == "open" else ()
        self.metrics.on_look(sum(bool(self.refused.get(fold)) for fold in folds), lost)
        await report()
        if plan is not None:
            await self._keep_own(plan)
        is_open = plan is not None and plan.stage == "open"
        if self.shadow is not None and self.shadow.is_open and not is_open:
            await self.shadow.close()

    def store(self, fold: str, partition: int) -> Store:
        """Return the store of a fold's hidden states."""
        return self.builder.store(fold, partition)

    def active(
        self,
        fold: str,
        partition: int,
        source: Source,
        publisher: Publisher,
        consult: Consult,
    ) -> Processor:
        """Make the processor of the fold in charge."""
        log = KafkaLog(self.cluster, self.settings, partition)
        processor = self.builder.processor(self.models[fold], partition, source, publisher, log)
        processor.cache.limit(self._cache_bytes())
        self._caches.add(processor.cache)
        assert isinstance(processor.recovery, Recovery), "a worker's processor has this recovery"
        processor.recovery = replace(processor.recovery, consult=consult)
        return processor

    def candidate(
        self,
        fold: str,
        partition: int,
        published: Published,
        turn: Turn,
    ) -> tuple[Processor, CandidateSource]:
        """Make the processor of the candidate, and its source."""
        log = KafkaLog(self.cluster, self.settings, partition)
        tp = TopicPartition(self.settings.source, partition)
        reader = KafkaRangeReader(self.cluster, tp, self.settings)
        source = CandidateSource(reader, published, turn)
        shadow = self.shadow
        publisher = SilentPublisher() if shadow is None else shadow.publisher(partition)
        processor = self.builder.processor(self.models[fold], partition, source, publisher, log)
        processor.cache.limit(self._cache_bytes(of_candidate=True))
        store = self.store(fold, partition)
        # The worker's observer has the metrics of the folds in charge.
        processor.observer = self.metrics
        found = processor.place, fold, store, log, published
        processor.recovery = CandidateRecovery(*found, is_silent=shadow is None)
        return processor, source
