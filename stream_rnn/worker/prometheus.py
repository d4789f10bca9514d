"""What a worker tells Prometheus, in the words of the pages.

What happens is counted when a micro-batch is done; where partitions stand is looked up when
somebody asks.  Labels are few and bounded: partitions that are owned, codes of skips, heads, and at
most ``CLASSES_MAX`` classes of a head.  No key, no value and no secret is ever a label.
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
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.observer import FoldedBatch
from stream_rnn.fold.recovery import Start
from stream_rnn.fold.single_steps import NOT_FINITE
from stream_rnn.model.heads import AnyHead
from stream_rnn.model.network import Model
from stream_rnn.settings import FoldSettings

SAMPLE_EVERY_S = 0.25
SAMPLE_ROWS = 32
CLASSES_MAX = 30
SATURATED = 0.99
BATCH_EVENTS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
PROBABILITIES = tuple(n / 10 for n in range(1, 11))
NORMS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 5.0, 10.0)
POWERS = tuple(10.0**n for n in range(-1, 8))
VALUES = (*(-value for value in reversed(POWERS[:-1])), 0.0, *POWERS)


@dataclass(frozen=True, slots=True)
class PartitionView:
    """Where an owned partition stands; what is not known yet is ``None``.

    Attributes:
        partition: its number.
        position: the next offset to fold.
        origin: of the fold.
        group_offset: as far as this worker has published.
        log_start: the first available offset of the source.
        log_end: its last stable offset.
        lag_s: seconds from the last folded record until now; 0 if nothing waits.
        headroom_s: seconds until retention by time removes the next record to fold.
        keys: hidden states.
        stream_time_s: greatest event time, in seconds since 1970.
        is_silent: folds below the group offset, and publishes nothing.
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

    @property
    def lag(self) -> int | None:
        """Records from the position to the log end."""
        if self.position is None or self.log_end is None:
            return None
        return max(0, self.log_end - self.position)

    @property
    def headroom(self) -> int | None:
        """Offsets from the log start to the position; below 0, history is lost."""
        if self.position is None or self.log_start is None:
            return None
        return self.position - self.log_start


GAUGES: tuple[tuple[str, str, Callable[[PartitionView], float | None]], ...] = (
    ("position", "next offset to fold", lambda v: v.position),
    ("origin", "first offset of the fold", lambda v: v.origin),
    ("group_offset", "offset below which everything is published", lambda v: v.group_offset),
    ("log_start", "first available offset of the source", lambda v: v.log_start),
    ("log_end", "last stable offset of the source", lambda v: v.log_end),
    ("lag_records", "records that wait to be folded: log end less position", lambda v: v.lag),
    ("lag_seconds", "age of the last folded record while records wait, else 0", lambda v: v.lag_s),
    ("headroom_records", "offsets until retention overtakes the position: position less log start", lambda v: v.headroom),
    ("headroom_seconds", "time until retention.ms removes the next record to fold", lambda v: v.headroom_s),
    ("keys", "hidden states in Redis", lambda v: v.keys),
    ("stream_time_seconds", "greatest event time folded, since 1970", lambda v: v.stream_time_s),
    ("silent", "1 while folding below the group offset, publishing nothing", lambda v: float(v.is_silent)),
)  # fmt: skip


def describe(model: Model, settings: FoldSettings) -> dict[str, str]:
    """Return what a worker is: labels of ``stream_rnn_fold_info``."""
    return {
        "app": settings.app,
        "source": settings.source,
        "predictions": settings.predictions,
        "delivery": settings.delivery,
        "model": model.name,
        "fingerprint": model.fingerprint[:16],
        "fold": fold_id(model.fingerprint, settings),
        "numerics": model.numerics(),
        "version": version("stream-rnn"),
    }


class _Partitions(Collector):
    """Gauges of the partitions that are owned at the time of asking."""

    def __init__(self, views: Callable[[], Sequence[PartitionView]]) -> None:
        self._views = views

    def collect(self) -> Iterable[Metric]:
        """Yield one family for each gauge."""
        views = self._views()
        owned = GaugeMetricFamily("stream_rnn_partitions", "source partitions of this worker")
        owned.add_metric([], len(views))
        yield owned
        for name, about, value_of in GAUGES:
            family = GaugeMetricFamily(f"stream_rnn_{name}", about, labels=["partition"])
            for view in views:
                if (value := value_of(view)) is not None:
                    family.add_metric([str(view.partition)], value)
            yield family


class Metrics:
    """Counts what processors do; a :class:`stream_rnn.fold.observer.Observer`.

    Args:
        model: whose outputs are looked at.
        settings: what is said of the fold.
        views: where the owned partitions stand.
        clock: monotonic seconds; it decides when to take a sample.
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
        Info("stream_rnn_fold", "the model and fold that run", registry=registry).info(
            describe(model, settings)
        )

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"stream_rnn_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"stream_rnn_{name}", text, labels, buckets=buckets, registry=registry)

        self._events = counter("events", "valid events that were folded")
        self._predictions = counter("predictions", "predictions that were published")
        self._silent = counter("silent_events", "events that were folded without publishing")
        self._forgets = counter("forgets", "records with a null value")
        self._skips = counter("skips", "bad records by reason", "reason")
        self._starts = counter(
            "starts", "partitions positioned, by row of the recovery table", "row"
        )
        self._repositions = counter("repositions", "positioned anew, by error", "error")
        self._rebuilds = counter("rebuilds", "folds that began from their origin again")
        self._lost = counter("lost_history", "starts that gave up history")
        self._hits = counter("cache_hits", "keys of a micro-batch found in the cache")
        self._misses = counter("cache_misses", "keys of a micro-batch read from Redis")
        self._batch = histogram("batch_events", "events of a micro-batch", BATCH_EVENTS)
        self._seconds = histogram("step_seconds", "a micro-batch in a step of the processor, waits included", SECONDS, "step")  # fmt: skip
        self._norm = histogram("hidden_rms", "root mean square of a sampled hidden state", NORMS)
        self._saturated = Gauge("stream_rnn_hidden_saturated", f"share of sampled hidden values beyond {SATURATED}", registry=registry)  # fmt: skip
        self.source_partitions = Gauge("stream_rnn_source_partitions", "partitions of the source, of all workers", registry=registry)  # fmt: skip
        self.redis_used = Gauge("stream_rnn_redis_used_bytes", "memory that Redis uses, of all its clients", registry=registry)  # fmt: skip
        self.redis_max = Gauge("stream_rnn_redis_max_bytes", "maxmemory of Redis; 0: no limit", registry=registry)  # fmt: skip
        self.facts_age = Gauge("stream_rnn_facts_age_seconds", "since Kafka was last asked for log ends", registry=registry)  # fmt: skip
        self._probability = histogram("output_probability", "sampled answers of binary heads", PROBABILITIES, "head")  # fmt: skip
        self._value = histogram("output_value", "sampled answers of regression and time heads, in their unit", VALUES, "head")  # fmt: skip
        self._class = counter("output_class", "sampled likeliest classes", "head", "class")
        # What alerts count begins at 0: a series that is born above it has not grown for Prometheus.
        for error in (MovedError, TornError, CorruptStateError, JumpedError):
            self._repositions.labels(_word(error))
        self._skips.labels(NOT_FINITE)

    def on_start(self, start: Start) -> None:
        """Count a start by its row."""
        self._starts.labels(str(start.row)).inc()
        if start.row in (6, 8):
            self._rebuilds.inc()
        if start.lost:
            self._lost.inc()

    def on_reposition(self, error: StateError) -> None:
        """Count why: ``moved``, ``torn``, ``jumped``, ``forgotten`` or ``corrupt_state``."""
        self._repositions.labels(_word(type(error))).inc()

    def on_batch(self, folded: FoldedBatch) -> None:
        """Count a micro-batch; now and then look at some of its answers."""
        batch, stepped = folded.batch, folded.stepped
        events = len(batch.decoded.rows) - len(stepped.errors)
        self._events.inc(events)
        self._predictions.inc(folded.published)
        self._silent.inc(events - folded.published)
        if batch.decoded.forgets:
            self._forgets.inc(len(batch.decoded.forgets))
        errors = (*batch.decoded.skips.values(), *stepped.errors.values())
        for code, count in Counts(error.code for error in errors).items():
            self._skips.labels(code).inc(count)
        self._hits.inc(folded.hits)
        self._misses.inc(folded.misses)
        self._batch.observe(len(batch.decoded.rows))
        for step, seconds in folded.seconds.items():
            self._seconds.labels(step).observe(seconds)
        now = self._clock()
        if events and not stepped.errors and now - self._sampled_s >= SAMPLE_EVERY_S:
            self._sampled_s = now
            self._sample(folded)

    def _sample(self, folded: FoldedBatch) -> None:
        stepped = folded.stepped
        rows = _spread(len(stepped.y))
        outputs = self._model.outputs(stepped.y[rows])
        for head in self._model.spec.heads:
            self._look_at(head, outputs[head.name])
        kept = np.flatnonzero(stepped.exists)
        if len(kept):
            some = stepped.states.hidden[kept[_spread(len(kept))]]
            if self._model.cell.kind == "lstm":  # h stands before c, which has no bound
                some = some[:, : some.shape[1] // 2]
            for norm in np.sqrt(np.mean(some**2, axis=1)).tolist():
                self._norm.observe(norm)
            self._saturated.set(float(np.mean(np.abs(some) > SATURATED)))

    def _look_at(self, head: AnyHead, values: Any) -> None:
        if head.kind == "multiclass":
            for number in values.argmax(axis=1).tolist():
                label = head.labels[number] if number < CLASSES_MAX else "(others)"
                self._class.labels(head.name, label).inc()
            return
        histogram = self._probability if head.kind == "binary" else self._value
        for value in values.tolist():
            histogram.labels(head.name).observe(value)


def _spread(count: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return at most ``SAMPLE_ROWS`` numbers below ``count``, evenly apart."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE_ROWS)).astype(np.int64))


def _word(error: type[StateError]) -> str:
    name = error.__name__.removesuffix("Error")
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
