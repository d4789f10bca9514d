"""Naive baselines: predictions without a network.

The rule ``constant`` predicts the same for every event, as seen in training: the mean of a number,
the median of a time, the shares of the classes.  The rule ``last`` predicts from the key's latest
known target: for a number, that value (persistence); for classes, the shares of the classes that
followed it in training (a first-order Markov chain).  Only next-event heads have a latest known
target; the targets of all other heads are not in the stream.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from stream_rnn.metrics.ranked import RankedClasses
from stream_rnn.metrics.scores import Output, in_unit
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile, TimeToNext

CLASSES_MAX = 1000  # with more classes, the table of pairs would be larger than most networks
RULES: tuple[Literal["constant", "last"], ...] = ("constant", "last")

Rule = Literal["constant", "last"]
Share = Annotated[float, Field(ge=0, le=1)]


class NaiveHead(BaseModel):
    """Statistics of the training part for one head.

    Attributes:
        shares: Shares of the classes; two for a binary head.
        following: For each latest known class, the shares of the classes that followed it.
        value: Mean of a number or median of a time, in the target's unit.
        quantiles: Quantiles of the targets, for a quantile head.
        changes: Quantiles of the difference between a target and the latest known one.
        rule: The better rule on the validation part; ``None`` if the validation or the training
            part has no target, or if an older version, which recorded no rule, wrote the bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shares: tuple[Share, ...] = ()
    following: tuple[tuple[Share, ...], ...] = ()
    value: float = 0.0
    quantiles: tuple[float, ...] = Field(default=(), exclude_if=lambda value: not value)
    changes: tuple[float, ...] = Field(default=(), exclude_if=lambda value: not value)
    rule: Rule | None = None

    def predict(self, rule: Rule, last: NDArray[np.float64]) -> NDArray[np.float32]:
        """Predict N events.

        Args:
            rule: The rule to apply.
            last: (N,) latest known targets: class indices, or numbers in the target's unit; NaN if
                there is none.

        Returns:
            (N,) numbers, or (N, C) probabilities of classes or quantiles.
        """
        has_last = np.isfinite(last)
        if self.quantiles:
            rows = np.tile(np.array(self.quantiles), (len(last), 1))
            if rule == "last" and self.changes:
                rows[has_last] = last[has_last, None] + np.array(self.changes)
            return rows.astype(np.float32)
        if not self.shares:
            constant = np.full(len(last), self.value)
            return np.where(has_last & (rule == "last"), last, constant).astype(np.float32)
        probabilities = np.tile(np.array(self.shares), (len(last), 1))
        if rule == "last" and self.following:
            labels = last[has_last].astype(np.int64)
            probabilities[has_last] = np.array(self.following)[labels]
        return probabilities.astype(np.float32)


class Naive(BaseModel):
    """Naive baselines of all heads of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2] = 2  # format 1 has no rule
    heads: dict[str, NaiveHead]

    @classmethod
    def fit(
        cls,
        spec: FeatureSpec,
        targets: Mapping[str, NDArray[np.float64]],
        lasts: Mapping[str, NDArray[np.float64]],
    ) -> Self:
        """Compute the statistics of the training part.

        Args:
            spec: The feature spec with the heads.
            targets: Head -> (N,) targets in the scale of training; NaN if there is none.
            lasts: Head -> (N,) latest known targets in the scale of training.
        """
        heads = {h.name: _fit(h, targets[h.name], lasts[h.name]) for h in spec.heads}
        return cls(heads=heads)

    def with_rules(self, rules: Mapping[str, Rule]) -> Self:
        """Return a copy with the given rule for each head."""
        heads = {
            name: head.model_copy(update={"rule": rules.get(name)})
            for name, head in self.heads.items()
        }
        return self.model_copy(update={"heads": heads})


def predict(
    head: AnyHead,
    naive: NaiveHead,
    rule: Rule,
    last: NDArray[np.float64],
    target: NDArray[np.float64],
) -> Output:
    """Predict N events in the form of the head's outputs.

    Args:
        head: The head.
        naive: Statistics of the head.
        rule: The rule to apply.
        last: (N,) latest known targets in the scale of training; NaN if there is none.
        target: (N,) targets, against which classes are ranked.

    Returns:
        (N,) outputs; ranked classes for a multi-class head.
    """
    last = in_unit(head, last)
    if isinstance(head, Multiclass):
        return RankedClasses.in_chunks(
            lambda events: naive.predict(rule, last[events]), target, head.width
        )
    output = naive.predict(rule, last)
    return output[:, 1] if isinstance(head, Binary) else output


def _fit(head: AnyHead, target: NDArray[np.float64], last: NDArray[np.float64]) -> NaiveHead:
    has_target = np.isfinite(target)
    if isinstance(head, Quantile):
        pair = has_target & np.isfinite(last)
        return NaiveHead(
            quantiles=_quantiles(head, target[has_target]),
            changes=_quantiles(head, target[pair] - last[pair]) if pair.any() else (),
        )
    if not isinstance(head, Binary | Multiclass):
        values = in_unit(head, target[has_target])
        average = np.median if isinstance(head, TimeToNext) else np.mean
        return NaiveHead(value=float(average(values)) if len(values) else 0.0)
    classes = 2 if isinstance(head, Binary) else head.width
    labels = target[has_target].astype(np.int64)
    shares = _shares(np.bincount(labels, minlength=classes)[None])[0]
    if classes > CLASSES_MAX:
        return NaiveHead(shares=tuple(shares))
    pair = has_target & np.isfinite(last)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (last[pair].astype(np.int64), target[pair].astype(np.int64)), 1)
    # One more event per row, spread over the classes like all events, fills an empty row.
    return NaiveHead(
        shares=tuple(shares), following=tuple(map(tuple, _shares(counts + np.array(shares))))
    )


def _quantiles(head: Quantile, values: NDArray[np.float64]) -> tuple[float, ...]:
    if not len(values):
        return (0.0,) * head.width
    return tuple(np.quantile(values, head.quantiles).tolist())


def _shares(counts: NDArray[np.floating | np.integer]) -> list[list[float]]:
    """Normalize rows to shares greater than 0, so that no event is impossible."""
    smoothed = counts + 1e-3
    rows: list[list[float]] = (smoothed / smoothed.sum(axis=1, keepdims=True)).tolist()
    return rows
