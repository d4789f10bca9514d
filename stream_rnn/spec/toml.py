"""A TOML document of tables with comments; tomlkit writes the values."""

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
    """A table of a TOML document with the comments above it.

    Attributes:
        header: Line that opens the table, such as ``[[features]]``; empty for the top level.
        values: Keys and values of the table, in order.
        comments: Paragraphs of comment above the table.
        is_commented_out: Whether the table itself is written as a comment.
    """

    header: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    comments: Sequence[str] = ()
    is_commented_out: bool = False


def format_document(blocks: Sequence[Block]) -> str:
    """Return the blocks as a TOML document, with an empty line between them.

    Raises:
        ConfigError: A text contains half of a surrogate pair, which TOML cannot carry.
    """
    return "\n".join(_block(block) for block in blocks)


def format_comment(text: str) -> str:
    """Return a paragraph as comment lines; control characters are escaped, so none ends a line."""
    lines = textwrap.wrap(visible(text), LINE_MAX, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def _block(block: Block) -> str:
    lines = [block.header] if block.header else []
    lines += [f"{key} = {_value(content)}" for key, content in block.values.items()]
    text = "".join(f"{line}\n" for line in lines)
    if block.is_commented_out:
        text = "".join(f"# {line}\n" for line in text.split("\n")[:-1])
    return "".join(format_comment(paragraph) for paragraph in block.comments) + text


def _value(content: Any) -> str:
    """Return a value as TOML; break a long array into lines, which tomlkit cannot do."""
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
    """Escape a character that tomlkit leaves as it is and that could control a terminal."""
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:
        raise ConfigError(
            f"a text contains U+{code:04X}, half of a surrogate pair, which is not UTF-8; "
            "correct the log"
        )
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
