"""Training examples: the columns and runs of a log, the targets, and the fitting of scalings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import SpecError
from stream_rnn.fold.rounds import previous_in_run
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import Feature, FeatureSpec, Numeric, SincePrevious
from stream_rnn.model.heads import AnyHead, Quantile, Regression, Target, TimeToNext
from stream_rnn.model.scaled import Fitted
from stream_rnn.model.targets import encode_targets
from stream_rnn.model.vector import Vector
from stream_rnn.training.targets import Runs, align_targets

STD_MIN = 1e-6  # standard deviation of a constant
ROUNDING = 1e-12  # standard deviation of a rounded constant, as a share of its size


@dataclass(frozen=True, slots=True)
class Examples:
    """N valid events of a log as training examples.

    Attributes:
        columns: N values for the path of each feature.
        time_ms: Event times (N,), in milliseconds since 1970.
        since_ms: Milliseconds (N,) since the previous event of the run; NaN at its first event.
        runs: Runs of the events.
        part: Part (N,) of the split of each predicting event: 0 training, 1 validation, 2 test.
        labels: N values for each head that reads a field; ``None`` where an event has no value.
    """

    columns: Mapping[str, Sequence[Any]]
    time_ms: NDArray[np.int64]
    since_ms: NDArray[np.float64]
    runs: Runs
    part: NDArray[np.int8]
    labels: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def fit(spec: FeatureSpec, examples: Examples) -> FeatureSpec:
    """Return the spec with scalings fitted to the training part.

    Raises:
        SpecError: The training part has no valid event.
    """
    train = np.flatnonzero(examples.part == 0)
    if not len(train):
        raise SpecError("the training part has no valid event; check the split and the spec")
    features: list[Feature] = []
    for feature in spec.features:
        if isinstance(feature, Numeric):
            values = as_floats(examples.columns[feature.path])[train]
        elif isinstance(feature, SincePrevious):
            values = examples.since_ms[train] / 1000
        elif isinstance(feature, Vector):
            matrix = feature.matrix(chosen_values(examples.columns[feature.path], train))
            places = tuple(_fit_values(feature.transform(v[np.isfinite(v)])) for v in matrix.T)
            features.append(feature.model_copy(update={"fitted": places}))
            continue
        else:
            features.append(feature)
            continue
        values = feature.transform(values[np.isfinite(values)])
        features.append(feature.model_copy(update={"fitted": _fit_values(values)}))
    heads: list[AnyHead] = []
    for head in spec.heads:
        if isinstance(head, Regression | Quantile | TimeToNext):
            known = targets(head, examples)[train]
            known = known[np.isfinite(known)]
            moments = (
                Target(mean=float(known.mean()), std=_fit_std(known)) if len(known) else Target()
            )
            heads.append(head.model_copy(update={"fitted": moments}))
        else:
            heads.append(head)
    return spec.model_copy(update={"features": tuple(features), "heads": tuple(heads)})


def chosen_values(values: Sequence[Any], rows: NDArray[np.intp]) -> list[Any]:
    """Return the values of some rows."""
    return [values[row] for row in rows.tolist()]


def encode(spec: FeatureSpec, examples: Examples) -> NDArray[np.float32]:
    """Encode the events of examples as x (N, F), with what depends on the previous event."""
    encoder, runs = Encoder(spec), examples.runs
    x, errors = encoder.encode(examples.columns, examples.time_ms)
    assert not errors, "examples contain only events that can be encoded"
    encoder.fill_since_previous(x, examples.since_ms)
    values, before = x[:, encoder.lag_columns], encoder.lag_missing
    encoder.fill_lags(x, previous_in_run(runs.order, runs.first, values, before))
    return x


def as_floats(values: Sequence[Any] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers as float64, NaN for ``None``."""
    return np.asarray(values, np.float64)


def _fit_values(values: NDArray[np.float64]) -> Fitted:
    if not len(values):
        return Fitted()
    return Fitted(
        mean=float(values.mean()),
        std=_fit_std(values),
        min=float(values.min()),
        max=float(values.max()),
    )


def _fit_std(values: NDArray[np.float64]) -> float:
    """Return the standard deviation, whatever the unit; ``STD_MIN`` or more for a constant."""
    std = float(values.std())
    is_constant = std <= ROUNDING * float(np.abs(values).max())
    return max(std, STD_MIN) if is_constant else std


def targets(head: AnyHead, examples: Examples) -> NDArray[np.float64]:
    """Return the target (N,) of each event's prediction, encoded for training; NaN for no label.

    Raises:
        SpecError: The head needs a labels file, and there is none.
    """
    return align_targets(head, own_targets(head, examples), examples.runs)


def last_targets(head: AnyHead, examples: Examples) -> NDArray[np.float64]:
    """Return the latest target (N,) that is known when each event predicts; NaN for none.

    For a head of the next event, it is the value in the predicting event.  Other heads have none,
    because the events that a worker sees do not contain their targets.
    """
    own = own_targets(head, examples)
    return own if head.of == "next" else np.full(len(own), np.nan)


def own_targets(head: AnyHead, examples: Examples) -> NDArray[np.float64]:
    """Return the value (N,) of a head's field in each event, encoded for training; NaN for none."""
    if isinstance(head, TimeToNext):
        return encode_targets(head, examples.since_ms / 1000)
    if head.name not in examples.labels:
        raise SpecError(f'head {head.name}: of = "label" needs a labels file; give --labels')
    return encode_targets(head, examples.labels[head.name])
