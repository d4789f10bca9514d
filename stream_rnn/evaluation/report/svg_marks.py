"""The marks of charts, as SVG text.

The style sheet gives the CSS classes s1, s2 and s3 their colours.  Each class also has its own
marker and dash, so that colour is never the only difference.  Every text is escaped here.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from stream_rnn.text import printable

WIDTH = 360
LETTER = 6  # width of a letter in a label, in DejaVu Sans

Point = tuple[float, float]


def svg(title: str, description: str, parts: Iterable[str], height: int) -> str:
    """Return a chart with the title and the description that screen readers read."""
    labels = f"<title>{safe(title)}</title><desc>{safe(description)}</desc>"
    box = f'viewBox="0 0 {WIDTH} {height}" role="img"'
    return f'<svg class="chart" {box}>{labels}{"".join(parts)}</svg>'


def safe(text: str) -> str:
    """Return a text with control characters made visible, escaped for SVG."""
    return escape(printable(text))


def at(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def text(
    x: float,
    y: float,
    content: str,
    anchor: str,
    style: str = "label",
    room: float = math.inf,
) -> str:
    """Return a text; ``anchor`` is ``start``, ``middle`` or ``end``.

    A text wider than ``room`` is condensed to it.
    """
    fit = f' textLength="{at(room)}" lengthAdjust="spacingAndGlyphs"'
    width = fit if len(content) * LETTER > room else ""
    place = f'class="{style} {anchor}" x="{at(x)}" y="{at(y)}"{width}'
    return f"<text {place}>{safe(content)}</text>"


def marker(style: str, x: float, y: float) -> str:
    """Return the marker of a style: a disc, a square or a triangle."""
    match style:
        case "s2":
            shape = f"M{at(x - 3)},{at(y - 3)}h6v6h-6z"
        case "s3":
            shape = f"M{at(x)},{at(y - 4)}l4,7h-8z"
        case _:
            shape = f"M{at(x - 3.5)},{at(y)}a3.5,3.5 0 1 0 7,0a3.5,3.5 0 1 0 -7,0z"
    return f'<path class="marker {style}" d="{shape}"/>'


def path(style: str, points: Sequence[Point], close: str = "") -> str:
    """Return a line through the points; an empty text for fewer than two."""
    if len(points) < 2:
        return ""
    line = "L".join(f"{at(x)},{at(y)}" for x, y in points)
    return f'<path class="{style}" d="M{line}{close}"/>'


def whisker(style: str, points: Sequence[Point]) -> str:
    """Return the line of an interval between two points."""
    return path(f"whisker {style}", points)
