"""The encoder, which turns columns of event fields into x (N, F)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.errors import CorruptStateError, FeatureError
from stream_rnn.model.features import (
    Boolean,
    Calendar,
    Feature,
    FeatureSpec,
    Numeric,
    SincePrevious,
    column_names,
    embedded_of,
    is_lag,
)
from stream_rnn.model.vector import Vector
from stream_rnn.model.word_lists import MultiCategorical
from stream_rnn.model.words import Categorical, Hashed, indexes_of, to_words

DAY_MS = 86_400_000
FLOAT32_MAX = float(np.finfo(np.float32).max)


class Encoder:
    """Encodes columns of event fields as x (N, F).

    A category is encoded as its index, as a float; the network looks up its embedding.

    Attributes:
        names: Names of the F columns of x.
        feature_count: Number of columns of x, F.
        lag_columns: (E,) Columns of the features with ``lag = true``.
        lag_missing: (E,) Their values at an event without a previous event, as for missing fields.
        lag_index_max: (E,) Their greatest index; infinite for a column of numbers.

    Invariant: the bits of a row do not depend on other rows (``tests/unit/test_features.py``).
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        self._indexes: dict[str, dict[str, int]] = {
            feature.name: {word: i for i, word in enumerate(feature.vocabulary or (), 1)}
            for feature in spec.features
            if isinstance(feature, Categorical | MultiCategorical)
        }
        self.names = tuple(name for feature in spec.features for name in column_names(feature))
        self.feature_count = len(self.names)
        lags = [is_lag(feature) for feature in spec.features for _ in column_names(feature)]
        self.lag_columns = np.flatnonzero(lags)
        self.lag_missing = self._encode_missing(spec)
        self.lag_index_max = np.array(
            [
                np.inf if (words := embedded_of(feature)) is None else words.index_max
                for feature in spec.features
                if is_lag(feature)
                for _ in column_names(feature)
            ],
            np.float32,
        )

    def encode(
        self, columns: Mapping[str, Sequence[Any]], time_ms: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], dict[int, FeatureError]]:
        """Encode N events, except for what depends on the previous event of the key.

        The columns of a feature with ``lag = true`` encode the event's own value, which
        :meth:`fill_lags` replaces.

        Args:
            columns: N values for the path of each feature.
            time_ms: Event times (N,), in milliseconds since 1970.

        Returns:
            x (N, F), and the error of each row that cannot be encoded, whose x is all zeros.
        """
        errors: dict[int, FeatureError] = {}
        x = np.zeros((len(time_ms), self.feature_count), np.float32)
        at = 0
        for feature in self._spec.features:
            for column in self._columns(feature, columns, time_ms, errors):
                with np.errstate(over="ignore"):
                    x[:, at] = column
                at += 1
        assert at == self.feature_count
        for row in np.flatnonzero(~np.isfinite(x).all(axis=1)).tolist():
            name = self.names[int(np.argmin(np.isfinite(x[row])))]
            message = f"{name}: the scaled value is not finite as float32"
            errors.setdefault(row, FeatureError("not_finite", message))
        if errors:
            x[list(errors)] = 0
        return x, errors

    def fill_since_previous(self, x: NDArray[np.float32], since_ms: NDArray[np.float64]) -> None:
        """Write the time since the previous event to x (N, F), in place.

        Args:
            x: Encoded events (N, F).
            since_ms: Milliseconds (N,) since the previous event of the key; NaN for none.
        """
        at = 0
        for feature in self._spec.features:
            if isinstance(feature, SincePrevious):
                cold = np.isnan(since_ms)
                scaled = feature.scale(np.where(cold, 0.0, since_ms) / 1000)
                x[:, at] = np.where(cold, 0.0, scaled)
                x[:, at + 1] = cold
            at += len(column_names(feature))

    def fill_lags(self, x: NDArray[np.float32], previous: NDArray[np.float32]) -> None:
        """Write the values of the previous events to the columns of lags in x (N, F), in place.

        Args:
            x: Encoded events (N, F).
            previous: These columns (N, E) of the previous event of each key, or ``lag_missing``.
        """
        x[:, self.lag_columns] = previous

    def check_lags(self, tails: NDArray[np.float32]) -> None:
        """Check that stored tails (N, E) have indexes where the network looks up embeddings.

        Raises:
            CorruptStateError: A number is no such index.
        """
        is_index = np.isfinite(self.lag_index_max)
        indexes = tails[:, is_index]
        fits = (indexes >= 0) & (indexes <= self.lag_index_max[is_index])
        if not (fits & (indexes == np.floor(indexes))).all():
            message = "the tail of a hidden state contains a number that is no row of its embedding"
            raise CorruptStateError(message)

    def _encode_missing(self, spec: FeatureSpec) -> NDArray[np.float32]:
        """Encode a missing field (E,) for each feature with ``lag = true``."""
        nothing: dict[int, FeatureError] = {}
        no_time = np.zeros(1, np.int64)
        columns = [
            column
            for feature in spec.features
            if is_lag(feature)
            for column in self._columns(feature, _NoFields(), no_time, nothing)
        ]
        return np.array(columns, np.float64).astype(np.float32).reshape(-1)

    def _columns(
        self,
        feature: Feature,
        columns: Mapping[str, Sequence[Any]],
        time_ms: NDArray[np.int64],
        errors: dict[int, FeatureError],
    ) -> Iterator[NDArray[Any]]:
        match feature:
            case Numeric():
                yield from _numeric(feature, columns[feature.path], errors)
            case Categorical() | Hashed() | MultiCategorical():
                values = columns[feature.path]
                _refuse_missing(feature, values, errors)
                yield from self._indexes_of(feature, values)
            case Boolean():
                values = columns[feature.path]
                _refuse_missing(feature, values, errors)
                yield np.array([v is True for v in values], np.float64)
                if feature.missing == "indicator":
                    yield np.array([v is None for v in values], np.float64)
            case Vector():
                yield from _vector(feature, columns[feature.path], errors)
            case SincePrevious():
                yield np.zeros(len(time_ms))
                yield np.zeros(len(time_ms))
            case Calendar():
                yield from _calendar(feature, time_ms)

    def _indexes_of(
        self, feature: Categorical | Hashed | MultiCategorical, values: Sequence[Any]
    ) -> Iterator[NDArray[np.float64]]:
        known = self._indexes.get(feature.name, {})
        if isinstance(feature, MultiCategorical):
            yield from feature.indexes(values, known).T
        else:
            yield indexes_of(to_words(values), feature, known)


class _NoFields(dict[str, Sequence[Any]]):
    """The columns of one event in which every field is missing."""

    def __missing__(self, path: str) -> Sequence[Any]:
        return [None]


def _numeric(
    feature: Numeric, values: Sequence[Any], errors: dict[int, FeatureError]
) -> Iterator[NDArray[Any]]:
    try:
        raw = np.array(values, np.float64)
    except OverflowError:  # an integer beyond float64
        raw = np.array([_float(value) for value in values], np.float64)
    missing = np.isnan(raw)
    _refuse_missing(feature, values, errors)
    for row in np.flatnonzero(np.abs(raw) > FLOAT32_MAX).tolist():
        message = f"{feature.path}: the value is not finite as float32"
        errors.setdefault(row, FeatureError("not_finite", message))
    raw = np.where(np.isfinite(raw), raw, 0.0)
    yield np.where(missing, feature.filler, feature.scale(raw))
    if feature.missing == "indicator":
        yield missing


def _vector(
    feature: Vector, values: Sequence[Any], errors: dict[int, FeatureError]
) -> Iterator[NDArray[Any]]:
    raw = feature.matrix(values)  # (N, L)
    missing = np.isnan(raw)
    _refuse_missing(feature, values, errors)
    if feature.missing == "error":
        for row, place in zip(*np.nonzero(missing), strict=True):
            message = f"{feature.path}: place {place} is missing"
            errors.setdefault(int(row), FeatureError("missing", message))
    for row, place in zip(*np.nonzero(np.abs(raw) > FLOAT32_MAX), strict=True):
        message = f"{feature.path}: place {place} is not finite as float32"
        errors.setdefault(int(row), FeatureError("not_finite", message))
    yield from feature.scale(np.where(np.abs(raw) > FLOAT32_MAX, 0.0, raw)).T
    if feature.missing == "indicator":
        yield missing.sum(axis=1) / feature.length


def _float(value: Any) -> float:
    try:
        return np.nan if value is None else float(value)
    except OverflowError:
        return np.inf


def _refuse_missing(
    feature: Numeric | Categorical | Boolean | Vector | Hashed | MultiCategorical,
    values: Sequence[Any],
    errors: dict[int, FeatureError],
) -> None:
    if feature.missing == "error" and None in values:
        for row, value in enumerate(values):
            if value is None:
                message = f"{feature.path}: the value is missing"
                errors.setdefault(row, FeatureError("missing", message))


def _calendar(feature: Calendar, time_ms: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    # 1970-01-01 was a Thursday, the third day after a Monday.
    weekday = ((time_ms // DAY_MS + 3) % 7) / 7
    turn = (time_ms % DAY_MS) / DAY_MS if feature.unit == "hour" else weekday
    yield np.sin(2 * np.pi * turn)
    yield np.cos(2 * np.pi * turn)
