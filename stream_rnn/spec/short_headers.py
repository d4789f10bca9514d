"""Tables whose first line has a name too few: the cause, and the remedy."""

import re
from collections.abc import Sequence
from itertools import pairwise

from stream_rnn.model.file_format import BLANKS

ROWS_SHOWN_MAX = 1_000


def describe_short_header(
    rows: Sequence[Sequence[str]], usual: int, delimiter: str, line: int = 1
) -> str:
    """Return why the header has a name fewer than the lines below it, with the remedy.

    Args:
        rows: Fields of the header and of the lines below it.
        usual: Number of fields of these lines.
        delimiter: Delimiter between fields.
        line: Number of the line of the header.
    """
    start = (
        f"line {line}, the header, has {usual - 1} names, but line {line + 1} has {usual} fields: "
    )
    mark = {BLANKS: " ", "\t": "\\t"}.get(delimiter, delimiter)
    below = [row for row in rows[1:ROWS_SHOWN_MAX] if len(row) == usual]
    if all(row[-1] == "" for row in below):
        pattern = f"[{mark}]" if mark == "|" else mark
        return (
            f"{start}the lines below it end with a delimiter. Remove it: "
            f"sed -E '{line + 1},$s/{pattern}(\\r?)$/\\1/' LOG"
        )
    if any(_is_in_single_quotes(row) for row in below):
        return (
            f"{start}a text in single quotes contains {mark!r}. Put such texts into double quotes, "
            'as in "a, b"'
        )
    commas = (
        "the numbers have decimal commas, which also separate the fields. Export the file with "
        "another delimiter, such as ;, or with decimal points"
    )
    may_be_decimals = delimiter == "," and any(_may_be_decimals(below, i) for i in range(usual - 1))
    if not _are_row_names([row[0] for row in below]):
        other = "one name is missing, or a text contains the delimiter: put such texts into quotes"
        return f"{start}{commas if may_be_decimals else other}"
    more = f". Or {commas}" if may_be_decimals else ""
    return (
        f"{start}the first field is a name of the row, as R writes it, or one name is missing{more}. "
        f"Add a name for the first column: sed '{line}s/^/row{mark}/' LOG"
    )


def _is_in_single_quotes(row: Sequence[str]) -> bool:
    """Return whether a text in single quotes is cut into fields."""
    return any(
        one.strip().startswith("'") and two.strip().endswith("'") for one, two in pairwise(row)
    )


def _may_be_decimals(rows: Sequence[Sequence[str]], i: int) -> bool:
    """Return whether two neighbouring fields may be a number and its decimals."""
    return all(
        re.fullmatch(r"\s*[+-]?\d+", row[i]) and re.fullmatch(r"\d{1,6}\s*", row[i + 1])
        for row in rows
    )


def _are_row_names(names: Sequence[str]) -> bool:
    """Return whether the first fields are names of rows: each once, as numbers that count on."""
    if len(set(names)) < len(names):
        return False
    numbers = [int(name) for name in names if name.strip().isdecimal()]
    return len(numbers) < len(names) or numbers == sorted(numbers)
