"""Values of JSON that ``parse = true`` reads: numbers and booleans that are written as texts."""

import re
from typing import Any

from stream_rnn.text import printable

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_TEXT_MAX = 40
_INTEGER_BITS_MAX = 128


def parse_number(text: str) -> int | float | None:
    """Return the number that a text is, ``None`` if it is empty; integers are exact.

    Raises:
        ValueError: The text is no decimal number; "nan", "inf", "1_000" and "0x1f" are none.

    Example:
        >>> parse_number(" 12.50 "), parse_number("1767225600000000001"), parse_number("-.5e2")
        (12.5, 1767225600000000001, -50.0)
    """
    trimmed = text.strip()
    if not trimmed:
        return None
    if _INTEGER.fullmatch(trimmed):
        return int(trimmed)
    if not _NUMBER.fullmatch(trimmed):
        raise ValueError(f"the text {show(text)} is not a number")
    return float(trimmed)


def read_number(value: Any) -> Any:
    """Return the number that a text is; return every other value as it is.

    Raises:
        ValueError: The value is a text, but no number.
    """
    return parse_number(value) if isinstance(value, str) else value


def read_boolean(value: Any) -> Any:
    """Return the boolean that 0, 1 or a text is; return every other value as it is.

    Raises:
        ValueError: The value is a number or a text, but no boolean.

    Example:
        >>> [read_boolean(value) for value in (True, 0, 1.0, "true", "0", "")]
        [True, False, True, True, False, None]
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word and word not in _BOOLEANS:
            raise ValueError(f"the text {show(value)} is not a boolean")
        return _BOOLEANS.get(word)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value not in (0, 1):
            raise ValueError(f"the number {show(value)} is not a boolean")
        return bool(value)
    return value


def show(value: object) -> str:
    """Return a value of a record for a message: short and printable, a text in quotation marks.

    Example:
        >>> show("12,5"), show(7), show(9**999)
        ('"12,5"', '7', 'a number of 3167 bits')
    """
    if isinstance(value, str):
        return f'"{printable(value, _TEXT_MAX)}"'
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS_MAX:
        return f"a number of {value.bit_length()} bits"
    return printable(str(value), _TEXT_MAX)
