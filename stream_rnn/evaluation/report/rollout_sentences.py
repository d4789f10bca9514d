"""Sentences that state what the comparison of two folds shows, and no more."""

import math

from stream_rnn.evaluation.compare import ComparedMetric
from stream_rnn.evaluation.fold_comparison import FoldComparison, HeadComparison
from stream_rnn.evaluation.report.figures import (
    format_difference,
    format_metric,
    interval,
    metric_name,
)
from stream_rnn.evaluation.report.sentences import EVENTS_MIN, NEGLIGIBLE, NOTHING, UNKNOWN
from stream_rnn.metrics.scores import better, merit
from stream_rnn.text import format_number

NEW_IS_BETTER, OLD_IS_BETTER = "new is better", "old is better"
NO_TARGET = "No target is known yet, so neither fold can be scored."


def format_gap(value: float | None, head: HeadComparison) -> str:
    """Return a difference of two outputs of a head as text, in the unit of its values."""
    return format_metric(value, "absolute_error", head.unit)


def differences(head: HeadComparison) -> str:
    """Return how much the folds differ."""
    it = head.differences
    if not it.largest:
        return "The folds predict the same for every event."
    if it.agreement is not None:
        return (
            f"The likeliest class is the same for {_percent(it.agreement)} of the events. The "
            f"probabilities differ by {format_number(it.mean)} on average, and by at most "
            f"{format_number(it.largest)}."
        )
    what = "probabilities" if head.kind == "binary" else "predictions"
    text = (
        f"The {what} differ by {format_gap(it.mean, head)} on average, and by at most "
        f"{format_gap(it.largest, head)}."
    )
    if it.mean_shift:
        side = "higher" if it.mean_shift > 0 else "lower"
        text += f" Those of new are {format_gap(abs(it.mean_shift), head)} {side} on average."
    if it.correlation is not None and math.isfinite(it.correlation):
        text += f" Their correlation is {format_number(it.correlation)}."
    return text


def flips(head: HeadComparison, events: int) -> str:
    """Return how many decisions flip; empty for a head without decisions."""
    it = head.differences.flips
    if it is None:
        return ""
    threshold = format_metric(it.threshold, "absolute_error", head.unit)
    count = it.to_yes + it.to_no
    if not count:
        return f"At the threshold {threshold}, no decision differs; {it.old_yes:,} are yes."
    return (
        f"At the threshold {threshold}, {count:,} of {events:,} decisions differ "
        f"({_percent(count / events)}): {it.to_yes:,} from no to yes, {it.to_no:,} from yes to no. "
        f"Old says yes {it.old_yes:,} times, new {it.new_yes:,} times."
    )


def quality(head: HeadComparison) -> tuple[str, str]:
    """Return which fold is better where the target is known, as a verdict and as a sentence."""
    row = head.metrics.get(head.metric)
    if row is None:
        return UNKNOWN, NO_TARGET
    if not math.isfinite(row.first - row.second):
        return UNKNOWN, (
            f"On the {head.scored:,} events whose target is known, the {metric_name(head.metric)} "
            "is not defined, for example because all targets are equal."
        )
    measure = head.metric, head.unit
    gap, rule = row.difference, f"{better(head.metric)} is better."
    text = (
        f"On the {head.scored:,} events whose target is known, the {metric_name(*measure)} is "
        f"{format_metric(row.first, *measure)} with old and {format_metric(row.second, *measure)} "
        f"with new: a difference of {format_difference(gap.value, *measure)}"
    )
    ends = interval(gap, *measure)
    if not ends:
        return UNKNOWN, (
            f"{text}; {rule} There is no interval, because there are too few keys or no bootstrap "
            "samples: the difference may be chance."
        )
    text = f"{text}, with 95 % confidence {ends}; {rule}"
    if head.scored < EVENTS_MIN:
        return UNKNOWN, f"{text} There are fewer than {EVENTS_MIN} events."
    verdict, why = _verdict(head.metric, row)
    return verdict, text + why


def _verdict(metric: str, row: ComparedMetric) -> tuple[str, str]:
    low, high = row.difference.low, row.difference.high
    assert low is not None
    assert high is not None
    if low <= 0 <= high:
        return NOTHING, " The interval contains 0, so neither is shown to be better."
    if max(abs(low), abs(high)) <= NEGLIGIBLE * abs(row.first):
        return NOTHING, " So small a difference is worth nothing."
    is_better = merit(metric, row.second) > merit(metric, row.first)
    return (NEW_IS_BETTER if is_better else OLD_IS_BETTER), ""


def join_notes(it: FoldComparison) -> list[str]:
    """Return what to know about the join, as sentences; empty if there is nothing."""
    notes = []
    for count, side, other in ((it.only_old, "old", "new"), (it.only_new, "new", "old")):
        if count:
            notes.append(
                f"{count:,} events in the range have a prediction of {side} alone: {other} skips "
                "them, or was a candidate that published nothing, because it had not caught up or "
                "could not write to the shadow topic. They are not compared. Dead letters say why a "
                "fold in charge skips an event, and stream-rnn replay with the bundle of "
                f"{other} counts the reasons of all that {other} skips."
            )
    if it.unlike:
        notes.append(
            f"{it.unlike:,} repeated predictions differ from the first one of the same offset, fold "
            "and origin, which workers with equal numerics never publish: run stream-rnn audit."
        )
    if it.other_origins:
        notes.append(
            f"{it.other_origins:,} predictions are from another origin than the fold has now, with "
            "other memories: it has begun again since. They are not compared."
        )
    if it.invalid:
        notes.append(
            f"{it.invalid:,} values are no predictions of the compared heads; another program may "
            "write to the topics."
        )
    notes += [f"Head {name} is not compared: {why}." for name, why in it.not_compared.items()]
    return notes


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
