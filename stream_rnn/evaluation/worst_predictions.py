"""Calibration of predictions, and the events with the largest errors."""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.evaluation.result import Bin, WorstPrediction
from stream_rnn.keys import describe_key
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output, in_unit, log_losses
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext
from stream_rnn.text import format_duration

BINS = 10
LARGEST = 20


def calibration_bins(head: AnyHead, output: Output, target: NDArray[np.float64]) -> tuple[Bin, ...]:
    """Return bins with equal numbers of events, in the order of their predictions.

    A bin of a binary head has the mean probability and the share of events whose answer was yes.
    For a multi-class head, it has the mean probability of the likeliest class and the share of
    events of that class; for any other head, the mean predicted and the mean observed value.
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


def largest_errors(
    head: AnyHead,
    predictions: PredictionsWithTargets,
    output: Output,
    target: NDArray[np.float64],
    events: NDArray[np.intp],
) -> tuple[WorstPrediction, ...]:
    """Return the scored events with the largest losses, largest first.

    Args:
        head: Head that predicts.
        predictions: All predictions of the log.
        output: Outputs (M,) for the scored events.
        target: Targets (M,) of the scored events.
        events: Indices (M,) of the scored events in ``predictions``.
    """
    if isinstance(output, RankedClasses) or isinstance(head, Binary):
        loss = log_losses(output, target)
    else:
        loss = np.abs(output.astype(np.float64) - in_unit(head, target))
    worst = np.argsort(-loss, kind="stable")[:LARGEST].tolist()

    def describe_error(i: int) -> WorstPrediction:
        event = int(events[i])
        predicted, actual = describe_prediction(head, output, i, float(target[i]))
        return WorstPrediction(
            key=describe_key(predictions.keys[int(predictions.key[event])]),
            partition=int(predictions.partition[event]),
            offset=int(predictions.offset[event]),
            event_time_ms=int(predictions.time_ms[event]),
            steps=int(predictions.steps[event]),
            predicted=predicted,
            actual=actual,
            loss=float(loss[i]),
        )

    return tuple(map(describe_error, worst))


def describe_prediction(
    head: AnyHead, output: Output, event: int, target: float
) -> tuple[str, str]:
    """Return the prediction for one event and its target, both as texts for people."""
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
