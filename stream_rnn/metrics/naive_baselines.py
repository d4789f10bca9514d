"""Naive rules: what can be said without a network.

``constant`` says of every event what was usual in training: the mean of a number, the median of a
time, the classes' shares.  ``last`` says what the key's latest known value was: for a number the
value itself (persistence), for classes what followed that class in training (a first-order Markov
chain).  Only next-event heads know a last value: what the others ask is not in the stream.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from stream_rnn.metrics.ranked import Ranked
from stream_rnn.metrics.scores import Output, in_unit
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, TimeToNext

CLASSES_MAX = 1000  # a table of more classes squared would be larger than most networks
RULES: tuple[Literal["constant", "last"], ...] = ("constant", "last")

Rule = Literal["constant", "last"]
Share = Annotated[float, Field(ge=0, le=1)]


class NaiveHead(BaseModel):
    """What training counted for one head.

    Attributes:
        shares: of the classes; a binary head has two.
        following: for each class (of a last known value) the shares of what followed.
        value: mean of a number, median of a time, in the target's unit.
        rule: the one that answers better in the validation part; ``None``: no event there or in
            training has a label, or the bundle is of a version that did not write it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shares: tuple[Share, ...] = ()
    following: tuple[tuple[Share, ...], ...] = ()
    value: float = 0.0
    rule: Rule | None = None

    def answer(self, rule: Rule, last: NDArray[np.float64]) -> NDArray[np.float32]:
        """Answer N events as a head does: (N,), for classes (N, C).

        Args:
            rule: which one.
            last: (N,) latest known target, as it is learned for classes, else in its own unit;
                NaN where there is none.
        """
        known = np.isfinite(last)
        if not self.shares:
            usual = np.full(len(last), self.value)
            return np.where(known & (rule == "last"), last, usual).astype(np.float32)
        found = np.tile(np.array(self.shares), (len(last), 1))
        if rule == "last" and self.following:
            found[known] = np.array(self.following)[last[known].astype(np.int64)]
        return found.astype(np.float32)


class Naive(BaseModel):
    """Naive rules of all heads of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2] = 2  # 1 lacks the rule
    heads: dict[str, NaiveHead]

    @classmethod
    def fit(
        cls,
        spec: FeatureSpec,
        targets: Mapping[str, NDArray[np.float64]],
        lasts: Mapping[str, NDArray[np.float64]],
    ) -> Self:
        """Count the training part.

        Args:
            spec: the heads.
            targets: head -> (N,) labels as they are learned, NaN where there is none.
            lasts: head -> (N,) latest known targets, as they are learned.
        """
        heads = {h.name: _fit(h, targets[h.name], lasts[h.name]) for h in spec.heads}
        return cls(heads=heads)

    def with_rules(self, rules: Mapping[str, Rule]) -> Self:
        """Return the same with the rule that was chosen for each head: head -> rule."""
        heads = {
            name: head.model_copy(update={"rule": rules.get(name)})
            for name, head in self.heads.items()
        }
        return self.model_copy(update={"heads": heads})


def answer(
    head: AnyHead,
    naive: NaiveHead,
    rule: Rule,
    last: NDArray[np.float64],
    target: NDArray[np.float64],
) -> Output:
    """Answer N events as the head does: (N,), classes ranked.

    Args:
        head: what is asked.
        naive: what training counted.
        rule: which one.
        last: (N,) latest known targets, as they are learned; NaN where there is none.
        target: (N,) what came, to rank classes against.
    """
    known = in_unit(head, last)
    if isinstance(head, Multiclass):
        return Ranked.piece_by_piece(
            lambda events: naive.answer(rule, known[events]), target, head.width
        )
    found = naive.answer(rule, known)
    return found[:, 1] if isinstance(head, Binary) else found


def _fit(head: AnyHead, target: NDArray[np.float64], last: NDArray[np.float64]) -> NaiveHead:
    known = np.isfinite(target)
    if not isinstance(head, Binary | Multiclass):
        values = in_unit(head, target[known])
        usual = np.median if isinstance(head, TimeToNext) else np.mean
        return NaiveHead(value=float(usual(values)) if len(values) else 0.0)
    classes = 2 if isinstance(head, Binary) else head.width
    labels = target[known].astype(np.int64)
    shares = _shares(np.bincount(labels, minlength=classes)[None])[0]
    if classes > CLASSES_MAX:
        return NaiveHead(shares=tuple(shares))
    pair = known & np.isfinite(last)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (last[pair].astype(np.int64), target[pair].astype(np.int64)), 1)
    # One more event, shared as all are: a class that was never last says what is usual.
    return NaiveHead(
        shares=tuple(shares), following=tuple(map(tuple, _shares(counts + np.array(shares))))
    )


def _shares(counts: NDArray[np.floating | np.integer]) -> list[list[float]]:
    """Return rows as shares that differ from 0, so that no event is impossible."""
    smoothed = counts + 1e-3
    rows: list[list[float]] = (smoothed / smoothed.sum(axis=1, keepdims=True)).tolist()
    return rows
