"""What the figures of an evaluation say, as sentences that claim no more than the figures do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stream_rnn.evaluation.report.figures import (
    format_difference,
    format_metric,
    interval,
    metric_name,
)
from stream_rnn.evaluation.result import (
    MEMORY,
    MEMORYLESS,
    MODELS,
    Bin,
    Group,
    HeadEvaluation,
    HiddenHealth,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.text import DASH, format_number, is_known, printable

HELPS, NOTHING, HURTS, UNKNOWN = "memory helps", "no difference shown", "memory hurts", "not known"


@dataclass(frozen=True, slots=True)
class Reading:
    """A sign of health: what is measured, what a good value looks like, and whether this is one."""

    name: str
    value: str
    good: str
    is_good: bool | None
    why: str


def worth(head: HeadEvaluation) -> tuple[str, str]:
    """Return what the memory is worth for a head, as a verdict and as a sentence."""
    if not head.events:
        return UNKNOWN, "No event has a label, so nothing is scored."
    has, lacks = (head.models.get(model, {}).get(head.metric) for model in (MEMORY, MEMORYLESS))
    return worth_of(head.metric, head.unit, head.better, has, lacks, head.worth)


def worth_of(
    metric: str,
    unit: str,
    better: str,
    has: Figure | None,
    lacks: Figure | None,
    difference: Figure | None = None,
) -> tuple[str, str]:
    """Return what a memory is worth, as a verdict and as a sentence.

    Args:
        metric: which one is compared.
        unit: of the target; empty for none.
        better: ``higher`` or ``lower`` values of the metric.
        has: the metric with memory.
        lacks: the metric of the memoryless baseline.
        difference: with memory minus without, where it has an interval.

    Example:
        >>> worth_of("auc", "", "higher", Figure(0.768), Figure(0.729), Figure(0.039, 0.03, 0.05))[1]
        'The AUC is 0.768 with memory and 0.729 without: a difference of +0.039, with 95 % \
confidence 0.030 to 0.050; higher is better.'
    """
    if has is None or lacks is None or not math.isfinite(has.value - lacks.value):
        return UNKNOWN, _without_comparison(has, lacks)
    gap = difference
    if gap is None or not math.isfinite(gap.value):
        gap = Figure(has.value - lacks.value)
    measure = (metric, unit)
    text = (
        f"The {metric_name(*measure)} is {format_metric(has.value, *measure)} with memory and "
        f"{format_metric(lacks.value, *measure)} without: a difference of "
        f"{format_difference(gap.value, *measure)}"
    )
    low, high, rule = gap.low, gap.high, f"{better} is better."
    if low is None or high is None or math.isnan(low + high):
        word = {0: NOTHING, 1: HELPS, -1: HURTS}[_side(gap.value, better)]
        return word, f"{text}; {rule} There is no interval, so chance may have done it."
    text = f"{text}, with 95 % confidence {interval(gap, *measure)}; {rule}"
    if low <= 0 <= high:
        return NOTHING, f"{text} The interval holds 0, so the memory may be worth nothing here."
    if _side(low, better) > 0:
        return HELPS, text
    return HURTS, f"{text} The network does better without its memory."


def _without_comparison(has: Figure | None, lacks: Figure | None) -> str:
    if lacks is None:
        return "There is no memoryless model to compare with, so nobody knows what memory is worth."
    if has is None:
        return "The network has no figure in the main metric."
    return "The main metric is not a number on these events; an AUC needs events of both classes."


def _side(difference: float, better: str) -> int:
    """Return 1 if a difference is for the better, -1 if it is for the worse, 0 if there is none."""
    if not difference:
        return 0
    return 1 if (difference > 0) == (better == "higher") else -1


def memory(head: HeadEvaluation, groups: Sequence[Group]) -> str:
    """Say whether the network gets better as it remembers more.

    Keys with a long memory are other keys, so the fair measure is the lead over the memoryless
    network on the same events.
    """
    known = _known(groups, MEMORY)
    if len(known) < 2:
        return "There is one length of memory with a figure, so nothing can be compared."
    (short, start), (long, end) = known[0], known[-1]
    measure = (head.metric, head.unit)
    side = _side(end.value - start.value, head.better)
    word = {0: "the same", 1: "better", -1: "worse"}[side]
    hedge = ", but the intervals overlap" if side and _overlap(start, end) else ""
    said = (
        f"From {printable(short.name, 40)} to {printable(long.name, 40)} events in memory: "
        f"{format_metric(start.value, *measure)} to {format_metric(end.value, *measure)}, "
        f"{word}{hedge}."
    )
    leads = [_lead(group, head) for group in (short, long)]
    if leads[0] is None or leads[1] is None:
        return said
    return (
        f"{said} The lead over the memoryless network on the same events: "
        f"{format_metric(leads[0], *measure)} to {format_metric(leads[1], *measure)}."
    )


def _lead(group: Group, head: HeadEvaluation) -> float | None:
    """Return by how much memory is better on a group's events."""
    has, lacks = group.figures.get(MEMORY), group.figures.get(MEMORYLESS)
    if has is None or lacks is None or not math.isfinite(has.value - lacks.value):
        return None
    return (has.value - lacks.value) * (1 if head.better == "higher" else -1)


def _known(groups: Sequence[Group], model: str) -> list[tuple[Group, Figure]]:
    """Return groups in which a model has a figure."""
    found = [(group, group.figures.get(model)) for group in groups]
    return [(group, f) for group, f in found if f is not None and math.isfinite(f.value)]


def _overlap(one: Figure, other: Figure) -> bool:
    """Tell whether intervals overlap; where there are none, chance cannot be told apart."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def spread(head: HeadEvaluation, groups: Sequence[Group]) -> str:
    """Say where the network is best and where it is worst."""
    known = _known(groups, MEMORY)
    if len(known) < 2:
        return "There is one group with a figure, so nothing can be compared."
    is_higher, measure = head.better == "higher", (head.metric, head.unit)
    (worst, low), (best, high) = (
        sorted(known, key=lambda pair: pair[1].value, reverse=not is_higher)[place]
        for place in (0, -1)
    )
    if low.value == high.value:
        return f"The network has {format_metric(low.value, *measure)} in every group."
    return (
        f"Best at {printable(best.name, 40)} ({format_metric(high.value, *measure)}), "
        f"worst at {printable(worst.name, 40)} ({format_metric(low.value, *measure)})."
    )


def calibration(head: HeadEvaluation) -> str:
    """Say how far predictions are from what came, on the mean over the events of all bins."""
    said = [
        f"{model} {format_metric(distance, 'mae', head.unit)}"
        for model in MODELS
        if (distance := _distance(head.calibration.get(model, ()))) is not None
    ]
    if not said:
        return "No bin has events."
    unit = f" in {head.unit}" if head.unit not in ("", "s") else ""
    return f"Mean distance from the diagonal{unit}: {', '.join(said)}; 0 is best."


def _distance(bins: Sequence[Bin]) -> float | None:
    known = [b for b in bins if b.events and math.isfinite(b.predicted - b.observed)]
    events = sum(b.events for b in known)
    if not events:
        return None
    return sum(abs(b.predicted - b.observed) * (b.events / events) for b in known)


def health(it: HiddenHealth) -> tuple[Reading, ...]:
    """Return the signs of health of hidden states; the limits are rules of thumb, not tests."""
    nothing = math.nan
    last = it.at[-1] if it.at else None
    high = max((one.norm_high for one in it.at), default=nothing)
    saturated = max((one.saturated for one in it.at), default=nothing)
    silent = it.dead_units / it.units if it.units else nothing
    return (
        _reading(
            "norm at the longest memory",
            last.norm if last else nothing,
            (0.05, 0.8),
            "near 0 nothing is remembered, near 1 the state is full and can hardly change",
        ),
        _reading(
            "norm, 95th percentile, largest",
            high,
            (0.05, 0.95),
            "a few keys with a full state are those whose predictions stop moving",
        ),
        _reading(
            "saturated units, largest share",
            saturated,
            (0, 0.1),
            "a unit above 0.99 passes on hardly any gradient, and forgets slowly",
        ),
        _reading(
            "moved by an event, at the longest memory",
            last.update_norm if last else nothing,
            (0.01, 0.5),
            "near 0 events no longer matter, far above the state is overwritten by each",
        ),
        _reading(
            f"silent units, share of {it.units}",
            silent,
            (0, 0.2),
            "units that hardly move cost time and bytes; a smaller network may do",
        ),
        _reading(
            "drift, in standard deviations",
            it.drift,
            (0, 0.5),
            "above, the states of late events are unlike those the heads were trained on",
        ),
    )


def _reading(name: str, value: float, good: tuple[float, float], why: str) -> Reading:
    low, high = good
    text = f"below {high}" if low == 0 else f"{low} to {high}"
    is_good = low <= value <= high if is_known(value) else None
    return Reading(name, format_number(value) if is_known(value) else DASH, text, is_good, why)
