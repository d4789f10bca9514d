"""Compare: two bundles on the same log, paired event by event."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.evaluate import Scored
from stream_rnn.evaluation.outcomes import PredictionsWithTargets, fold_outcomes
from stream_rnn.evaluation.worst_predictions import words
from stream_rnn.keys import describe_key
from stream_rnn.metrics.bootstrap import draw_keys, resampled_metrics, with_interval
from stream_rnn.metrics.figure import Figure
from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import score
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.heads import AnyHead
from stream_rnn.model.network import Model
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels
from stream_rnn.training.splits import column_of

DIFFER = 10


@dataclass(frozen=True, slots=True)
class Row:
    """A metric of both, and the second less the first."""

    first: float
    second: float
    difference: Figure


@dataclass(frozen=True, slots=True)
class Differing:
    """An event of which the two say most different things; of classes, of the one that came."""

    key: str
    partition: int
    offset: int
    first: str
    second: str
    actual: str


@dataclass(frozen=True, slots=True)
class ComparedHead:
    """One head of both."""

    events: int
    metrics: dict[str, Row]
    differ: tuple[Differing, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two bundles on a log: names with fingerprints, and the heads that both have."""

    first: str
    second: str
    log: str
    events: int
    heads: dict[str, ComparedHead]


def compare(
    log: Log,
    bundles: tuple[Path, Path],
    settings: Settings,
    scored: Scored,
    labels: Labels | None = None,
    on_progress: Callable[[str, int], None] = lambda _model, _records: None,
) -> Comparison:
    """Fold a log with two bundles and hold one against the other.

    Args:
        log: not opened yet.
        bundles: directories.
        settings: of the fold.
        scored: which predictions.
        labels: of the heads that need some.
        on_progress: which bundle is folded, and how many records more it has read.

    Raises:
        ConfigError: the two have no head in common, or answer no event in common.
    """
    models = load_bundle(bundles[0]), load_bundle(bundles[1])
    heads = [head for head in models[0].spec.heads if _same(head, models[1])]
    if not heads:
        both = " and ".join(", ".join(h.name for h in model.spec.heads) for model in models)
        raise ConfigError(f"{bundles[0]} and {bundles[1]} have no head in common: {both}")
    column = column_of(scored.split) if scored.split else None

    async def fold() -> list[PredictionsWithTargets]:
        async with log:
            return [
                await fold_outcomes(
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
    one, other = _shared(first, second)
    chosen = scored.choose(first)[one]
    one, other = one[chosen], other[chosen]
    compared = {head.name: _head(head, first, second, one, other, scored) for head in heads}
    names = [
        f"{path} {model.fingerprint[:16]}" for path, model in zip(bundles, models, strict=True)
    ]
    return Comparison(names[0], names[1], log.name, len(one), compared)


def _same(head: AnyHead, model: Model) -> bool:
    """Tell whether a model has a head that answers the same question."""
    blank = {"fitted": None} if hasattr(head, "fitted") else {}
    return any(
        head.model_copy(update=blank) == h.model_copy(update=blank) for h in model.spec.heads
    )


def _shared(
    first: PredictionsWithTargets, second: PredictionsWithTargets
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of the events that both answer."""
    places = [
        list(zip(o.partition.tolist(), o.offset.tolist(), strict=True)) for o in (first, second)
    ]
    at = {place: number for number, place in enumerate(places[1])}
    pairs = [(i, at[place]) for i, place in enumerate(places[0]) if place in at]
    if not pairs:
        raise ConfigError("the two bundles answer no event in common")
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])


def _head(
    head: AnyHead,
    first: PredictionsWithTargets,
    second: PredictionsWithTargets,
    one: NDArray[np.intp],
    other: NDArray[np.intp],
    scored: Scored,
) -> ComparedHead:
    known = np.isfinite(first.targets[head.name][one])
    one, other = one[known], other[known]
    if not len(one):
        return ComparedHead(0, {}, ())
    target = first.targets[head.name][one]
    outputs = first.outputs[head.name][one], second.outputs[head.name][other]
    key = np.unique(first.key[one], return_inverse=True)[1].astype(np.int64)
    draws = (
        draw_keys(int(key.max()) + 1, scored.seed, scored.bootstrap_samples)
        if scored.bootstrap_samples
        else None
    )
    values = [score(head, output, target) for output in outputs]
    drawn = [
        {} if draws is None else resampled_metrics(head, output, target, key, draws)
        for output in outputs
    ]
    metrics = {
        metric: Row(
            values[0][metric],
            values[1][metric],
            with_interval(
                values[1][metric] - values[0][metric],
                drawn[1][metric] - drawn[0][metric] if metric in drawn[0] else None,
            ),
        )
        for metric in values[0]
    }
    said = [o.target_probability if isinstance(o, RankedClasses) else o for o in outputs]
    gap = np.abs(said[0].astype(np.float64) - said[1])

    def differing(i: int) -> Differing:
        (said_first, actual), (said_second, _) = (
            words(head, output, i, float(target[i])) for output in outputs
        )
        return Differing(
            key=describe_key(first.keys[int(first.key[one[i]])]),
            partition=int(first.partition[one[i]]),
            offset=int(first.offset[one[i]]),
            first=said_first,
            second=said_second,
            actual=actual,
        )

    differ = tuple(map(differing, np.argsort(-gap, kind="stable")[:DIFFER].tolist()))
    return ComparedHead(len(one), metrics, differ)
