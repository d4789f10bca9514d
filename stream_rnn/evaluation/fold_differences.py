"""How much the outputs of two folds differ on the same events: no truth is needed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_rnn.evaluation.joined_outputs import JoinedColumns, NamedClasses, PublishedOutput
from stream_rnn.evaluation.result import Bin
from stream_rnn.evaluation.worst_predictions import BINS, describe_output
from stream_rnn.keys import describe_key
from stream_rnn.model.heads import AnyHead, Multiclass, Quantile

SHOWN_MAX = 10
KEY_EVENTS_MIN = 10
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Flips:
    """Decisions at a threshold that differ: an event is decided yes if its output is above.

    Attributes:
        threshold: The threshold.
        to_yes: Number of events that the old fold decides no, and the new one yes.
        to_no: Number of events that the old fold decides yes, and the new one no.
        old_yes: Number of events that the old fold decides yes.
        new_yes: Number of events that the new fold decides yes.
    """

    threshold: float
    to_yes: int
    to_no: int
    old_yes: int
    new_yes: int


@dataclass(frozen=True, slots=True)
class ClassChange:
    """Events for which the folds find different classes likeliest."""

    old: str
    new: str
    events: int


@dataclass(frozen=True, slots=True)
class DifferentKey:
    """A key whose predictions differ much."""

    key: str
    events: int
    mean: float
    largest: float


@dataclass(frozen=True, slots=True)
class DifferentEvent:
    """One of the events whose predictions differ most; predictions are texts for people."""

    key: str
    partition: int
    offset: int
    event_time_ms: int
    old: str
    new: str
    difference: float


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences of a head between the folds.

    The difference of an event is that of its probabilities or numbers, the largest one of its
    quantiles, and for classes the larger one of the probabilities of the two likeliest classes.  A
    class that a prediction does not name has there the least probability that it names, so that
    its difference is a lower bound.

    Attributes:
        mean: Mean of the absolute differences.
        mean_shift: Mean of new minus old; ``None`` for classes.
        largest: Largest absolute difference.
        quantiles: Quantiles of the absolute differences, by name such as ``p99``.
        correlation: Pearson correlation of the outputs, for quantiles of the middle one; ``None``
            for classes, NaN if one fold predicts the same for all events.
        agreement: Share of events with the same likeliest class; ``None`` for other heads.
        flips: Decisions at the threshold that differ; ``None`` without a threshold.
        bins: Mean output of the old (predicted) and of the new fold (observed), in bins of equal
            numbers of events, in the order of the old one's outputs; empty for classes.
        changes: Commonest changes of the likeliest class.
        keys: Keys whose mean difference is largest.
        events: Events whose difference is largest.
    """

    mean: float
    mean_shift: float | None
    largest: float
    quantiles: dict[str, float]
    correlation: float | None
    agreement: float | None
    flips: Flips | None
    bins: tuple[Bin, ...]
    changes: tuple[ClassChange, ...]
    keys: tuple[DifferentKey, ...]
    events: tuple[DifferentEvent, ...]


def find_differences(
    head: AnyHead, columns: JoinedColumns, threshold: float | None = None
) -> Differences:
    """Return how much the outputs of a head differ over N events, at least one.

    Args:
        head: Head that both folds have.
        columns: Events that both folds predict.
        threshold: Number above which the decision is yes; ``None`` for no decisions.
    """
    old, new = columns.old[head.name], columns.new[head.name]
    gap = _gaps(old, new)
    agreement, correlation, shift = None, None, None
    flips, bins, changes = None, tuple[Bin, ...](), tuple[ClassChange, ...]()
    if isinstance(head, Multiclass):
        assert isinstance(old, NamedClasses)
        assert isinstance(new, NamedClasses)
        agreement = float((old.top_class == new.top_class).mean())
        changes = _changes(head, old, new)
    else:
        first, second = middle_of(head, old), middle_of(head, new)
        correlation, shift = _correlation(first, second), float((second - first).mean())
        flips = None if threshold is None else _flips(first, second, threshold)
        bins = _bins(first, second)
    quantiles = np.quantile(gap, list(SHARES.values())).tolist()
    largest = np.argsort(-gap, kind="stable")[:SHOWN_MAX].tolist()
    return Differences(
        mean=float(gap.mean()),
        mean_shift=shift,
        largest=float(gap.max()),
        quantiles=dict(zip(SHARES, quantiles, strict=True)),
        correlation=correlation,
        agreement=agreement,
        flips=flips,
        bins=bins,
        changes=changes,
        keys=_rank_keys(columns, gap),
        events=tuple(_describe_event(head, columns, i, float(gap[i])) for i in largest if gap[i]),
    )


def middle_of(head: AnyHead, output: PublishedOutput) -> NDArray[np.float64]:
    """Return one number (N,) for each event: of quantiles the one nearest to the median."""
    assert not isinstance(output, NamedClasses), "classes have no number"
    values = output[:, head.middle] if isinstance(head, Quantile) else output
    return values.astype(np.float64)


def _gaps(old: PublishedOutput, new: PublishedOutput) -> NDArray[np.float64]:
    if isinstance(old, NamedClasses) or isinstance(new, NamedClasses):
        assert isinstance(old, NamedClasses)
        assert isinstance(new, NamedClasses)
        both = [
            np.abs(old.probability_of(named) - new.probability_of(named))
            for named in (old.top_class, new.top_class)
        ]
        return np.maximum(*both)
    gap = np.abs(old.astype(np.float64) - new.astype(np.float64))
    return gap.max(axis=1) if gap.ndim > 1 else gap


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the Pearson correlation; NaN if either is constant."""
    if first.min() == first.max() or second.min() == second.max():
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _flips(first: NDArray[np.float64], second: NDArray[np.float64], threshold: float) -> Flips:
    # As readers decide, for whom a float32 is its shortest decimal.
    limit = np.float32(threshold)
    before, after = first.astype(np.float32) > limit, second.astype(np.float32) > limit
    return Flips(
        threshold=threshold,
        to_yes=int((~before & after).sum()),
        to_no=int((before & ~after).sum()),
        old_yes=int(before.sum()),
        new_yes=int(after.sum()),
    )


def _bins(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[Bin, ...]:
    order = np.argsort(first, kind="stable")
    return tuple(
        Bin(float(first[part].mean()), float(second[part].mean()), len(part))
        for part in np.array_split(order, min(BINS, len(order)))
    )


def _changes(head: Multiclass, old: NamedClasses, new: NamedClasses) -> tuple[ClassChange, ...]:
    differs = old.top_class != new.top_class
    pairs = np.stack([old.top_class[differs], new.top_class[differs]], axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    ranked = np.argsort(-counts, kind="stable")[:SHOWN_MAX].tolist()
    labels = head.labels
    return tuple(
        ClassChange(labels[int(distinct[i, 0])], labels[int(distinct[i, 1])], int(counts[i]))
        for i in ranked
    )


def _rank_keys(columns: JoinedColumns, gap: NDArray[np.float64]) -> tuple[DifferentKey, ...]:
    """Rank keys by their mean; those with few events only if no key has more."""
    counts = np.bincount(columns.key, minlength=len(columns.keys))
    means = np.bincount(columns.key, weights=gap, minlength=len(counts)) / np.maximum(counts, 1)
    largest = np.zeros(len(counts))
    np.maximum.at(largest, columns.key, gap)
    has_many = counts >= KEY_EVENTS_MIN
    ranked = np.flatnonzero(has_many if has_many.any() else counts > 0)
    ranked = ranked[np.argsort(-means[ranked], kind="stable")[:SHOWN_MAX]]
    return tuple(
        DifferentKey(
            describe_key(columns.keys[i]), int(counts[i]), float(means[i]), float(largest[i])
        )
        for i in ranked.tolist()
        if largest[i]
    )


def _describe_event(
    head: AnyHead, columns: JoinedColumns, event: int, gap: float
) -> DifferentEvent:
    return DifferentEvent(
        key=describe_key(columns.keys[int(columns.key[event])]),
        partition=int(columns.partition[event]),
        offset=int(columns.offset[event]),
        event_time_ms=int(columns.time_ms[event]),
        old=describe_output(head, columns.old[head.name], event),
        new=describe_output(head, columns.new[head.name], event),
        difference=gap,
    )
