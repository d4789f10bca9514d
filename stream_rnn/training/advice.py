"""What to make of the metrics of a training run, if they show no use of the memory.

Only held-out metrics count: those of the test part, or of the validation part if there is none.
"""

import numpy as np

from stream_rnn.metrics.scores import better, main_metric
from stream_rnn.model.heads import AnyHead
from stream_rnn.training.run import TrainingRun, TrainingScores
from stream_rnn.training.validation import Metrics

MEMORY_GAIN_MIN = 0.01  # share of the baseline's errors that a memory of any use avoids
NAIVE_GAIN_MIN = 0.2  # share of the networks' errors that a better naive rule avoids
EVENTS_BEFORE_MIN = 2.0  # mean number of earlier events of its key that an event has
EPOCHS_LONG = 100


def advise(plan: TrainingRun, scores: TrainingScores) -> list[str]:
    """Return sentences on heads whose network is worse than a simpler one; naive rules come first.

    Args:
        plan: Plan of the training run.
        scores: Metrics of the run.
    """
    part = "test" if "test" in scores.memory else "validation"
    naive, memory = [], []
    for head in plan.spec.heads:
        metric = main_metric(head)
        errors = [
            _error(of_model, part, head, metric)
            for of_model in (scores.memory, scores.memoryless, scores.naive)
        ]
        if not np.isfinite(errors).all():
            continue
        if errors[2] < (1 - NAIVE_GAIN_MIN) * min(errors[:2]):
            naive.append(
                f"head {head.name}: the naive rule {scores.rules[head.name]} is better than both "
                f"networks on the {part} part; check the scaling of the features and of the "
                "target, or do without a network"
            )
        elif errors[0] > (1 - MEMORY_GAIN_MIN) * errors[1]:
            memory.append(
                f"head {head.name}: the memory does not help on the {part} part; "
                f"{_why_no_memory(plan, part)}"
            )
    return naive + memory


def _error(metrics: Metrics, part: str, head: AnyHead, metric: str) -> float:
    """Return a metric of a head as an error, of which 0 is the best; NaN for none."""
    value = metrics.get(part, {}).get(head.name, {}).get(metric, np.nan)
    return value if better(metric) == "lower" else 1 - value


def _why_no_memory(plan: TrainingRun, part: str) -> str:
    """Return the probable cause, and the option to try."""
    runs, number = plan.examples.runs, 2 if part == "test" else 1
    at = np.arange(len(runs.order)) - np.repeat(runs.first, runs.length)
    before = float(at[plan.examples.part[runs.order] == number].mean())
    if before < EVENTS_BEFORE_MIN:
        return (
            f"an event has {before:.1f} earlier events of its key on average, so there is little "
            "to remember: choose a key with more events"
        )
    if plan.settings.epochs < EPOCHS_LONG:
        return (
            "either the target does not depend on earlier events, or training was too short to "
            f"learn it: try --epochs {EPOCHS_LONG}"
        )
    return "probably the target does not depend on earlier events"
