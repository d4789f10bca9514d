"""A batch of the rows of a file."""

from typing import NamedTuple


class RowBatch(NamedTuple):
    """Rows of a file or a data frame, in order.

    Attributes:
        values: JSON of each row.
        keys: Key of each row; ``None`` if a part of it is missing.
        timestamps: Event time of each row in milliseconds; ``NO_TIMESTAMP`` if it is invalid.
    """

    values: list[bytes]
    keys: list[bytes | None]
    timestamps: list[int]
