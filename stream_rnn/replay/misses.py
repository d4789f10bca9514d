"""Where predictions were wrong: calibration, and the largest errors in words."""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext
from stream_rnn.model.metrics import log_losses
from stream_rnn.replay.evaluation import Bin, Miss
from stream_rnn.replay.keys import describe_key
from stream_rnn.replay.outcomes import Outcomes

BINS = 10
LARGEST = 20


def calibration(
    head: AnyHead, output: NDArray[np.float32], target: NDArray[np.float64]
) -> tuple[Bin, ...]:
    """Return bins of as many events each, by what is predicted.

    Of a binary head the probability and how often it was so; of classes the probability of the
    likeliest one and how often it came; of numbers the value and the mean of what came.
    """
    if not len(target):
        return ()
    match head:
        case Binary():
            predicted, observed = output.astype(np.float64), target
        case Multiclass():
            predicted = output.max(axis=1).astype(np.float64)
            observed = (output.argmax(axis=1) == target).astype(np.float64)
        case _:
            predicted = output.astype(np.float64)
            observed = np.expm1(target) if isinstance(head, TimeToNext) else target
    order = np.argsort(predicted, kind="stable")
    return tuple(
        Bin(float(predicted[part].mean()), float(observed[part].mean()), len(part))
        for part in np.array_split(order, min(BINS, len(order)))
    )


def largest(
    head: AnyHead,
    found: Outcomes,
    output: NDArray[np.float32],
    target: NDArray[np.float64],
    events: NDArray[np.intp],
) -> tuple[Miss, ...]:
    """Return the events that were predicted worst, worst first.

    Args:
        head: what was asked.
        found: where the events are.
        output: (M,) or (M, C) answers to the scored events.
        target: (M,) what came.
        events: (M,) their numbers in ``found``.
    """
    if isinstance(head, Binary | Multiclass):
        loss = log_losses(output, target)
    else:
        truth = np.expm1(target) if isinstance(head, TimeToNext) else target
        loss = np.abs(output.astype(np.float64) - truth)
    worst = np.argsort(-loss, kind="stable")[:LARGEST].tolist()
    return tuple(
        Miss(
            describe_key(found.keys[int(found.key[event])]),
            int(found.partition[event]),
            int(found.offset[event]),
            int(found.time_ms[event]),
            int(found.steps[event]),
            *words(head, output[i], float(target[i])),
            float(loss[i]),
        )
        for i, event in ((i, int(events[i])) for i in worst)
    )


def words(head: AnyHead, output: NDArray[np.float32], target: float) -> tuple[str, str]:
    """Return in words what was predicted of an event, and what came."""
    match head:
        case Binary():
            return f"{float(output):.3f}", "yes" if target > 0 else "no"
        case Multiclass():
            likeliest = int(output.argmax())
            return f"{head.labels[likeliest]} ({output[likeliest]:.3f})", head.labels[int(target)]
        case TimeToNext():
            return f"{float(output):.6g} s", f"{np.expm1(target):.6g} s"
        case _:
            return f"{float(output):.6g}", f"{target:.6g}"
