"""Examples: a log as training sees it, what is to be predicted, and scalings fitted to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import SpecError
from stream_rnn.model.features import Feature, FeatureSpec, Fitted, Numeric, SincePrevious
from stream_rnn.model.heads import AnyHead, Regression, Target, TimeToNext
from stream_rnn.training.targets import Runs, following, learned

STD_MIN = 1e-6


@dataclass(frozen=True, slots=True)
class Examples:
    """A log as training sees it.  N valid events.

    Attributes:
        columns: for each feature's path N values.
        time_ms: (N,) event times.
        since_ms: (N,) time since the previous event of the run; NaN at its first.
        runs: of the events.
        part: (N,) 0 training, 1 validation, 2 test; by the event that predicts.
        labels: for each head that asks for a field N values, ``None`` where there is none.
    """

    columns: Mapping[str, Sequence[Any]]
    time_ms: NDArray[np.int64]
    since_ms: NDArray[np.float64]
    runs: Runs
    part: NDArray[np.int8]
    labels: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def fit(spec: FeatureSpec, examples: Examples) -> FeatureSpec:
    """Return the spec with scalings fitted on the training part."""
    train = np.flatnonzero(examples.part == 0)
    if not len(train):
        raise SpecError("the training part has no valid event; look at the split and the spec")
    features: list[Feature] = []
    for feature in spec.features:
        if isinstance(feature, Numeric):
            values = as_floats(examples.columns[feature.path])[train]
        elif isinstance(feature, SincePrevious):
            values = examples.since_ms[train] / 1000
        else:
            features.append(feature)
            continue
        values = feature.transform(values[np.isfinite(values)])
        features.append(feature.model_copy(update={"fitted": _fitted(values)}))
    heads: list[AnyHead] = []
    for head in spec.heads:
        if isinstance(head, Regression | TimeToNext):
            known = targets(head, examples)[train]
            known = known[np.isfinite(known)]
            moments = (
                Target(mean=float(known.mean()), std=max(float(known.std()), STD_MIN))
                if len(known)
                else Target()
            )
            heads.append(head.model_copy(update={"fitted": moments}))
        else:
            heads.append(head)
    return spec.model_copy(update={"features": tuple(features), "heads": tuple(heads)})


def as_floats(values: Sequence[Any] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers as float64, NaN for ``None``."""
    return np.asarray(values, np.float64)


def _fitted(values: NDArray[np.float64]) -> Fitted:
    if not len(values):
        return Fitted()
    return Fitted(
        mean=float(values.mean()),
        std=max(float(values.std()), STD_MIN),
        min=float(values.min()),
        max=float(values.max()),
    )


def targets(head: AnyHead, examples: Examples) -> NDArray[np.float64]:
    """Return what each event is to predict (N,), as it is learned; NaN where there is no label.

    Raises:
        SpecError: the head needs labels, and none were given.
    """
    return following(head, own_targets(head, examples), examples.runs)


def last_targets(head: AnyHead, examples: Examples) -> NDArray[np.float64]:
    """Return the latest target that is known when each event predicts (N,), NaN where none is.

    Of a next-event head it is the event's own.  What the others ask is not in the events that
    production sees, so nothing is known.
    """
    own = own_targets(head, examples)
    return own if head.of == "next" else np.full(len(own), np.nan)


def own_targets(head: AnyHead, examples: Examples) -> NDArray[np.float64]:
    """Return what each event itself says of a head's question (N,), as it is learned, or NaN."""
    if isinstance(head, TimeToNext):
        return learned(head, examples.since_ms / 1000)
    if head.name not in examples.labels:
        raise SpecError(f"head {head.name}: of = label needs a labels file; give --labels")
    return learned(head, examples.labels[head.name])
