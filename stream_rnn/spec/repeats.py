"""Columns that repeat a target: named in a comment, because they may contain what is predicted.

The check warns and proves nothing, as that of training does, which sees only features that a spec
has: a column that repeats a target under another name is easy to overlook there.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stream_rnn.spec.column_roles import Role
from stream_rnn.spec.columns import Column, Pairs
from stream_rnn.spec.names import split_words, words

SUSPICIOUS = 0.999
ROWS_MIN = 50
CLASSES_SHARE_MAX = 0.1  # of the rows; a column of more values determines every other one
MAJORITY_MAX = 0.99
DERIVED_WORDS = words(
    "encoded enc encoding label labels class next lead future target pred predicted prediction "
    "forecast scaled norm normalized copy bin binned log mean smoothed"
)


def describe_repeats(
    column: Column, role: Role, target: Column, target_role: Role, pairs: Pairs, *, is_now: bool
) -> Iterator[str]:
    """Yield why a feature may contain a target, without a full stop.

    Args:
        column: Column of a feature.
        role: Its role.
        target: Column of a target.
        target_role: Its role.
        pairs: Successive events of one key.
        is_now: Whether the target is the value of the event itself.
    """
    if column is target or column.arrays is not None:
        return
    rows = np.arange(len(column.values))
    now = _evidence(column, role, target, target_role, rows, rows)
    if now:
        remedy = ": leave it out, for it shows the answer" * is_now
        yield f"it repeats the target {target.path} of the same event ({now}){remedy}"
    before, after = pairs.before, pairs.after
    ahead = _evidence(column, role, target, target_role, before, after)
    if (
        ahead
        and not is_now
        and not _evidence(target, target_role, target, target_role, before, after)
    ):
        yield (
            f"it determines {target.path} of the next event ({ahead}): leave it out if it is known "
            "only later"
        )
    elif not now and _is_derived(column, target):
        yield (
            f"by its name, it may be made of the target {target.path}: leave it out if it is known "
            "only later"
        )


def _evidence(
    column: Column,
    role: Role,
    target: Column,
    target_role: Role,
    rows: NDArray[np.int64],
    target_rows: NDArray[np.int64],
) -> str:
    """Return how well one column at some rows predicts the other one; empty if not suspicious."""
    if role.kind in ("numeric", "flag") and target_role.kind in ("numeric", "flag"):
        return _correlation(column.floats[rows], target.floats[target_rows])
    if role.kind == "numeric" or target_role.kind == "numeric":
        return ""
    return _accuracy(_codes(column)[rows], _codes(target)[target_rows])


def _correlation(values: NDArray[np.float64], targets: NDArray[np.float64]) -> str:
    known = np.isfinite(values) & np.isfinite(targets)
    values, targets = values[known], targets[known]
    if len(values) < ROWS_MIN or not np.ptp(values) or not np.ptp(targets):
        return ""
    with np.errstate(all="ignore"):
        found = float(np.corrcoef(values, targets)[0, 1])
    return f"correlation {found:.4f}" if abs(found) >= SUSPICIOUS else ""


def _accuracy(values: NDArray[np.int64], targets: NDArray[np.int64]) -> str:
    known = (values > 0) & (targets > 0)
    values, targets = values[known], targets[known]
    if len(values) < ROWS_MIN or len(np.unique(values)) > CLASSES_SHARE_MAX * len(values):
        return ""
    if np.bincount(targets).max() > MAJORITY_MAX * len(targets):
        return ""
    pairs, counts = np.unique(np.stack([values, targets]), axis=1, return_counts=True)
    best = np.zeros(int(values.max()) + 1, np.int64)
    np.maximum.at(best, pairs[0], counts)
    share = float(best.sum() / len(values))
    return f"accuracy {share:.4f}" if share >= SUSPICIOUS else ""


def _codes(column: Column) -> NDArray[np.int64]:
    return column.words.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _is_derived(column: Column, target: Column) -> bool:
    """Return whether a name is that of the target with a word such as ``encoded``."""
    names, wanted = split_words(column.parts[-1]), split_words(target.parts[-1])
    more = names - wanted
    return bool(wanted) and wanted <= names and bool(more) and more <= DERIVED_WORDS
