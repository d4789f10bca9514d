"""Excel's first line ``sep=;`` of a delimited file, which names the delimiter and is no row."""

import re
from collections.abc import Iterable
from itertools import chain
from typing import IO

_SEP_LINE = re.compile(r"\ufeff?\"?sep=([^\w\s\"]|\t)?\"?\s*", re.IGNORECASE)


def named_delimiter(line: str) -> str | None:
    """Return the delimiter that a first line names; empty if it names none.

    Returns:
        ``None`` for a line that is a part of the table.

    Example:
        >>> named_delimiter("sep=;")
        ';'
        >>> named_delimiter("sep,of,columns") is None
        True
    """
    found = _SEP_LINE.fullmatch(line)
    return None if found is None else found[1] or ""


def peek_delimiter(text: IO[str]) -> tuple[str | None, Iterable[str]]:
    """Return what :func:`named_delimiter` says of the first line, and all lines with the first."""
    first = text.readline()
    return named_delimiter(first), chain([first], text) if first else text
