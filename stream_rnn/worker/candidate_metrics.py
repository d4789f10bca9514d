"""The Prometheus metrics of candidates and of the roll-out; ``prometheus.py`` has all others."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream_rnn.errors import StateError
from stream_rnn.fold.observer import FoldedBatch
from stream_rnn.fold.recovery import Start


class CandidateMetrics:
    """Counts the work of candidates; a :class:`stream_rnn.fold.observer.Observer` of them.

    Args:
        registry: Registry of the worker's metrics; ``None`` to export nothing.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"stream_rnn_{name}", text, registry=registry)

        self._events = counter("candidate_events", "Valid events that candidates folded.")
        self._skips = counter(
            "candidate_skips", "Bad records that candidates skipped; their dead letters go nowhere."
        )
        self._failures = counter("candidate_failures", "Candidates that ended with an error.")
        self._cut_overs = counter("cut_overs", "Requests of a roll-out that were carried out.")
        self._lost = counter("shadow_lost", "Predictions that did not reach the shadow topic.")
        self._lost_before = 0
        self._refused = Gauge(
            "stream_rnn_rollout_refused",
            "Folds of the roll-out that this worker cannot run, such as of a bundle that fails to load.",
            registry=registry,
        )

    def on_start(self, start: Start) -> None:
        """Do nothing: the log has the row."""

    def on_reposition(self, error: StateError) -> None:
        """Do nothing: the log has the error."""

    def on_batch(self, folded: FoldedBatch) -> None:
        """Count the events and skips of a micro-batch."""
        decoded, errors = folded.batch.decoded, folded.stepped.errors
        self._events.inc(len(decoded.rows) - len(errors))
        self._skips.inc(len(decoded.skips) + len(errors))

    def on_failure(self) -> None:
        """Count a candidate that has ended with an error."""
        self._failures.inc()

    def on_cut_over(self) -> None:
        """Count a request that was carried out."""
        self._cut_overs.inc()

    def on_look(self, refused: int, lost: int) -> None:
        """Note what a look at the plan shows.

        Args:
            refused: Number of folds that this worker cannot run.
            lost: Number of shadow predictions that were lost until now.
        """
        self._refused.set(refused)
        self._lost.inc(lost - self._lost_before)
        self._lost_before = lost
