"""Where predictions were wrong: calibration, and the largest errors in words."""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.outcomes import PredictionsWithTargets
from stream_rnn.evaluation.result import Bin, WorstPrediction
from stream_rnn.keys import describe_key
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output, in_unit, log_losses
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext
from stream_rnn.text import format_duration

BINS = 10
LARGEST = 20


def calibration(head: AnyHead, output: Output, target: NDArray[np.float64]) -> tuple[Bin, ...]:
    """Return bins of as many events each, by what is predicted.

    Of a binary head the probability and how often it was so; of classes the probability of the
    likeliest one and how often it came; of numbers the value and the mean of what came.
    """
    if not len(target):
        return ()
    if isinstance(output, RankedClasses):
        predicted = output.confidence.astype(np.float64)
        observed = (output.top_class == target).astype(np.float64)
    else:
        predicted = output.astype(np.float64)
        observed = in_unit(head, target)
    order = np.argsort(predicted, kind="stable")
    return tuple(
        Bin(float(predicted[part].mean()), float(observed[part].mean()), len(part))
        for part in np.array_split(order, min(BINS, len(order)))
    )


def largest(
    head: AnyHead,
    found: PredictionsWithTargets,
    output: Output,
    target: NDArray[np.float64],
    events: NDArray[np.intp],
) -> tuple[WorstPrediction, ...]:
    """Return the events that were predicted worst, worst first.

    Args:
        head: what was asked.
        found: where the events are.
        output: (M,) answers to the scored events.
        target: (M,) what came.
        events: (M,) their numbers in ``found``.
    """
    if isinstance(output, RankedClasses) or isinstance(head, Binary):
        loss = log_losses(output, target)
    else:
        loss = np.abs(output.astype(np.float64) - in_unit(head, target))
    worst = np.argsort(-loss, kind="stable")[:LARGEST].tolist()

    def described(i: int) -> WorstPrediction:
        event = int(events[i])
        predicted, actual = words(head, output, i, float(target[i]))
        return WorstPrediction(
            key=describe_key(found.keys[int(found.key[event])]),
            partition=int(found.partition[event]),
            offset=int(found.offset[event]),
            event_time_ms=int(found.time_ms[event]),
            steps=int(found.steps[event]),
            predicted=predicted,
            actual=actual,
            loss=float(loss[i]),
        )

    return tuple(map(described, worst))


def words(head: AnyHead, output: Output, event: int, target: float) -> tuple[str, str]:
    """Return in words what was predicted of one of the events, and what came."""
    if isinstance(head, Multiclass):
        assert isinstance(output, RankedClasses)
        likeliest = head.labels[int(output.top_class[event])]
        return f"{likeliest} ({output.confidence[event]:.3f})", head.labels[int(target)]
    assert not isinstance(output, RankedClasses)
    value = float(output[event])
    match head:
        case Binary():
            return f"{value:.3f}", "yes" if target > 0 else "no"
        case TimeToNext():
            return format_duration(value), format_duration(float(np.expm1(target)))
        case _:
            return f"{value:.6g}", f"{target:.6g}"
