"""JSON, tables and sentences on standard output; no number is broken over two lines."""

import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 2_000  # columns; wider than any row
_GLUED = re.compile(r"(?<=\d) (?=(?:ms|s|min|h|d|kB|MB|GB|%)(?:\W|$))|(?<=\w) (?=to \S)|(?<= to) ")


def print_json(content: Any) -> None:
    """Print one line of JSON; arrays of numpy are lists of numbers."""
    sys.stdout.write(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def output_console() -> Console:
    """Return a console on standard output, which wraps no line if that is a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def print_table(
    console: Console, titles: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1
) -> None:
    r"""Print a table, or each row as a list of its cells if the terminal is too narrow for the table.

    Args:
        console: Console to print on.
        titles: Titles of the columns.
        rows: Cells; ``\n`` separates the lines of a cell, for example a value from its interval.
        texts: Number of columns on the left that name the row; the other columns contain numbers.
    """
    table = Table(box=None, header_style="", pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(Text(title), justify="left" if index < texts else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    wide = console.options.update(width=PIPE_WIDTH)
    if Measurement.get(console, wide, table).maximum <= console.width:
        console.print(table)
        return
    width = max(map(len, titles[texts:]), default=0)
    for row in rows:
        console.print(Text("  ".join(row[:texts])), soft_wrap=True)
        for title, cell in zip(titles[texts:], row[texts:], strict=True):
            first, *more = cell.split("\n")
            interval = "".join(f" ({line})" for line in more if line)
            console.print(Text(f"  {title:{width}}  {first}{interval}"), soft_wrap=True)


def format_skipped(skipped: Mapping[str, int]) -> str:
    """Return the numbers of skipped records by reason, the commonest first, for people.

    Example:
        >>> format_skipped({"missing": 3, "not_json": 1200}), format_skipped({})
        ('skipped 1,200 not_json, 3 missing', 'skipped none')
    """
    ranked = sorted(skipped.items(), key=lambda item: -item[1])
    return f"skipped {', '.join(f'{count:,} {code}' for code, count in ranked) or 'none'}"


def print_note(console: Console, note: str, style: str = "") -> None:
    """Print a line about the progress of a verb; only the terminal wraps it, so it can be copied."""
    console.print(Text(note, style), soft_wrap=True)


def print_text(console: Console, text: str, indent: str = "", lead: str = "") -> None:
    """Print a sentence, wrapped between words.

    Args:
        console: Console to print on.
        text: The sentence.
        indent: Indentation of all lines but the first.
        lead: Text before the sentence, with styles in rich's markup.
    """
    styled = Text.from_markup(lead)
    glued = _GLUED.sub("\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(
        glued,
        max(20, console.width),
        initial_indent=" " * styled.cell_len,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for number, line in enumerate(lines):
        plain = Text(line.replace("\N{NO-BREAK SPACE}", " "))
        if not number:
            plain = styled + plain[styled.cell_len :]
        console.print(plain, soft_wrap=True)
