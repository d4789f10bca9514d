"""The surprise of a head over a log: its distribution, and where it is highest."""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.evaluation.result import SurpriseSummary, SurprisingEvent, SurprisingKey
from stream_rnn.keys import describe_key
from stream_rnn.model.heads import AnyHead, Binary, Multiclass

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999, "largest": 1.0}
KEYS = EVENTS = 20
KEY_EVENTS_MIN = 10


def surprise_unit(head: AnyHead) -> str:
    """Return the unit of a head's surprise."""
    is_class = isinstance(head, Binary | Multiclass)
    return "nats" if is_class else "standard deviations of the target"


def summarize_surprise(
    head: AnyHead, predictions: PredictionsWithTargets, chosen: NDArray[np.bool_]
) -> SurpriseSummary | None:
    """Return the distribution of a head's surprise; ``None`` if the head has none.

    A key is ranked by the mean over its events.  Keys with fewer than ``KEY_EVENTS_MIN`` of them
    are ranked only if no key has more.

    Args:
        head: Head that predicts.
        predictions: N predictions of the log.
        chosen: (N,) Mask of the events that are scored.
    """
    if not head.surprise:
        return None
    values = predictions.surprises[head.name].astype(np.float64)
    events = np.flatnonzero(chosen & np.isfinite(values))
    rated = values[events]
    quantiles = np.quantile(rated, list(SHARES.values())).tolist() if len(events) else ()
    highest = events[np.argsort(-rated, kind="stable")[:EVENTS]].tolist()
    return SurpriseSummary(
        unit=surprise_unit(head),
        events=len(events),
        mean=float(rated.mean()) if len(events) else float("nan"),
        quantiles=dict(zip(SHARES, quantiles, strict=True)) if len(events) else {},
        keys=_rank_keys(predictions, events, rated),
        highest=tuple(
            SurprisingEvent(
                key=describe_key(predictions.keys[int(predictions.key[event])]),
                partition=int(predictions.partition[event]),
                offset=int(predictions.offset[event]),
                event_time_ms=int(predictions.time_ms[event]),
                steps=int(predictions.steps[event]),
                surprise=float(values[event]),
            )
            for event in highest
        ),
    )


def _rank_keys(
    predictions: PredictionsWithTargets, events: NDArray[np.intp], rated: NDArray[np.float64]
) -> tuple[SurprisingKey, ...]:
    keys, key = np.unique(predictions.key[events], return_inverse=True)
    counts = np.bincount(key, minlength=len(keys))
    means = np.bincount(key, weights=rated, minlength=len(keys)) / np.maximum(counts, 1)
    largest = np.zeros(len(keys))
    np.maximum.at(largest, key, rated)
    has_many = counts >= KEY_EVENTS_MIN
    ranked = np.flatnonzero(has_many if has_many.any() else np.ones(len(keys), bool))
    ranked = ranked[np.argsort(-means[ranked], kind="stable")[:KEYS]]
    return tuple(
        SurprisingKey(
            key=describe_key(predictions.keys[int(keys[i])]),
            events=int(counts[i]),
            mean=float(means[i]),
            largest=float(largest[i]),
        )
        for i in ranked.tolist()
    )
