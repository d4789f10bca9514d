"""Tables and sentences as wide as the terminal, in which no number is broken over two lines."""

import re
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 2_000  # columns; wider than any row
_GLUED = re.compile(r"(?<=\d) (?=(?:ms|s|min|h|d|kB|MB|GB|%)(?:\W|$))|(?<=\w) (?=to \S)|(?<= to) ")


def output() -> Console:
    """Return a console on standard output; a pipe has no width, so nothing is wrapped for it."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def show_table(
    console: Console, titles: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1
) -> None:
    r"""Print a table, or where the terminal is too narrow for it, each row as a list of its cells.

    Args:
        console: where to.
        titles: of the columns.
        rows: cells; those of several lines, such as a value and its interval, have ``\n``.
        texts: how many of the first columns name the row; the others hold numbers.
    """
    table = Table(box=None, header_style="", pad_edge=False)
    for place, title in enumerate(titles):
        table.add_column(Text(title), justify="left" if place < texts else "right", no_wrap=True)
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


def show_text(console: Console, text: str, indent: str = "", lead: str = "") -> None:
    """Print a sentence; ``lead``, with styles, is before it, and ``indent`` before its next lines."""
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
