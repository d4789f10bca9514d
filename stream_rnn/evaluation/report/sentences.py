"""Sentences that state what the figures of an evaluation show, and no more."""

import math
from collections.abc import Sequence

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
    NAIVE,
    Bin,
    Group,
    HeadEvaluation,
    SurpriseSummary,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.text import format_number, printable

HELPS, NOTHING, HURTS, UNKNOWN = "memory helps", "no difference shown", "memory hurts", "not known"
BEATEN = "naive is better"
EVENTS_MIN = 50  # of a group of events, on which a sentence is built
NEGLIGIBLE = 1e-3  # share of the metric without memory, up to which an interval shows nothing
NO_LABEL = "No scored event has a label."


def worth(head: HeadEvaluation) -> tuple[str, str]:
    """Return what the memory is worth for a head, as a verdict and as a sentence."""
    if not head.events:
        return UNKNOWN, NO_LABEL
    verdict, sentence = _worth_of_head(head)
    if head.naive_factor is not None:
        return BEATEN, f"The naive rule {head.naive} is better than every network here. {sentence}"
    return verdict, sentence


def _worth_of_head(head: HeadEvaluation) -> tuple[str, str]:
    memory, memoryless = (
        head.models.get(model, {}).get(head.metric) for model in (MEMORY, MEMORYLESS)
    )
    verdict, sentence = worth_of(
        head.metric, head.unit, head.better, memory, memoryless, head.worth
    )
    if verdict != UNKNOWN and head.events < EVENTS_MIN:
        return UNKNOWN, (
            f"{sentence} There are only {head.events} events, fewer than {EVENTS_MIN}, so the worth "
            "of the memory is not known."
        )
    return verdict, sentence


def worth_of(
    metric: str,
    unit: str,
    better: str,
    memory: Figure | None,
    memoryless: Figure | None,
    difference: Figure | None = None,
) -> tuple[str, str]:
    """Return what a memory is worth, as a verdict and as a sentence.

    Without an interval the verdict is ``UNKNOWN``: one difference does not show more than chance.

    Args:
        metric: Name of the metric.
        unit: Unit of the target; empty for none.
        better: ``higher`` or ``lower``, whichever values of the metric are better.
        memory: Metric of the network with memory.
        memoryless: Metric of the memoryless baseline.
        difference: ``memory`` minus ``memoryless``, with its interval if it has one.

    Example:
        >>> worth_of("auc", "", "higher", Figure(0.768), Figure(0.729), Figure(0.039, 0.03, 0.05))[1]
        'The AUC is 0.768 with memory and 0.729 without: a difference of +0.039, with 95 % \
confidence 0.030 to 0.050; higher is better.'
    """
    if memory is None or memoryless is None or not math.isfinite(memory.value - memoryless.value):
        return UNKNOWN, _explain_unknown_worth(memory, memoryless)
    gap = difference
    if gap is None or not math.isfinite(gap.value):
        gap = Figure(memory.value - memoryless.value)
    measure = (metric, unit)
    text = (
        f"The {metric_name(*measure)} is {format_metric(memory.value, *measure)} with memory and "
        f"{format_metric(memoryless.value, *measure)} without: a difference of "
        f"{format_difference(gap.value, *measure)}"
    )
    low, high, rule = gap.low, gap.high, f"{better} is better."
    if low is None or high is None or math.isnan(low + high):
        return UNKNOWN, (
            f"{text}; {rule} There is no interval, so the worth of the memory is not known: "
            "the difference may be chance."
        )
    text = f"{text}, with 95 % confidence {interval(gap, *measure)}; {rule}"
    if low <= 0 <= high:
        return NOTHING, f"{text} The interval contains 0, so the memory may be worth nothing here."
    if max(abs(low), abs(high)) <= NEGLIGIBLE * abs(memoryless.value):
        return NOTHING, f"{text} So small a difference is worth nothing."
    if _direction(low, better) > 0:
        return HELPS, text
    return HURTS, f"{text} The network is better without its memory."


def naive_warning(head: HeadEvaluation) -> str:
    """Return that a naive rule is clearly better than every network; empty if none is."""
    if head.naive_factor is None:
        return ""
    figures = [head.models.get(model, {}).get(head.metric) for model in (NAIVE, MEMORY, MEMORYLESS)]
    values = [figure.value for figure in figures if figure is not None]
    measure = head.metric, head.unit
    return f"head {head.name}: {naive_is_better(head.naive, *measure, values, head.naive_factor)}"


def naive_is_better(
    rule: str, metric: str, unit: str, values: Sequence[float], factor: float
) -> str:
    """Return a sentence on a naive rule that is clearly better than both networks.

    Args:
        rule: Name of the rule.
        metric: Name of the main metric.
        unit: Unit of the target; empty for none.
        values: Metric of the rule, of the network with memory and of the memoryless baseline, which
            may be missing.
        factor: How many times larger the error of the better network is than that of the rule.

    Example:
        >>> naive_is_better("last", "rmse", "", (5.05, 30.9, 17.14), 3.39)
        'the naive rule last is better than every network here: the root mean square error is 5.05, \
but 30.90 with memory and 17.14 without. The error of the better network is 3.4 times as large. \
Do without a network, or check the scaling of the features and of the target.'
    """
    naive, *networks = (format_metric(value, metric, unit) for value in values)
    names = ("with memory", "without")
    shown = " and ".join(f"{v} {name}" for v, name in zip(networks, names, strict=False))
    times = f"{factor:.1f}" if factor < 100 else "more than 100"
    return (
        f"the naive rule {rule} is better than every network here: the "
        f"{metric_name(metric, unit)} is {naive}, but {shown}. The error of the better network is "
        f"{times} times as large. Do without a network, or check the scaling of the features and "
        "of the target."
    )


def _explain_unknown_worth(memory: Figure | None, memoryless: Figure | None) -> str:
    if memoryless is None:
        return "There is no memoryless baseline, so the worth of the memory is not known."
    if memory is None:
        return "The main metric of the network is missing."
    return "The main metric is not defined on these events; an AUC needs events of both classes."


def _direction(difference: float, better: str) -> int:
    """Return 1 for an improvement, -1 for a deterioration, 0 for no difference."""
    if not difference:
        return 0
    return 1 if (difference > 0) == (better == "higher") else -1


def memory(head: HeadEvaluation, groups: Sequence[Group]) -> str:
    """Return a sentence on whether the network predicts better with longer memories.

    Long and short memories belong to different keys, so the fair measure is the lead over the
    memoryless baseline on the same events.
    """
    known = _known(groups, MEMORY)
    if len(known) < 2:
        return _nothing_to_compare("length of memory", groups)
    (short, start), (long, end) = known[0], known[-1]
    measure = (head.metric, head.unit)
    direction = _direction(end.value - start.value, head.better)
    trend = {0: "the same", 1: "better", -1: "worse"}[direction]
    hedge = _hedge(start, end) if direction else ""
    sentence = (
        f"From {printable(short.name, 40)} to {printable(long.name, 40)} events in memory: "
        f"{format_metric(start.value, *measure)} to {format_metric(end.value, *measure)}, "
        f"{trend}{hedge} ({_least_events((known[0], known[-1]))})."
    )
    leads = [_lead(group, head) for group in (short, long)]
    if leads[0] is None or leads[1] is None:
        return sentence
    return (
        f"{sentence} The lead over the memoryless baseline on the same events: "
        f"{format_metric(leads[0], *measure)} to {format_metric(leads[1], *measure)}."
    )


def _lead(group: Group, head: HeadEvaluation) -> float | None:
    """Return how much better the network is than its memoryless baseline on a group of events."""
    memory, memoryless = group.figures.get(MEMORY), group.figures.get(MEMORYLESS)
    if memory is None or memoryless is None or not math.isfinite(memory.value - memoryless.value):
        return None
    return (memory.value - memoryless.value) * (1 if head.better == "higher" else -1)


def _nothing_to_compare(what: str, groups: Sequence[Group]) -> str:
    known = len(_known(groups, MEMORY))
    count = "Only one" if known else "No"
    if len(_known(groups, MEMORY, events_min=1)) > known:
        return (
            f"{count} {what} has a figure of {EVENTS_MIN} or more events: there are too few events "
            "to compare."
        )
    return f"{count} {what} has a figure, so there is nothing to compare."


def _known(
    groups: Sequence[Group], model: str, events_min: int = EVENTS_MIN
) -> list[tuple[Group, Figure]]:
    """Return the groups of enough events in which a model has a finite figure, with that figure."""
    figures = [(group, group.figures.get(model)) for group in groups if group.events >= events_min]
    return [(group, f) for group, f in figures if f is not None and math.isfinite(f.value)]


def _least_events(known: Sequence[tuple[Group, Figure]]) -> str:
    """Return the number of events on which each of the compared figures is built at least."""
    return f"each of {min(group.events for group, _ in known):,} events or more"


def _hedge(first: Figure, second: Figure) -> str:
    """Return why the difference of two figures may be chance; an empty text if it is not."""
    ends = [v for v in (first.low, first.high, second.low, second.high) if v is not None]
    if len(ends) < 4 or any(map(math.isnan, ends)):
        return ", but there are no intervals, so the difference may be chance"
    is_overlap = ends[0] <= ends[3] and ends[2] <= ends[1]
    return ", but the intervals overlap" if is_overlap else ""


def spread(head: HeadEvaluation, groups: Sequence[Group]) -> str:
    """Return a sentence on the groups in which the network is best and worst."""
    known = _known(groups, MEMORY)
    if len(known) < 2:
        return _nothing_to_compare("group", groups)
    is_higher, measure = head.better == "higher", (head.metric, head.unit)
    (worst, low), (best, high) = (
        sorted(known, key=lambda pair: pair[1].value, reverse=not is_higher)[place]
        for place in (0, -1)
    )
    if low.value == high.value:
        return f"The network has {format_metric(low.value, *measure)} in every group."
    return (
        f"Best at {printable(best.name, 40)} ({format_metric(high.value, *measure)}), "
        f"worst at {printable(worst.name, 40)} ({format_metric(low.value, *measure)}), "
        f"{_least_events(known)}."
    )


def calibration(head: HeadEvaluation) -> str:
    """Return a sentence on the mean distance between predictions and targets in the bins."""
    distances = [
        f"{model} {format_metric(distance, 'mae', head.unit)}"
        for model in MODELS
        if (distance := _distance(head.calibration.get(model, ()))) is not None
    ]
    if not distances:
        return "No bin has events."
    unit = f" in {head.unit}" if head.unit not in ("", "s") else ""
    return f"Mean distance from the diagonal{unit}: {', '.join(distances)}; 0 is best."


def _distance(bins: Sequence[Bin]) -> float | None:
    known = [b for b in bins if b.events and math.isfinite(b.predicted - b.observed)]
    events = sum(b.events for b in known)
    if not events:
        return None
    return sum(abs(b.predicted - b.observed) * (b.events / events) for b in known)


def surprise(summary: SurpriseSummary) -> str:
    """Describe the distribution of the surprise of a head."""
    if not summary.events:
        return "No scored event has a surprise: it needs an earlier event of the key, and a target."
    names = {"p50": "median", "p99_9": "99.9th percentile", "largest": "largest"}
    texts = (
        f"{names.get(name, f'{name[1:]}th percentile')} {format_number(value)}"
        for name, value in summary.quantiles.items()
    )
    return (
        f"Surprise of {summary.events:,} events, in {summary.unit}: "
        f"mean {format_number(summary.mean)}, {', '.join(texts)}."
    )
