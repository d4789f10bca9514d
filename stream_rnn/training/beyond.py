"""Values far beyond those of the training part, where no network has learned anything."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.features import Feature, FeatureSpec, Numeric, SincePrevious, is_lag
from stream_rnn.model.scaled import Fitted, Transformed
from stream_rnn.model.vector import Vector
from stream_rnn.model.word_lists import MultiCategorical
from stream_rnn.model.words import Categorical, Hashed, to_word
from stream_rnn.text import format_number

OUTSIDE_SHARE = 0.05  # of the values outside of the range
FAR_STDS, FAR_SHARE = 10.0, 0.001  # outside by more standard deviations than this
UNKNOWN_SHARE = 0.2  # of the words that the network does not know
VALUES_MIN = 20

Columns = Mapping[str, Sequence[Any]]
Words = Categorical | Hashed | MultiCategorical


def find_beyond(
    spec: FeatureSpec,
    columns: Columns,
    since_s: NDArray[np.float64],
    where: str,
    trained: Columns | None = None,
) -> list[str]:
    """Return a sentence for each feature whose values are far beyond those of the training part.

    A number is compared with the range that training has fitted.

    Args:
        spec: Fitted feature spec.
        columns: N values for the path of each feature.
        since_s: Seconds (N,) since the previous event of the key; NaN for none.
        where: Name of the events, such as ``the test part``.
        trained: Values of the training part, whose words the network knows; ``None`` takes the
            vocabulary instead.
    """
    plain = {getattr(f, "path", "") for f in spec.features if not is_lag(f)}
    sentences = []
    for feature in spec.features:
        if is_lag(feature) and getattr(feature, "path", "") in plain:
            continue  # the same values, one event later
        if text := _describe(feature, columns, since_s, where, trained):
            sentences.append(f"feature {feature.name}: {text}")
    return sentences


def _describe(
    feature: Feature,
    columns: Columns,
    since_s: NDArray[np.float64],
    where: str,
    trained: Columns | None,
) -> str:
    match feature:
        case Numeric():
            values = np.asarray(columns[feature.path], np.float64)
            return _outside(feature, feature.fitted, values, where)
        case SincePrevious():
            return _outside(feature, feature.fitted, since_s, where)
        case Vector():
            matrix = feature.matrix(list(columns[feature.path]))
            places = enumerate(feature.fitted or ())
            texts = [_outside(feature, fitted, matrix[:, i], where) for i, fitted in places]
            found = [(place, text) for place, text in enumerate(texts) if text]
            return (
                f"place {found[0][0]} of {len(found)} such places: {found[0][1]}" if found else ""
            )
        case Categorical() | Hashed() | MultiCategorical():
            return _unknown(feature, columns[feature.path], where, trained)
        case _:
            return ""


def _outside(
    feature: Transformed, fitted: Fitted | None, values: NDArray[np.float64], where: str
) -> str:
    """Return how many values lie outside of the range of the training part; empty if few do."""
    values = feature.transform(values[np.isfinite(values)])
    if fitted is None or len(values) < VALUES_MIN:
        return ""
    low, high = _range(feature, fitted)
    distance = np.maximum(low - values, values - high)
    outside, far = float((distance > 0).mean()), float((distance > FAR_STDS * fitted.std).mean())
    if outside < OUTSIDE_SHARE and far < FAR_SHARE:
        return ""
    ends = np.array([low, high, values[np.argmax(distance)]])
    if feature.scaling == "log":
        ends = np.copysign(np.expm1(np.abs(ends)), ends)
    first, last, farthest = (format_number(float(end)) for end in ends)
    share = f"{outside:.0%}" if outside >= 0.01 else f"{outside:.1%}"
    return (
        f"{share} of its values in {where} lie outside of {first} to {last}, the range of the "
        f"training part, the farthest at {farthest}: the network has learned nothing there; choose "
        "a feature that stays in its range, such as a change instead of a level, or train on a log "
        "that has such values"
    )


def _range(feature: Transformed, fitted: Fitted) -> tuple[float, float]:
    """Return the range of the training part; of imported weights, it follows from the deviation."""
    unknown = Fitted()
    if (fitted.min, fitted.max) == (unknown.min, unknown.max) and feature.scaling != "minmax":
        return fitted.mean - FAR_STDS * fitted.std, fitted.mean + FAR_STDS * fitted.std
    return fitted.min, fitted.max


def _unknown(feature: Words, column: Sequence[Any], where: str, trained: Columns | None) -> str:
    """Return how many words the network does not know; empty if few."""
    if trained is not None:
        known = set(_words_of(feature, trained[feature.path]))
        reason = "do not occur in the training part"
    else:
        known = set(getattr(feature, "vocabulary", None) or ())
        reason = "are not in its vocabulary"
    words = _words_of(feature, column)
    unknown = [word for word in words if word not in known]
    if not known or len(words) < VALUES_MIN or len(unknown) < UNKNOWN_SHARE * len(words):
        return ""
    return (
        f"{len(unknown) / len(words):.0%} of its values in {where} {reason}, such as "
        f"{unknown[0]!r:.40}: the network has learned nothing about them; choose a feature whose "
        "values return, or train on a log that has them"
    )


def _words_of(feature: Words, column: Sequence[Any]) -> list[str]:
    lists = column if isinstance(feature, MultiCategorical) else [(value,) for value in column]
    return [to_word(word) for words in lists for word in words or () if word is not None]
