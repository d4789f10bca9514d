"""Examples: a log as training sees it, what is to be predicted, and scalings fitted to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import SpecError
from stream_rnn.model.features import Feature, FeatureSpec, Fitted, Numeric, SincePrevious
from stream_rnn.model.heads import AnyHead, Multiclass, Regression, Target, TimeToNext

STD_MIN = 1e-6


@dataclass(frozen=True, slots=True)
class Examples:
    """A log as training sees it.  N valid events in R runs; a run is one memory of one key.

    Attributes:
        columns: for each field's path N values.
        time_ms: (N,) event times.
        since_ms: (N,) time since the previous event of the run; NaN at its first.
        order: (N,) event numbers, run by run.
        first: (R,) index in ``order`` of each run's first event.
        length: (R,) events of each run.
        closes: (R,) whether the key has no later event or forget: its last event is the end.
        part: (N,) 0 training, 1 validation, 2 test; by the event that predicts.
    """

    columns: Mapping[str, Sequence[Any]]
    time_ms: NDArray[np.int64]
    since_ms: NDArray[np.float64]
    order: NDArray[np.int64]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    closes: NDArray[np.bool_]
    part: NDArray[np.int8]


def fit(spec: FeatureSpec, examples: Examples) -> FeatureSpec:
    """Return the spec with scalings fitted on the training part."""
    train = np.flatnonzero(examples.part == 0)
    if not len(train):
        raise SpecError("the training part has no valid event; look at the split and the spec")
    features: list[Feature] = []
    for feature in spec.features:
        if isinstance(feature, Numeric):
            values = np.array(
                [examples.columns[feature.path][i] for i in train.tolist()], np.float64
            )
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

    The label of a next-event head is the field of the next event of the same run; a run's last
    event has none, unless the head has a class for it and the key ends there.
    """
    if head.of == "label":
        raise SpecError(
            f"head {head.name}: of = label needs a labels file, which training does not read yet"
        )
    count = len(examples.time_ms)
    own = np.full(count, np.nan)
    raw = examples.since_ms / 1000 if isinstance(head, TimeToNext) else examples.columns[head.path]
    for i in range(count):
        value = head.target(raw[i])
        own[i] = np.nan if value is None else value
    if head.of == "now":
        return own
    following = np.full(count, np.nan)
    order = examples.order
    following[order[:-1]] = own[order[1:]]
    lasts = order[examples.first + examples.length - 1]
    following[lasts] = np.nan
    if isinstance(head, Multiclass) and head.end:
        following[lasts[examples.closes]] = len(head.classes)
    return following
