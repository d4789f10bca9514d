"""What is worth a warning before training: not wrong, but hardly meant."""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.model.features import Boolean, Categorical, Feature, FeatureSpec, Numeric
from stream_rnn.model.heads import AnyHead, Binary, Multiclass
from stream_rnn.training.examples import Examples, as_floats, own_targets, targets
from stream_rnn.training.leakage import find_leaks

LATE_SHARE = 0.05
UNKNOWN_SHARE = 0.01
NAMED = 5  # of many classes, so many are named


def check_examples(
    spec: FeatureSpec, examples: Examples, partition: NDArray[np.int32] | None = None
) -> list[str]:
    """Return warnings about a fitted spec and its examples, as sentences.

    Args:
        spec: fitted.
        examples: N events, partition by partition.
        partition: (N,) source partitions; ``None``: all are of one.
    """
    train = np.flatnonzero(examples.part == 0)
    return [
        *_check_times(examples.time_ms, partition),
        *(text for feature in spec.features for text in _check_feature(feature, examples, train)),
        *_check_heads(spec, examples, train),
        *find_leaks(spec, examples),
    ]


def _check_times(times: NDArray[np.int64], partition: NDArray[np.int32] | None) -> list[str]:
    begins = np.zeros(0, np.intp) if partition is None else np.flatnonzero(np.diff(partition)) + 1
    latest = [np.maximum.accumulate(of_one) for of_one in np.split(times, begins)]
    late = float((times < np.concatenate(latest)).mean())
    if late <= LATE_SHARE:
        return []
    text = (
        f"{late:.0%} of the events are earlier than one before them: rows are taken as the stream's "
        "order, and stream time never goes back; sort the log by time, stably, if it was not meant"
    )
    return [text]


def _check_feature(feature: Feature, examples: Examples, train: NDArray[np.intp]) -> list[str]:
    if not isinstance(feature, Numeric | Categorical | Boolean):
        return []
    column = examples.columns[feature.path]
    if isinstance(feature, Numeric):
        values = as_floats(column)[train]
        known = values[np.isfinite(values)]
        distinct = len(np.unique(known))
    else:
        words = [column[i] for i in train.tolist()]
        present = [word for word in words if word is not None]
        known, distinct = np.zeros(len(present)), len(set(present))
        if isinstance(feature, Categorical) and present:
            named = set(feature.vocabulary)
            unknown = np.mean([_word(word) not in named for word in present])
            if unknown > 0.5:
                text = (
                    f"feature {feature.name}: {unknown:.0%} of the values of {feature.path} in the "
                    "training part are not in its vocabulary"
                )
                return [text]
    if not len(known):
        return [f"feature {feature.name}: {feature.path} is missing in the whole training part"]
    if distinct == 1 and len(known) == len(train):
        return [f"feature {feature.name}: {feature.path} is constant in the training part"]
    return []


def _check_heads(spec: FeatureSpec, examples: Examples, train: NDArray[np.intp]) -> list[str]:
    found = []
    for head in spec.heads:
        target = targets(head, examples)[train]
        known = target[np.isfinite(target)]
        if not len(known):
            found.append(
                f"head {head.name}: no event of the training part has a label{_unfit(head, examples)}"
            )
        elif isinstance(head, Binary) and known.min() == known.max():
            answer = "yes" if known[0] > 0 else "no"
            found.append(f"head {head.name}: the answer is {answer} in the whole training part")
        elif isinstance(head, Multiclass):
            found += _check_classes(head, examples, known)
    return found


def _unfit(head: AnyHead, examples: Examples) -> str:
    """Show a value that the head cannot learn, where there are nothing but such values."""
    values = [value for value in examples.labels.get(head.name, ()) if value is not None]
    if not values or np.isfinite(own_targets(head, examples)).any():
        return ""
    takes = "a number"
    if isinstance(head, Multiclass):
        named = ", ".join(map(repr, head.classes[:NAMED]))
        takes = f"one of its classes {named}{', ...' if len(head.classes) > NAMED else ''}"
    elif isinstance(head, Binary) and head.above is None:
        takes = "true or false"
    return f": {head.path} is {values[0]!r} in the first of {len(values)}, it takes {takes}"


def _check_classes(head: Multiclass, examples: Examples, known: NDArray[np.float64]) -> list[str]:
    found = []
    counts = np.bincount(known.astype(np.int64), minlength=head.width)
    never = [label for label, count in zip(head.labels, counts.tolist(), strict=True) if not count]
    if never:
        more = f" and {len(never) - NAMED} more" if len(never) > NAMED else ""
        names = ", ".join(map(repr, never[:NAMED]))
        found.append(f"head {head.name}: classes never seen in the training part: {names}{more}")
    present = np.array([value is not None for value in examples.labels[head.name]])
    unknown = float((present & ~np.isfinite(own_targets(head, examples))).mean())
    if unknown > UNKNOWN_SHARE:
        found.append(
            f"head {head.name}: {unknown:.0%} of the events have a value of {head.path} that is none "
            "of its classes, so what comes before them has no label"
        )
    return found


def _word(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
