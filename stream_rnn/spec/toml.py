"""A TOML document of tables with comments, its values written by tomlkit."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tomlkit

from stream_rnn.errors import ConfigError
from stream_rnn.text import visible

LINE_MAX = 98


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
    """Write blocks one after another, an empty line between them.

    Raises:
        ConfigError: a text holds half of a surrogate pair, which no TOML can.
    """
    return "\n".join(_block(block) for block in blocks)


def comment(text: str) -> str:
    """Write a paragraph as lines of comment; nothing in it can end the comment."""
    lines = textwrap.wrap(visible(text), LINE_MAX, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def _block(block: Block) -> str:
    lines = [block.header] if block.header else []
    lines += [f"{key} = {_value(content)}" for key, content in block.values.items()]
    text = "".join(f"{line}\n" for line in lines)
    if block.is_offered:
        text = "".join(f"# {line}\n" for line in text.split("\n")[:-1])
    return "".join(comment(paragraph) for paragraph in block.why) + text


def _value(content: Any) -> str:
    """Write a value; a long array takes several lines, which tomlkit would not fill."""
    if isinstance(content, Mapping):
        table = tomlkit.inline_table()
        table.update(content)
        return "".join(map(_letter, table.as_string()))
    if isinstance(content, str | bool | int | float):
        return "".join(map(_letter, tomlkit.item(content).as_string()))
    items = [_value(item) for item in content]
    line = f"[{', '.join(items)}]"
    if len(line) <= LINE_MAX - 16:
        return line
    lines = [""]
    for item in items:
        if lines[-1] and len(lines[-1]) + len(item) > LINE_MAX - 4:
            lines.append("")
        lines[-1] += f" {item}," if lines[-1] else f"  {item},"
    return "\n".join(["[", *lines, "]"])


def _letter(letter: str) -> str:
    """Escape what tomlkit leaves as it is, and a terminal would act upon."""
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:
        raise ConfigError(f"a text holds U+{code:04X}, half of a surrogate pair: not UTF-8")
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
