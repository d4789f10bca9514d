"""Two columns of the same entities, such as sender and receiver, of which each may be the key."""

from collections.abc import Sequence

import polars as pl

from stream_rnn.spec.columns import Column

ENTITIES_MIN = 3
SHARED_MIN = 0.5  # share of all values of two columns that both have
EQUAL_MAX = 0.5  # share of rows with equal values, above which one column repeats the other
DENSE = 10  # integers below this multiple of their number are counts, of which columns share many


def find_twin(column: Column, others: Sequence[Column]) -> Column | None:
    """Return a column with the same vocabulary as another one; ``None`` for none.

    A row of such a table is an event of two entities: a match of two teams, a transfer between
    two accounts.

    Args:
        column: Column that is likely the key.
        others: Other columns that may be the key.
    """
    return next(
        (other for other in others if other is not column and _are_twins(column, other)), None
    )


def _are_twins(one: Column, two: Column) -> bool:
    if min(one.distinct, two.distinct) < ENTITIES_MIN or _is_dense(one) or _is_dense(two):
        return False
    values, others = set(one.words.drop_nulls()), set(two.words.drop_nulls())
    if len(values & others) < SHARED_MIN * len(values | others):
        return False
    both = pl.DataFrame({"one": one.words, "two": two.words}).drop_nulls()
    return bool(len(both)) and (both["one"] == both["two"]).sum() < EQUAL_MAX * len(both)


def _is_dense(column: Column) -> bool:
    """Return whether whole numbers are so small that other columns share them by chance."""
    if column.kind == "text":
        return False
    return float(column.numbers.max()) < DENSE * column.distinct
