"""What to make of the metrics of a training run, if they show no use of the memory.

Only held-out metrics count: those of the test part, or of the validation part if there is none.
"""

from dataclasses import dataclass

import numpy as np

from stream_rnn.evaluation.questions import unit
from stream_rnn.evaluation.report.figures import format_difference, interval, metric_name
from stream_rnn.evaluation.report.sentences import HELPS, UNKNOWN, naive_is_better, worth_of
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.naive_lead import error_of, naive_factor
from stream_rnn.metrics.scores import better, main_metric
from stream_rnn.model.heads import AnyHead
from stream_rnn.model.package_cells.spec import PackageCell
from stream_rnn.training.data_checks import is_constant
from stream_rnn.training.evidence import held_out_part
from stream_rnn.training.examples import targets
from stream_rnn.training.run import TrainingRun, TrainingScores
from stream_rnn.training.splits import PART_NAMES
from stream_rnn.training.validation import Metrics

MEMORY_GAIN_MIN = 0.01  # share of the baseline's errors that a memory of any use avoids
EVENTS_BEFORE_MIN = 2.0  # mean number of earlier events of its key that an event has
EPOCHS_LONG = 100
LOSS_ROUNDING = 1e-3  # share of the baseline's validation loss above which a loss is higher
OVERFIT_FACTOR = 1.5  # how many times larger held-out errors are than those in training


@dataclass(frozen=True, slots=True)
class _Errors:
    """Errors of one head, of which 0 is the best: on the held-out part, and in training."""

    memory: float
    memoryless: float
    naive: float
    memory_in_training: float
    memoryless_in_training: float


def advise(plan: TrainingRun, scores: TrainingScores) -> list[str]:
    """Return sentences on heads whose network is worse than a simpler one; naive rules come first.

    Args:
        plan: Plan of the training run.
        scores: Metrics of the run.
    """
    part = held_out_part(scores.memory)
    naive, memory = [], []
    for head in plan.spec.heads:
        errors = _errors_of(head, scores, part)
        is_known = np.isfinite((errors.memory, errors.memoryless, errors.naive)).all()
        if not is_known or not max(errors.memory, errors.memoryless):
            continue  # without a label; or without an error
        if is_constant(head, plan.examples):
            continue  # which the checks of the data say before training
        if (text := _beaten(plan, scores, head, part)) is not None:
            naive.append(text)
        elif not _helps(head, scores, part, errors):
            evidence = _evidence(head, scores, part)
            why = _why_no_memory(plan, part, errors)
            memory.append(f"head {head.name}: {evidence}; {why}")
    return naive + memory + _higher_loss(plan, scores)


def _errors_of(head: AnyHead, scores: TrainingScores, part: str) -> _Errors:
    metric = main_metric(head)

    def error(metrics: Metrics, of_part: str) -> float:
        value = metrics.get(of_part, {}).get(head.name, {}).get(metric, np.nan)
        return error_of(metric, value)

    return _Errors(
        memory=error(scores.memory, part),
        memoryless=error(scores.memoryless, part),
        naive=error(scores.naive, part),
        memory_in_training=error(scores.memory, "training"),
        memoryless_in_training=error(scores.memoryless, "training"),
    )


def _beaten(plan: TrainingRun, scores: TrainingScores, head: AnyHead, part: str) -> str | None:
    """Return that a naive rule is better than both networks; ``None`` if it is not."""
    metric = main_metric(head)
    values = [
        of_model[part][head.name][metric]
        for of_model in (scores.naive, scores.memory, scores.memoryless)
    ]
    target = targets(head, plan.examples)
    chosen = (plan.examples.part == PART_NAMES.index(part)) & np.isfinite(target)
    factor = naive_factor(head, values[0], values[1:], target[chosen])
    if factor is None:
        return None
    rule, measure = scores.rules[head.name], (metric, unit(head))
    return f"head {head.name} ({part} part): {naive_is_better(rule, *measure, values, factor)}"


def _helps(head: AnyHead, scores: TrainingScores, part: str, errors: _Errors) -> bool:
    """Return whether the memory helps: beyond chance if that is known, else not by a trifle."""
    metric = main_metric(head)
    memory, memoryless = (
        Figure(of[part][head.name][metric]) for of in (scores.memory, scores.memoryless)
    )
    gain = scores.worth.get(head.name)
    verdict, _ = worth_of(metric, unit(head), better(metric), memory, memoryless, gain)
    if verdict == UNKNOWN:
        return errors.memory <= (1 - MEMORY_GAIN_MIN) * errors.memoryless
    return verdict == HELPS


def _evidence(head: AnyHead, scores: TrainingScores, part: str) -> str:
    """Return that the memory does not help, or without an interval, that it shows no clear gain."""
    gain, measure = scores.worth.get(head.name), (main_metric(head), unit(head))
    name = f"{metric_name(*measure)} with memory minus without"
    if gain is not None and (ends := interval(gain, *measure)):
        difference = format_difference(gain.value, *measure)
        return (
            f"the memory does not help on the {part} part ({name}: {difference}, with 95 % "
            f"confidence {ends})"
        )
    memory, memoryless = (
        of[part][head.name][measure[0]] for of in (scores.memory, scores.memoryless)
    )
    return (
        f"the memory shows no clear gain on the {part} part ({name}: "
        f"{format_difference(memory - memoryless, *measure)}, without an interval, so it may be "
        "chance)"
    )


def _why_no_memory(plan: TrainingRun, part: str, errors: _Errors) -> str:
    """Return the probable cause, and the option to try."""
    runs, number = plan.examples.runs, PART_NAMES.index(part)
    at = np.arange(len(runs.order)) - np.repeat(runs.first, runs.length)
    before = float(at[plan.examples.part[runs.order] == number].mean())
    if before < EVENTS_BEFORE_MIN:
        return (
            f"an event has {before:.1f} earlier events of its key on average, so there is little "
            "to remember: choose a key with more events"
        )
    if errors.memory > OVERFIT_FACTOR * errors.memory_in_training and (
        errors.memory_in_training < errors.memoryless_in_training
    ):
        return (
            "the network has learned the training part by heart: try a smaller --hidden, or "
            "--dropout 0.2 and --noise 0.2"
        )
    if min(errors.memory, errors.memoryless) > (1 - MEMORY_GAIN_MIN) * errors.naive:
        cause = (
            "neither network is better than the naive rule: probably neither an event nor its past "
            "says anything about the target"
        )
        return cause if plan.settings.epochs >= EPOCHS_LONG else f"{cause}, or {_TOO_SHORT}"
    if plan.settings.epochs < EPOCHS_LONG:
        return f"either the target does not depend on earlier events, or {_TOO_SHORT}"
    return "probably the target does not depend on earlier events"


_TOO_SHORT = f"training was too short to learn it: try --epochs {EPOCHS_LONG}"


def _higher_loss(plan: TrainingRun, scores: TrainingScores) -> list[str]:
    """Return that the network of the bundle has a higher validation loss than its baseline."""
    losses = [seed["validation_losses"] for seed in scores.seeds]
    if not losses:
        return []
    memory, memoryless = min(losses, key=lambda pair: pair[0])
    if not memory > (1 + LOSS_ROUNDING) * memoryless:
        return []
    text = (
        f"the network has a higher validation loss than its memoryless baseline ({memory:.4f} "
        f"instead of {memoryless:.4f}), so it is worse than without memory: "
    )
    lower = "try a lower --learning-rate"
    if isinstance(plan.cell, PackageCell):
        other = f"the cell {plan.cell.kind} has random initial weights only, so {lower}"
        return [f"{text}{other}, or --cell gru"]
    if plan.settings.initial_weights == "random":
        return [f"{text}leave out --initial-weights random, or {lower}"]
    text += lower
    return [text]
