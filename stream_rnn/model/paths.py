"""Paths of event fields: the names of nested objects and of the field, separated by dots.

A name that contains a dot, is empty or begins with a quotation mark is quoted as a key of TOML is:
``attributes."http.status_code"`` or ``attributes.'http.status_code'``.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

from stream_rnn.errors import PathError

PATH_LENGTH_MAX = 256
_QUOTES = ('"', "'")


@lru_cache(maxsize=4096)
def split_path(path: str) -> tuple[str, ...]:
    r"""Split a path into names.

    Raises:
        PathError: A name is empty without being quoted, or a quotation mark is not closed.

    Example:
        >>> split_path('attributes."http.status_code"')
        ('attributes', 'http.status_code')
        >>> split_path('\'a"b\'."c\\"d".driver\'s')
        ('a"b', 'c"d', "driver's")
    """
    names: list[str] = []
    at = 0
    while True:
        name, at = _read_name(path, at)
        names.append(name)
        if at == len(path):
            return tuple(names)
        if path[at] != ".":
            raise PathError(f"path {path}: a dot must follow the quoted name {name!r}")
        at += 1


def join_path(names: Sequence[str]) -> str:
    r"""Join names to a path; :func:`split_path` is the inverse.

    Example:
        >>> join_path(["attributes", "http.status_code"]), join_path(["a", "b"])
        ('attributes."http.status_code"', 'a.b')
    """
    return ".".join(map(_quote, names))


def is_prefix(parent: str, path: str) -> bool:
    """Return whether a path leads through the object at another path, its parent.

    Example:
        >>> (
        ...     is_prefix("a", "a.b"),
        ...     is_prefix("a", 'a."b.c"'),
        ...     is_prefix("a", "ab"),
        ...     is_prefix("a", "a"),
        ... )
        (True, True, False, False)
    """
    parents, names = split_path(parent), split_path(path)
    return len(parents) < len(names) and names[: len(parents)] == parents


def _read_name(path: str, at: int) -> tuple[str, int]:
    """Return the name that begins at an index of a path, and the index after it."""
    quote = path[at : at + 1]
    if quote not in _QUOTES:
        end = path.find(".", at)
        end = len(path) if end < 0 else end
        if end == at:
            raise PathError(
                f"path {path}: a name is empty; write a name that contains a dot in quotation "
                'marks, as in attributes."http.status_code"'
            )
        return path[at:end], end
    end = at + 1
    while end < len(path) and path[end] != quote:
        end += 2 if path[end] == "\\" and quote == '"' else 1
    if end >= len(path):
        raise PathError(f"path {path}: the quotation mark {quote} at {at + 1} is not closed")
    text = path[at + 1 : end]
    return text if quote == "'" else _unescape(path, text), end + 1


def _unescape(path: str, text: str) -> str:
    r"""Resolve the escapes of a name in double quotes: ``\"``, ``\\``, ``\n``, ``\u00e4``."""
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        message = f'path {path}: "{text}" contains an unknown escape; write a backslash as \\\\'
        raise PathError(message) from None


def _quote(name: str) -> str:
    if name and "." not in name and not name.startswith(_QUOTES):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _canonical(path: str) -> str:
    """Return a path as :func:`join_path` writes it, so that equal paths are equal texts."""
    return join_path(split_path(path))


PATH = Annotated[str, Field(min_length=1, max_length=PATH_LENGTH_MAX), AfterValidator(_canonical)]
"""Type of a path in the feature spec."""
