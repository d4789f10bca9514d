"""Calibration of predictions, and the events with the largest errors."""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.joined_outputs import NamedClasses
from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.evaluation.result import Bin, WorstPrediction
from stream_rnn.keys import describe_key
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output, by_event, in_unit, log_losses
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile, TimeToNext
from stream_rnn.text import format_duration

BINS = 10
LARGEST = 20


def calibration_bins(head: AnyHead, output: Output, target: NDArray[np.float64]) -> tuple[Bin, ...]:
    """Return bins with equal numbers of events, in the order of their predictions.

    A bin of a binary head has the mean probability and the share of events whose answer was yes.
    For a multi-class head, it has the mean probability of the likeliest class and the share of
    events of that class.  For a quantile head, a bin is a quantile: its level, and the share of
    events whose target is not above it.  For any other head, a bin has the mean predicted and the
    mean observed value.
    """
    if not len(target):
        return ()
    if isinstance(head, Quantile):
        assert not isinstance(output, RankedClasses)
        shares = (target[:, None] <= output).mean(axis=0).tolist()
        levels = zip(head.quantiles, shares, strict=True)
        return tuple(Bin(level, share, len(target)) for level, share in levels)
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
    elif isinstance(head, Quantile):
        loss = by_event(head, output, target)["pinball"]
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
    return describe_output(head, output, event), _describe_target(head, target)


def describe_output(head: AnyHead, output: Output | NamedClasses, event: int) -> str:
    """Return the prediction for one event as a text for people."""
    if isinstance(head, Multiclass):
        assert isinstance(output, RankedClasses | NamedClasses)
        likeliest = head.labels[int(output.top_class[event])]
        return f"{likeliest} ({output.confidence[event]:.3f})"
    assert not isinstance(output, RankedClasses | NamedClasses)
    if isinstance(head, Quantile):
        values = output[event].tolist()
        around = f" ({values[0]:.6g} to {values[-1]:.6g})" if head.width > 1 else ""
        return f"{values[head.middle]:.6g}{around}"
    value = float(output[event])
    match head:
        case Binary():
            return f"{value:.3f}"
        case TimeToNext():
            return format_duration(value)
        case _:
            return f"{value:.6g}"


def _describe_target(head: AnyHead, target: float) -> str:
    match head:
        case Multiclass():
            return head.labels[int(target)]
        case Binary():
            return "yes" if target > 0 else "no"
        case TimeToNext():
            return format_duration(float(np.expm1(target)))
        case _:
            return f"{target:.6g}"
