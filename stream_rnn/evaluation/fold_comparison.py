"""The comparison of the two folds of a roll-out, on the events that both have predicted.

Everything is computed from published predictions: nothing is folded again.  How much the folds
differ needs no truth; how good they are is measured on those events whose target is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.compare import ComparedMetric, compare_metrics, has_same_head
from stream_rnn.evaluation.fold_differences import Differences, find_differences
from stream_rnn.evaluation.joined_outputs import JoinedColumns, NamedClasses, PublishedOutput
from stream_rnn.evaluation.questions import question, unit
from stream_rnn.evaluation.rollout_options import EVERY_BINARY_HEAD, RolloutOptions
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.metrics.scores import TOP, Output, main_metric
from stream_rnn.model.heads import AnyHead, Binary, Multiclass
from stream_rnn.model.network import Model
from stream_rnn.rollout.fold_predictions import JoinedPartition
from stream_rnn.training.targets import Columns

NEED_EVERY_CLASS = frozenset({"log_loss", "mrr"})


@dataclass(frozen=True, slots=True)
class ComparedRange:
    """The compared events of one partition.

    Attributes:
        partition: Number of the source partition.
        first: First source offset that both folds have reached.
        last: Last source offset that both folds have reached; below ``first`` for none.
        joined: Number of events that both predict.
        only_old: Number of events in the range that the old fold alone predicts.
        only_new: Number of events in the range that the new fold alone predicts.
    """

    partition: int
    first: int
    last: int
    joined: int
    only_old: int
    only_new: int


@dataclass(frozen=True, slots=True)
class HeadComparison:
    """One head of both folds.

    Attributes:
        kind: Kind of the head.
        question: Question that the head answers, as a sentence.
        unit: Unit of its values; empty for classes and probabilities.
        metric: Name of the main metric.
        differences: Differences on all joined events.
        scored: Number of events whose target is known.
        metrics: Metrics of both on those events, with the interval of the paired difference, new
            minus old; empty if there are none.
    """

    kind: str
    question: str
    unit: str
    metric: str
    differences: Differences
    scored: int
    metrics: dict[str, ComparedMetric]


@dataclass(frozen=True, slots=True)
class FoldComparison:
    """Two folds of a roll-out on the same events.

    Attributes:
        app: App of the workers.
        source: Source topic.
        old: Id of the old fold.
        new: Id of the new fold.
        old_bundle: Name and fingerprint of its bundle.
        new_bundle: Name and fingerprint of its bundle.
        events: Number of events that both predict.
        keys: Number of their keys.
        first_ms: First event time, in milliseconds since 1970.
        last_ms: Last event time, in milliseconds since 1970.
        ranges: Compared events of each partition.
        duplicates: Number of repeated predictions, which count once.
        unlike: Number of those that differ from the first one.
        other_origins: Number of predictions from an origin that is not the fold's present one.
        invalid: Number of values that are no prediction of the compared heads.
        heads: Heads that both folds have.
        not_compared: Why each other head is not compared.
    """

    app: str
    source: str
    old: str
    new: str
    old_bundle: str
    new_bundle: str
    events: int
    keys: int
    first_ms: int
    last_ms: int
    ranges: tuple[ComparedRange, ...]
    duplicates: int
    unlike: int
    other_origins: int
    invalid: int
    heads: dict[str, HeadComparison]
    not_compared: dict[str, str]

    @property
    def only_old(self) -> int:
        """Number of events that the old fold alone predicts."""
        return sum(one.only_old for one in self.ranges)

    @property
    def only_new(self) -> int:
        """Number of events that the new fold alone predicts."""
        return sum(one.only_new for one in self.ranges)


def common_heads(models: tuple[Model, Model]) -> tuple[list[AnyHead], dict[str, str]]:
    """Return the heads that both models have, and why each other one is not compared.

    Args:
        models: Models of the old and of the new fold.

    Raises:
        ConfigError: They have no head in common.
    """
    old, new = ({head.name: head for head in model.spec.heads} for model in models)
    reasons: dict[str, str] = {}
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            reasons[name] = "only the old bundle has it"
        elif name not in old:
            reasons[name] = "only the new bundle has it"
        elif not has_same_head(old[name], models[1]):
            reasons[name] = "it is another question, or has other classes, in the new bundle"
    heads = [head for name, head in old.items() if name not in reasons]
    if not heads:
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ConfigError(f"the two bundles have no head in common, so nothing is compared: {told}")
    return heads, reasons


def find_thresholds(
    heads: Sequence[AnyHead], thresholds: Mapping[str, float]
) -> dict[str, float | None]:
    """Return the threshold of each head; ``None`` for one without decisions.

    Raises:
        ConfigError: A threshold is for a head that is not compared, or that has classes.
    """
    by_name = {head.name: head for head in heads}
    for name in thresholds:
        if name == EVERY_BINARY_HEAD:
            continue
        if name not in by_name or isinstance(by_name[name], Multiclass):
            fitting = [head.name for head in heads if not isinstance(head, Multiclass)]
            raise ConfigError(
                f"--threshold {name}={thresholds[name]:g}: {name} is no compared head with a "
                f"number or a probability; these are {', '.join(fitting) or 'none'}"
            )
    return {
        head.name: thresholds.get(
            head.name, thresholds.get(EVERY_BINARY_HEAD) if isinstance(head, Binary) else None
        )
        for head in heads
    }


@dataclass(frozen=True, slots=True)
class ComparedFolds:
    """What is compared: app, source, fold ids and models of old and new, and their common heads."""

    app: str
    source: str
    fold_ids: tuple[str, str]
    models: tuple[Model, Model]
    heads: Sequence[AnyHead]
    not_compared: dict[str, str]


def compare_folds(
    folds: ComparedFolds,
    joined: Sequence[JoinedPartition],
    targets: Columns,
    options: RolloutOptions,
) -> FoldComparison:
    """Compare the joined predictions of two folds.

    Args:
        folds: What is compared.
        joined: Joined partitions, with at least one joined event.
        targets: Head -> targets (N,) of the joined events, in the order of ``joined``; NaN where
            there is none.
        options: Thresholds, and options of the bootstrap.

    Raises:
        ConfigError: A threshold is for a head that is not compared.
    """
    thresholds = find_thresholds(folds.heads, options.threshold)
    columns = JoinedColumns.of(folds.heads, joined)
    old, new = folds.models
    return FoldComparison(
        app=folds.app,
        source=folds.source,
        old=folds.fold_ids[0],
        new=folds.fold_ids[1],
        old_bundle=f"{old.spec.name} {old.fingerprint[:16]}",
        new_bundle=f"{new.spec.name} {new.fingerprint[:16]}",
        events=len(columns.offset),
        keys=len(columns.keys),
        first_ms=int(columns.time_ms.min()),
        last_ms=int(columns.time_ms.max()),
        ranges=tuple(map(_range_of, joined)),
        duplicates=sum(one.duplicates for one in joined),
        unlike=sum(one.unlike for one in joined),
        other_origins=sum(one.other_origins for one in joined),
        invalid=sum(one.invalid for one in joined),
        heads={
            head.name: _compare_head(
                head, columns, targets[head.name], thresholds[head.name], options
            )
            for head in folds.heads
        },
        not_compared=folds.not_compared,
    )


def _range_of(one: JoinedPartition) -> ComparedRange:
    return ComparedRange(
        partition=one.partition,
        first=one.first,
        last=one.last,
        joined=len(one.joined),
        only_old=len(one.old.keys() - one.new.keys()),
        only_new=len(one.new.keys() - one.old.keys()),
    )


def _compare_head(
    head: AnyHead,
    columns: JoinedColumns,
    target: NDArray[np.float64],
    threshold: float | None,
    options: RolloutOptions,
) -> HeadComparison:
    known = np.isfinite(target)
    metrics: dict[str, ComparedMetric] = {}
    if known.any():
        scoring = ScoringOptions(seed=options.seed, bootstrap_samples=options.bootstrap_samples)
        published = columns.old[head.name][known], columns.new[head.name][known]
        outputs = _scored(published[0], target[known]), _scored(published[1], target[known])
        found = compare_metrics(head, outputs, target[known], columns.key[known], scoring)
        unknown = _unknown_metrics(published)
        metrics = {name: row for name, row in found.items() if name not in unknown}
    return HeadComparison(
        kind=head.kind,
        question=question(head),
        unit=unit(head),
        metric=main_metric(head),
        differences=find_differences(head, columns, threshold),
        scored=int(known.sum()),
        metrics=metrics,
    )


def _scored(output: PublishedOutput, target: NDArray[np.float64]) -> Output:
    return output.ranked(target) if isinstance(output, NamedClasses) else output


def _unknown_metrics(outputs: tuple[PublishedOutput, PublishedOutput]) -> frozenset[str]:
    """Return the metrics that need more classes than the predictions name."""
    named = [output for output in outputs if isinstance(output, NamedClasses)]
    unknown: frozenset[str] = frozenset()
    if any(output.named_min < output.classes for output in named):
        unknown |= NEED_EVERY_CLASS
    if any(output.named_min < min(TOP, output.classes) for output in named):
        unknown |= {f"top_{TOP}"}
    return unknown
