"""The records of a micro-batch that were read column by column, and those that were not."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray


class ColumnarRecords(NamedTuple):
    """The records of a micro-batch that were read column by column.

    Attributes:
        rows: N rows, ascending.
        columns: N values of each field, by its path.
        times: (N,) Numbers of the event time, if these are all records, and all have one.
    """

    rows: Sequence[int]
    columns: dict[str, list[Any]]
    times: NDArray[Any] | None = None


def merge(
    rows: Sequence[int],
    columns: Mapping[str, Sequence[Any]],
    other_rows: Sequence[int],
    other_columns: Mapping[str, Sequence[Any]],
) -> tuple[list[int], dict[str, list[Any]]]:
    """Merge the events of two groups of rows, in the order of the rows."""
    both = [*rows, *other_rows]
    order = sorted(range(len(both)), key=both.__getitem__)
    joined = {path: [*column, *other_columns[path]] for path, column in columns.items()}
    return (
        [both[i] for i in order],
        {path: [column[i] for i in order] for path, column in joined.items()},
    )
