"""The evidence for the worth of a memory: both networks, paired on events that neither has learned.

The events are those of the test part, or of the validation part if there is none.  The interval is
that of ``evaluate`` with the same split (``metrics/bootstrap.py``); with several seeds, it is that
of their mean difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.metrics.bootstrap import draw_keys, number_keys, resampled_metrics, with_interval
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.scores import Output, main_metric, score
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead
from stream_rnn.options import BOOTSTRAP_SAMPLES, BOOTSTRAP_SEED
from stream_rnn.training.splits import PART_NAMES
from stream_rnn.training.targets import Runs
from stream_rnn.training.validation import EncodedExamples, LabelledOutputs, Metrics

Draws = NDArray[np.float64]  # (S,) differences in each bootstrap sample; empty without samples


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The outputs (M,) of a network for events (M,) that are not trained on, and their targets."""

    events: NDArray[np.int64]
    output: Output
    target: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric with memory minus that without, and the same in each bootstrap sample."""

    value: float
    draws: Draws


def held_out_part(metrics: Metrics) -> str:
    """Return the name of the part that is not trained on: test, or validation if that is empty."""
    return "test" if "test" in metrics else "validation"


def take_held_out(
    spec: FeatureSpec, data: EncodedExamples, found: LabelledOutputs, metrics: Metrics
) -> dict[str, HeldOut]:
    """Return the outputs of each head in the part that is not trained on."""
    part = PART_NAMES.index(held_out_part(metrics))
    return {head.name: HeldOut(*found.of_part(head.name, data, part)) for head in spec.heads}


def number_runs(runs: Runs) -> NDArray[np.int64]:
    """Return the number of the run (N,) of each event."""
    number = np.empty(len(runs.order), np.int64)
    number[runs.order] = np.repeat(np.arange(len(runs.length)), runs.length)
    return number


def compare_held_out(
    spec: FeatureSpec,
    memory: Mapping[str, HeldOut],
    memoryless: Mapping[str, HeldOut],
    key: NDArray[np.int64],
) -> dict[str, Difference]:
    """Compare the main metric of each head that has a label; ``key`` (N,) is that of all events."""
    return {
        head.name: _compare(head, memory[head.name], memoryless[head.name], key)
        for head in spec.heads
        if len(memory[head.name].events)
    }


def _compare(
    head: AnyHead, memory: HeldOut, memoryless: HeldOut, key: NDArray[np.int64]
) -> Difference:
    assert np.array_equal(memory.events, memoryless.events), "both networks have the same labels"
    metric, target, number = main_metric(head), memory.target, number_keys(key[memory.events])
    values = [score(head, of.output, target)[metric] for of in (memory, memoryless)]
    draws = draw_keys(int(number.max()) + 1, BOOTSTRAP_SEED, BOOTSTRAP_SAMPLES)
    if draws is None:
        return Difference(values[0] - values[1], np.zeros(0))
    with_memory, without = (
        resampled_metrics(head, of.output, target, number, draws)[metric]
        for of in (memory, memoryless)
    )
    return Difference(values[0] - values[1], with_memory - without)


def mean_worth(seeds: Sequence[Mapping[str, Difference]]) -> dict[str, Figure]:
    """Return the mean of the differences of all seeds for each head, with its interval."""
    worth = {}
    for name in seeds[0]:
        values = [seed[name].value for seed in seeds]
        draws = np.mean([seed[name].draws for seed in seeds], axis=0)
        worth[name] = with_interval(float(np.mean(values)), draws if len(draws) else None)
    return worth
