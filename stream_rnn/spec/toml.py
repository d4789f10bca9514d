"""TOML as text with comments: what ``tomllib`` reads and nothing in the standard library writes."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_rnn.errors import ConfigError

LINE_MAX = 98
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f"} | {
    "\r": "\\r"
}


@dataclass(frozen=True, slots=True)
class Block:
    """A table of a TOML document and what is said about it.

    Attributes:
        header: the line that opens it, such as ``[[features]]``; empty: the top of the document.
        values: its keys, in order.
        why: comments above it, a paragraph each.
        is_offered: it is written as a comment, for somebody to take the ``#`` away.
    """

    header: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    why: Sequence[str] = ()
    is_offered: bool = False


def document(blocks: Sequence[Block]) -> str:
    """Write blocks one after another, an empty line between them."""
    return "\n".join(_block(block) for block in blocks)


def quote(text: str) -> str:
    r"""Write a string: what cannot be printed, controls and line separators too, is escaped.

    Raises:
        ConfigError: it holds half of a surrogate pair, which no TOML can.

    Example:
        >>> print(quote('a "b" \\ \x00'))
        "a \"b\" \\ \u0000"
    """
    return '"' + "".join(_ESCAPES.get(letter) or _letter(letter) for letter in text) + '"'


def comment(text: str) -> str:
    """Write a paragraph as lines of comment; nothing in it can end the comment."""
    lines = textwrap.wrap(printable(text), LINE_MAX, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def printable(text: str) -> str:
    """Return a text that can neither end a line nor steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def value(content: Any) -> str:
    """Write a value; a long array takes several lines.

    Example:
        >>> value({"path": "at", "unit": "ms"})
        '{path = "at", unit = "ms"}'
    """
    match content:
        case bool():
            return "true" if content else "false"
        case str():
            return quote(content)
        case int() | float():
            return repr(content)
        case Mapping():
            return "{" + ", ".join(f"{key} = {value(v)}" for key, v in content.items()) + "}"
        case _:
            return _array([value(item) for item in content])


def _array(items: Sequence[str]) -> str:
    line = "[" + ", ".join(items) + "]"
    if len(line) <= LINE_MAX - 16:
        return line
    lines, last = [], ""
    for item in items:
        if last and len(last) + len(item) > LINE_MAX - 4:
            lines.append(last)
            last = ""
        last += f" {item}," if last else f"  {item},"
    return "\n".join(["[", *lines, last, "]"])


def _letter(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:
        raise ConfigError(f"a text holds U+{code:04X}, half of a surrogate pair: not UTF-8")
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _block(block: Block) -> str:
    lines = [block.header] if block.header else []
    lines += [f"{key} = {value(content)}" for key, content in block.values.items()]
    text = "".join(f"{line}\n" for line in lines)
    if block.is_offered:
        text = "".join(f"# {line}\n" for line in text.split("\n")[:-1])
    return "".join(comment(paragraph) for paragraph in block.why) + text
