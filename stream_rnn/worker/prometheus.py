"""The Prometheus metrics of a worker.

Counters and histograms change after each micro-batch; the gauges of partitions are computed when
Prometheus scrapes the worker.  Labels are few and bounded: owned partitions, skip codes, heads, and
at most ``CLASSES_MAX`` classes of a head.  Keys, values and secrets are never labels.
"""

import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream_rnn.errors import CorruptStateError, JumpedError, MovedError, StateError, TornError
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.fold.observer import FoldedBatch
from stream_rnn.fold.recovery import Start
from stream_rnn.fold.single_steps import NOT_FINITE
from stream_rnn.model.heads import AnyHead, Quantile
from stream_rnn.model.network import Model
from stream_rnn.settings import FoldSettings
from stream_rnn.worker.candidate_metrics import CandidateMetrics

SAMPLE_EVERY_S = 0.25
SAMPLE_ROWS = 32
CLASSES_MAX = 30
SATURATED = 0.99
BATCH_EVENTS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
PROBABILITIES = tuple(n / 10 for n in range(1, 11))
NORMS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 5.0, 10.0)
SURPRISES = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 50.0)
POWERS = tuple(10.0**n for n in range(-1, 8))
VALUES = (*(-value for value in reversed(POWERS[:-1])), 0.0, *POWERS)


@dataclass(frozen=True, slots=True)
class PartitionView:
    """The progress of an owned partition; a value that is not known yet is ``None``.

    Attributes:
        partition: Number of the partition.
        position: Next offset to fold.
        origin: First offset of the fold.
        group_offset: Offset below which this worker has published every prediction.
        log_start: First available offset of the source.
        log_end: Last stable offset of the source.
        lag_s: Age of the last folded record in seconds; 0 if no record waits.
        headroom_s: Seconds until retention by time removes the next record to fold.
        keys: Number of keys with a hidden state in Redis.
        stream_time_s: Greatest event time, in seconds since 1970.
        is_silent: Whether the fold is below the group offset, where it publishes nothing.
        candidate_position: Next offset that the candidate of a roll-out folds.
        candidate_lag: Number of published offsets that the candidate has not folded.
        pending_s: Seconds for which this worker has known a request that is not carried out.
    """

    partition: int
    position: int | None = None
    origin: int | None = None
    group_offset: int | None = None
    log_start: int | None = None
    log_end: int | None = None
    lag_s: float | None = None
    headroom_s: float | None = None
    keys: int | None = None
    stream_time_s: float | None = None
    is_silent: bool = False
    candidate_position: int | None = None
    candidate_lag: int | None = None
    pending_s: float | None = None

    @property
    def lag(self) -> int | None:
        """Number of records from the position to the log end."""
        if self.position is None or self.log_end is None:
            return None
        return max(0, self.log_end - self.position)

    @property
    def headroom(self) -> int | None:
        """Number of offsets from the log start to the position; negative if history is lost."""
        if self.position is None or self.log_start is None:
            return None
        return self.position - self.log_start


GAUGES: tuple[tuple[str, str, Callable[[PartitionView], float | None]], ...] = (
    ("position", "Next offset to fold.", lambda v: v.position),
    ("origin", "First offset of the fold.", lambda v: v.origin),
    ("group_offset", "Offset below which every prediction is published.", lambda v: v.group_offset),
    ("log_start", "First available offset of the source.", lambda v: v.log_start),
    ("log_end", "Last stable offset of the source.", lambda v: v.log_end),
    ("lag_records", "Records that wait to be folded: log end minus position.", lambda v: v.lag),
    ("lag_seconds", "Age of the last folded record in seconds; 0 if no record waits.", lambda v: v.lag_s),
    ("headroom_records", "Offsets until retention overtakes the position: position minus log start.", lambda v: v.headroom),
    ("headroom_seconds", "Seconds until retention.ms removes the next record to fold.", lambda v: v.headroom_s),
    ("keys", "Keys with a hidden state in Redis.", lambda v: v.keys),
    ("stream_time_seconds", "Greatest event time folded, in seconds since 1970.", lambda v: v.stream_time_s),
    ("silent", "1 while the fold is below the group offset and publishes nothing, otherwise 0.", lambda v: float(v.is_silent)),
    ("candidate_position", "Next offset that the candidate of a roll-out folds.", lambda v: v.candidate_position),
    ("candidate_lag_records", "Published records that the candidate has not folded.", lambda v: v.candidate_lag),
    ("request_pending_seconds", "Seconds for which a request of a roll-out has been pending here.", lambda v: v.pending_s),
)  # fmt: skip


def fold_labels(model: Model, settings: FoldSettings) -> dict[str, str]:
    """Return the labels of ``stream_rnn_fold_info``, which identify the fold of a worker."""
    return {
        "app": settings.app,
        "source": settings.source,
        "predictions": settings.predictions,
        "delivery": settings.delivery,
        "model": model.name,
        "fingerprint": model.fingerprint[:16],
        "fold": fold_id_of(model, settings),
        "numerics": model.numerics(),
        "version": version("stream-rnn"),
    }


class _Partitions(Collector):
    """Gauges of the partitions that the worker owns when Prometheus scrapes it."""

    def __init__(self, views: Callable[[], Sequence[PartitionView]]) -> None:
        self._views = views

    def collect(self) -> Iterable[Metric]:
        """Yield one family for each gauge."""
        views = self._views()
        owned = GaugeMetricFamily(
            "stream_rnn_partitions", "Source partitions that this worker owns."
        )
        owned.add_metric([], len(views))
        yield owned
        for name, help_text, value_of in GAUGES:
            family = GaugeMetricFamily(f"stream_rnn_{name}", help_text, labels=["partition"])
            for view in views:
                if (value := value_of(view)) is not None:
                    family.add_metric([str(view.partition)], value)
            yield family


class Metrics:
    """Counts the work of processors; a :class:`stream_rnn.fold.observer.Observer`.

    Args:
        model: Model whose outputs are sampled.
        settings: Settings of the fold, for the labels of ``stream_rnn_fold_info``.
        views: Function that returns a view of each owned partition.
        clock: Function that returns monotonic seconds, for the interval between samples.
    """

    def __init__(
        self,
        model: Model,
        settings: FoldSettings,
        views: Callable[[], Sequence[PartitionView]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry = CollectorRegistry()
        self._model, self._clock, self._sampled_s = model, clock, -SAMPLE_EVERY_S
        ProcessCollector(registry=registry)
        registry.register(_Partitions(views))
        self.candidates = CandidateMetrics(registry)
        Info("stream_rnn_fold", "The fold and the model of this worker.", registry=registry).info(
            fold_labels(model, settings)
        )

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"stream_rnn_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"stream_rnn_{name}", text, labels, buckets=buckets, registry=registry)

        self._events = counter("events", "Valid events that were folded.")
        self._predictions = counter("predictions", "Predictions that were published.")
        self._silent = counter("silent_events", "Events that were folded without publishing.")
        self._forgets = counter("forgets", "Records that forget their key, such as those with a null value.")  # fmt: skip
        self._filtered = counter("filtered", "Records that event.only of the feature spec filters.")
        self._skips = counter("skips", "Bad records that were skipped, by reason.", "reason")
        self._starts = counter(
            "starts", "Partitions that were positioned, by row of the recovery table.", "row"
        )
        self._repositions = counter(
            "repositions", "Partitions that were positioned again, by error.", "error"
        )
        self._rebuilds = counter("rebuilds", "Folds that started again at their origin.")
        self._lost = counter(
            "lost_history",
            "Starts that gave up history or predictions, by on_lost_history or on_foreign_offset.",
        )
        self._hits = counter("cache_hits", "Keys of micro-batches that the cache contained.")
        self._misses = counter("cache_misses", "Keys of micro-batches that were read from Redis.")
        self._batch = histogram("batch_events", "Number of events in a micro-batch.", BATCH_EVENTS)
        self._seconds = histogram("step_seconds", "Seconds that a micro-batch spends in a step of the processor, waiting included.", SECONDS, "step")  # fmt: skip
        self._norm = histogram("hidden_rms", "Root mean square of a sampled hidden state.", NORMS)
        self._saturated = Gauge("stream_rnn_hidden_saturated", f"Share of sampled hidden values with a magnitude above {SATURATED}.", registry=registry)  # fmt: skip
        self.source_partitions = Gauge("stream_rnn_source_partitions", "Partitions of the source, over all workers.", registry=registry)  # fmt: skip
        self.redis_used = Gauge("stream_rnn_redis_used_bytes", "Bytes of memory that Redis uses for all its clients.", registry=registry)  # fmt: skip
        self.redis_max = Gauge("stream_rnn_redis_max_bytes", "maxmemory of Redis in bytes; 0 means no limit.", registry=registry)  # fmt: skip
        self.redis_evicts = Gauge("stream_rnn_redis_evicts", "1 if maxmemory-policy lets Redis evict hidden states, otherwise 0.", registry=registry)  # fmt: skip
        self.facts_age = Gauge("stream_rnn_facts_age_seconds", "Seconds since the log ends were last read from Kafka.", registry=registry)  # fmt: skip
        self._probability = histogram("output_probability", "Sampled probabilities of binary heads.", PROBABILITIES, "head")  # fmt: skip
        self._value = histogram("output_value", "Sampled outputs of regression and time heads, in the unit of the head.", VALUES, "head")  # fmt: skip
        self._class = counter("output_class", "Likeliest classes of sampled outputs.", "head", "class")  # fmt: skip
        self._surprise = histogram("output_surprise", "Sampled surprises of events, in nats or in standard deviations of the target.", SURPRISES, "head")  # fmt: skip
        # Alerts need these series from 0 on: Prometheus sees no increase in a series that is new.
        for error in (MovedError, TornError, CorruptStateError, JumpedError):
            self._repositions.labels(_snake_case(error))
        self._skips.labels(NOT_FINITE)

    def on_start(self, start: Start) -> None:
        """Count the start of a partition, by its row of the recovery table."""
        self._starts.labels(str(start.row)).inc()
        if start.row in (6, 8):
            self._rebuilds.inc()
        if start.lost:
            self._lost.inc()

    def on_reposition(self, error: StateError) -> None:
        """Count an error: ``moved``, ``torn``, ``jumped``, ``forgotten`` or ``corrupt_state``."""
        self._repositions.labels(_snake_case(type(error))).inc()

    def on_batch(self, folded: FoldedBatch) -> None:
        """Count a micro-batch, and sample its outputs every ``SAMPLE_EVERY_S`` seconds."""
        batch, stepped = folded.batch, folded.stepped
        events = len(batch.decoded.rows) - len(stepped.errors)
        self._events.inc(events)
        self._predictions.inc(folded.published)
        self._silent.inc(events - folded.published)
        if batch.decoded.forgets:
            self._forgets.inc(len(batch.decoded.forgets))
        self._filtered.inc(len(batch.decoded.filtered))
        errors = (*batch.decoded.skips.values(), *stepped.errors.values())
        for code, count in Counts(error.code for error in errors).items():
            self._skips.labels(code).inc(count)
        self._hits.inc(folded.hits)
        self._misses.inc(folded.misses)
        self._batch.observe(len(batch.decoded.rows))
        for step, seconds in folded.seconds.items():
            self._seconds.labels(step).observe(seconds)
        now = self._clock()
        may_sample = folded.is_sampled and events and not stepped.errors
        if may_sample and now - self._sampled_s >= SAMPLE_EVERY_S:
            self._sampled_s = now
            self._sample(folded)

    def _sample(self, folded: FoldedBatch) -> None:
        stepped = folded.stepped
        rows = _sample_rows(len(stepped.y))
        outputs = self._model.outputs(stepped.y[rows])
        for head in self._model.spec.heads:
            self._sample_head(head, outputs[head.name])
        for name, surprises in stepped.surprises.items():
            for surprise in surprises[rows][~np.isnan(surprises[rows])].tolist():
                self._surprise.labels(name).observe(surprise)
        existing = np.flatnonzero(stepped.exists)
        if len(existing):
            chosen = existing[_sample_rows(len(existing))]
            sample = stepped.states.hidden[chosen, : self._model.hidden_size_floats]
            if self._model.cell.kind == "lstm":  # h comes before c, which has no bound
                sample = sample[:, : sample.shape[1] // 2]
            for norm in np.sqrt(np.mean(sample**2, axis=1)).tolist():
                self._norm.observe(norm)
            self._saturated.set(float(np.mean(np.abs(sample) > SATURATED)))

    def _sample_head(self, head: AnyHead, values: Any) -> None:
        if head.kind == "multiclass":
            for number in values.argmax(axis=1).tolist():
                label = head.labels[number] if number < CLASSES_MAX else "(others)"
                self._class.labels(head.name, label).inc()
            return
        if isinstance(head, Quantile):
            values = values[:, head.middle]
        histogram = self._probability if head.kind == "binary" else self._value
        for value in values.tolist():
            histogram.labels(head.name).observe(value)


def _sample_rows(count: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return at most ``SAMPLE_ROWS`` evenly spaced row numbers below ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE_ROWS)).astype(np.int64))


def _snake_case(error: type[StateError]) -> str:
    name = error.__name__.removesuffix("Error")
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
