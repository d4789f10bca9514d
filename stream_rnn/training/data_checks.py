"""Checks of a log before training: warnings about valid data that is probably not intended."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.features import Boolean, Feature, FeatureSpec, Numeric
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile, Regression
from stream_rnn.model.vector import Vector
from stream_rnn.model.word_lists import MultiCategorical
from stream_rnn.model.words import Categorical, Hashed, to_word
from stream_rnn.text import format_number
from stream_rnn.training.beyond import OUTSIDE_SHARE, VALUES_MIN, find_beyond
from stream_rnn.training.examples import Examples, as_floats, chosen_values, own_targets, targets
from stream_rnn.training.leakage import find_leaks
from stream_rnn.training.splits import PART_NAMES

LATE_SHARE = 0.05
UNKNOWN_SHARE = 0.01
CLASSES_SHOWN = 5


def check_examples(
    spec: FeatureSpec, examples: Examples, partition: NDArray[np.int32] | None = None
) -> list[str]:
    """Return warnings about a fitted spec and its examples, as sentences.

    Args:
        spec: Fitted feature spec.
        examples: N events, partition by partition.
        partition: Source partitions (N,); ``None`` if all events are of one partition.
    """
    train = np.flatnonzero(examples.part == 0)
    return [
        *_check_times(examples.time_ms, partition),
        *(text for feature in spec.features for text in _check_feature(feature, examples, train)),
        *_check_heads(spec, examples, train),
        *find_leaks(spec, examples),
        *_check_held_out(spec, examples, train),
    ]


def _check_held_out(
    spec: FeatureSpec, examples: Examples, train: NDArray[np.intp]
) -> Iterator[str]:
    """Yield warnings about the part that is not trained on: the test part, or else validation."""
    number = 2 if (examples.part == 2).any() else 1
    rows, where = np.flatnonzero(examples.part == number), f"the {PART_NAMES[number]} part"
    of_part, of_train = (
        {path: chosen_values(column, chosen) for path, column in examples.columns.items()}
        for chosen in (rows, train)
    )
    yield from find_beyond(spec, of_part, examples.since_ms[rows] / 1000, where, of_train)
    for head in spec.heads:
        if not isinstance(head, Regression | Quantile):
            continue
        target = targets(head, examples)
        known, held_out = (t[np.isfinite(t)] for t in (target[train], target[rows]))
        if len(known) and len(held_out) >= VALUES_MIN:
            low, high = known.min(), known.max()
            outside = float(((held_out < low) | (held_out > high)).mean())
            if outside >= OUTSIDE_SHARE:
                yield (
                    f"head {head.name}: {outside:.0%} of its targets in {where} lie outside of "
                    f"{format_number(float(low))} to {format_number(float(high))}, the range of the "
                    "training part, where no network predicts well; predict a change instead of a "
                    "level, or train on a log that has such values"
                )


def _check_times(times: NDArray[np.int64], partition: NDArray[np.int32] | None) -> list[str]:
    begins = np.zeros(0, np.intp) if partition is None else np.flatnonzero(np.diff(partition)) + 1
    latest = [np.maximum.accumulate(of_partition) for of_partition in np.split(times, begins)]
    late = float((times < np.concatenate(latest)).mean())
    if late <= LATE_SHARE:
        return []
    text = (
        f"{late:.0%} of the events are earlier than an event before them; training takes events in "
        "the order of the log, and stream time never goes back: if the order is not intended, sort "
        "the log by time, with a stable sort"
    )
    return [text]


def _check_vector(feature: Vector, examples: Examples, train: NDArray[np.intp]) -> list[str]:
    matrix = feature.matrix(chosen_values(examples.columns[feature.path], train))
    with np.errstate(invalid="ignore"):
        spans = np.fmax.reduce(matrix, axis=0) - np.fmin.reduce(matrix, axis=0)
    missing, constant = np.isnan(spans), spans == 0
    if missing.all():
        return [f"feature {feature.name}: {feature.path} is missing in the whole training part"]
    return [
        f"feature {feature.name}: {which.sum()} of {feature.length} places of {feature.path} are "
        f"{what} in the training part, the first of them {np.argmax(which)}"
        for which, what in ((missing, "missing"), (constant, "constant"))
        if which.any()
    ]


def _check_feature(feature: Feature, examples: Examples, train: NDArray[np.intp]) -> list[str]:
    match feature:
        case Vector():
            return _check_vector(feature, examples, train)
        case Numeric():
            values = as_floats(examples.columns[feature.path])[train]
            present = values[np.isfinite(values)].tolist()
        case Categorical() | Boolean() | Hashed():
            chosen = chosen_values(examples.columns[feature.path], train)
            present = [value for value in chosen if value is not None]
        case MultiCategorical():
            lists = chosen_values(examples.columns[feature.path], train)
            present = [word for words in lists for word in words or () if word is not None]
        case _:
            return []
    distinct = len(set(present))
    if not present:
        return [f"feature {feature.name}: {feature.path} is missing in the whole training part"]
    if distinct == 1 and len(present) == len(train) and not isinstance(feature, MultiCategorical):
        return [f"feature {feature.name}: {feature.path} is constant in the training part"]
    return list(_check_words(feature, present, distinct))


def _check_words(feature: Feature, present: Sequence[Any], distinct: int) -> Iterator[str]:
    if isinstance(feature, Categorical | MultiCategorical) and feature.vocabulary:
        vocabulary = set(feature.vocabulary)
        unknown = np.mean([to_word(value) not in vocabulary for value in present])
        if unknown > 0.5:
            yield (
                f"feature {feature.name}: {unknown:.0%} of the values of {feature.path} in the "
                "training part are not in its vocabulary"
            )
    elif isinstance(feature, Hashed | MultiCategorical) and distinct > (feature.buckets or 0):
        yield (
            f"feature {feature.name}: {distinct} values of {feature.path} in the training part share "
            f"{feature.buckets} buckets, so that some mean the same to the network; raise buckets"
        )


def _check_heads(spec: FeatureSpec, examples: Examples, train: NDArray[np.intp]) -> list[str]:
    warnings = []
    for head in spec.heads:
        target = targets(head, examples)[train]
        known = target[np.isfinite(target)]
        if not len(known):
            warnings.append(
                f"head {head.name}: no event of the training part has a label"
                f"{_describe_unusable_values(head, examples)}"
            )
        elif isinstance(head, Binary) and known.min() == known.max():
            answer = "yes" if known[0] > 0 else "no"
            warnings.append(f"head {head.name}: the answer is {answer} in the whole training part")
        elif not isinstance(head, Multiclass) and known.min() == known.max():
            warnings.append(
                f"head {head.name}: the target is {format_number(float(known[0]))} in the whole "
                "training part, so there is nothing to learn"
            )
        elif isinstance(head, Multiclass):
            warnings += _check_classes(head, examples, known)
    return warnings


def is_constant(head: AnyHead, examples: Examples) -> bool:
    """Return whether a head's target has one value in the whole training part."""
    target = targets(head, examples)[examples.part == 0]
    known = target[np.isfinite(target)]
    return bool(len(known) and known.min() == known.max())


def _describe_unusable_values(head: AnyHead, examples: Examples) -> str:
    """Return an example of the head's values if it can learn from none of them; else no text."""
    values = [value for value in examples.labels.get(head.name, ()) if value is not None]
    if not values or np.isfinite(own_targets(head, examples)).any():
        return ""
    expected = "a number"
    if isinstance(head, Multiclass):
        names = ", ".join(map(repr, head.classes[:CLASSES_SHOWN]))
        more = ", ..." if len(head.classes) > CLASSES_SHOWN else ""
        expected = f"one of its classes {names}{more}"
    elif isinstance(head, Binary) and head.above is None:
        expected = "true or false"
    return f": the first of {len(values)} values of {head.path} is {values[0]!r}, not {expected}"


def _check_classes(head: Multiclass, examples: Examples, known: NDArray[np.float64]) -> list[str]:
    warnings = []
    counts = np.bincount(known.astype(np.int64), minlength=head.width)
    never = [label for label, count in zip(head.labels, counts.tolist(), strict=True) if not count]
    if never:
        more = f" and {len(never) - CLASSES_SHOWN} more" if len(never) > CLASSES_SHOWN else ""
        names = ", ".join(map(repr, never[:CLASSES_SHOWN]))
        warnings.append(f"head {head.name}: classes missing from the training part: {names}{more}")
    present = np.array([value is not None for value in examples.labels[head.name]])
    unknown = float((present & ~np.isfinite(own_targets(head, examples))).mean())
    if unknown > UNKNOWN_SHARE:
        warnings.append(
            f"head {head.name}: {unknown:.0%} of the events have a value of {head.path} that is "
            "not one of its classes, so the predictions of that value have no label"
        )
    return warnings
