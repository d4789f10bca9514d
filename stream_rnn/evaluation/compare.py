"""Comparison of two bundles on the same log, paired event by event."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.predictions_with_targets import (
    PredictionsWithTargets,
    predict_with_targets,
)
from stream_rnn.evaluation.scoring import check_scored, choose_scored
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.evaluation.worst_predictions import describe_prediction
from stream_rnn.keys import describe_key
from stream_rnn.metrics.bootstrap import (
    draw_keys,
    number_keys,
    resampled_metrics,
    with_interval,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output, score
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.heads import AnyHead
from stream_rnn.model.network import Model
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels
from stream_rnn.training.splits import column_of

EXAMPLES_MAX = 10


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One metric of both bundles, and the value of the second minus that of the first."""

    first: float
    second: float
    difference: Figure


@dataclass(frozen=True, slots=True)
class DifferenceExample:
    """One of the events for which the two predictions differ most.

    For a multi-class head, the difference is that of the probabilities of the class that occurred.
    """

    key: str
    partition: int
    offset: int
    first: str
    second: str
    actual: str


@dataclass(frozen=True, slots=True)
class ComparedHead:
    """One head that both bundles have."""

    events: int
    metrics: dict[str, ComparedMetric]
    differ: tuple[DifferenceExample, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two bundles on a log.

    Attributes:
        first: Directory and fingerprint of the first bundle.
        second: Directory and fingerprint of the second bundle.
        log: Name of the log.
        events: Number of events that both predict, and that are scored.
        first_skipped: Number of records that the first bundle skips, by reason; ``filtered`` counts
            those that are filtered.
        second_skipped: The same of the second bundle.
        heads: Heads that both have.
    """

    first: str
    second: str
    log: str
    events: int
    first_skipped: dict[str, int]
    second_skipped: dict[str, int]
    heads: dict[str, ComparedHead]


def compare(
    log: Log,
    bundles: tuple[Path, Path],
    settings: Settings,
    scoring: ScoringOptions,
    labels: Labels | None = None,
    on_progress: Callable[[str, int], None] = lambda _model, _records: None,
) -> Comparison:
    """Fold a log with two bundles, and compare the metrics of the heads that both have.

    Args:
        log: Log to fold; not yet opened.
        bundles: Directories of the two bundles.
        settings: Settings of the fold.
        scoring: Choice of the scored predictions, and options of the bootstrap.
        labels: Labels of the heads with ``of = "label"``.
        on_progress: Called with ``A`` or ``B`` and the number of records read since the last call.

    Raises:
        ConfigError: The bundles have no head in common, predict no event in common, or no common
            prediction is scored.
    """
    models = load_bundle(bundles[0]), load_bundle(bundles[1])
    heads = _common_heads(models, bundles)
    column = column_of(scoring.split) if scoring.split else None

    async def fold() -> list[PredictionsWithTargets]:
        async with log:
            return [
                await predict_with_targets(
                    log,
                    model,
                    settings,
                    labels,
                    column,
                    on_progress=lambda records, name=name: on_progress(name, records),  # type: ignore[misc]  # mypy has no type for a default of a lambda
                )
                for model, name in zip(models, "AB", strict=True)
            ]

    first, second = run_coroutine(fold())
    in_first, in_second = _common_events(first, second)
    chosen = choose_scored(first, scoring)[in_first]
    check_scored(chosen, [first.targets[head.name][in_first] for head in heads])
    in_first, in_second = in_first[chosen], in_second[chosen]
    compared = {
        head.name: _compare_head(head, first, second, in_first, in_second, scoring)
        for head in heads
    }
    return Comparison(
        first=_title(bundles[0], models[0]),
        second=_title(bundles[1], models[1]),
        log=log.name,
        events=len(in_first),
        first_skipped=first.skips,
        second_skipped=second.skips,
        heads=compared,
    )


def _title(path: Path, model: Model) -> str:
    return f"{path} {model.fingerprint[:16]}"


def _common_heads(models: tuple[Model, Model], bundles: tuple[Path, Path]) -> list[AnyHead]:
    heads = [head for head in models[0].spec.heads if has_same_head(head, models[1])]
    if not heads:
        names = " and ".join(", ".join(h.name for h in model.spec.heads) for model in models)
        raise ConfigError(
            f"{bundles[0]} and {bundles[1]} have no head in common: {names}; a head is the same if "
            "its name and its question are the same"
        )
    return heads


def has_same_head(head: AnyHead, model: Model) -> bool:
    """Return whether a model has a head that answers the same question."""
    blank = {"surprise": False} | ({"fitted": None} if hasattr(head, "fitted") else {})
    return any(
        head.model_copy(update=blank) == h.model_copy(update=blank) for h in model.spec.heads
    )


def _common_events(
    first: PredictionsWithTargets, second: PredictionsWithTargets
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices, in each set of predictions, of the events that both predict."""
    places = [
        list(zip(p.partition.tolist(), p.offset.tolist(), strict=True)) for p in (first, second)
    ]
    index_of = {place: index for index, place in enumerate(places[1])}
    pairs = [(i, index_of[place]) for i, place in enumerate(places[0]) if place in index_of]
    if not pairs:
        raise ConfigError(
            "the two bundles predict no event in common; compare bundles whose specs accept the "
            "same records"
        )
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])


def compare_metrics(
    head: AnyHead,
    outputs: tuple[Output, Output],
    target: NDArray[np.float64],
    key: NDArray[np.int64],
    scoring: ScoringOptions,
) -> dict[str, ComparedMetric]:
    """Score two predictions of the same events, with paired intervals.

    Args:
        head: Head that predicts.
        outputs: Outputs (N,) of both.
        target: Targets (N,), encoded as for training.
        key: Index (N,) of each event's key.
        scoring: Options of the bootstrap, which draws the same keys for both.
    """
    key = number_keys(key)
    draws = (
        draw_keys(int(key.max()) + 1, scoring.seed, scoring.bootstrap_samples)
        if scoring.bootstrap_samples
        else None
    )
    values = [score(head, output, target) for output in outputs]
    drawn = [
        {} if draws is None else resampled_metrics(head, output, target, key, draws)
        for output in outputs
    ]
    return {
        metric: ComparedMetric(
            values[0][metric],
            values[1][metric],
            with_interval(
                values[1][metric] - values[0][metric],
                drawn[1][metric] - drawn[0][metric] if metric in drawn[0] else None,
            ),
        )
        for metric in values[0]
    }


def _compare_head(
    head: AnyHead,
    first: PredictionsWithTargets,
    second: PredictionsWithTargets,
    in_first: NDArray[np.intp],
    in_second: NDArray[np.intp],
    scoring: ScoringOptions,
) -> ComparedHead:
    known = np.isfinite(first.targets[head.name][in_first])
    in_first, in_second = in_first[known], in_second[known]
    if not len(in_first):
        return ComparedHead(0, {}, ())
    target = first.targets[head.name][in_first]
    outputs = first.outputs[head.name][in_first], second.outputs[head.name][in_second]
    metrics = compare_metrics(head, outputs, target, first.key[in_first], scoring)
    values_compared = [o.target_probability if isinstance(o, RankedClasses) else o for o in outputs]
    gap = np.abs(values_compared[0].astype(np.float64) - values_compared[1])
    gap = gap.max(axis=1) if gap.ndim > 1 else gap  # of the quantiles

    def describe_difference(i: int) -> DifferenceExample:
        (first_text, actual), (second_text, _) = (
            describe_prediction(head, output, i, float(target[i])) for output in outputs
        )
        event = int(in_first[i])
        return DifferenceExample(
            key=describe_key(first.keys[int(first.key[event])]),
            partition=int(first.partition[event]),
            offset=int(first.offset[event]),
            first=first_text,
            second=second_text,
            actual=actual,
        )

    largest = np.argsort(-gap, kind="stable")[:EXAMPLES_MAX].tolist()
    return ComparedHead(len(in_first), metrics, tuple(map(describe_difference, largest)))
