"""The canvas of a picture: its width, the place of the steps, and its elements from top to bottom."""

from xml.sax.saxutils import escape

from stream_rnn.text import visible
from stream_rnn.trace.palette import style

LEFT, RIGHT, GAP = 132, 72, 16
CELL_MAX = 28


def safe(text: str) -> str:
    """Return a text that is safe in an SVG: escaped, without characters that XML forbids."""
    return escape(visible(text), {'"': "&quot;"})


class Canvas:
    """The elements of a picture, added from top to bottom.

    Attributes:
        width: Width in pixels.
        y: Top of what is added next.
        cell: Width of a step.
        right: Right end of the steps.
    """

    def __init__(self, width: int, steps: int) -> None:
        self.width = width
        self.y = 0
        self.cell = min(CELL_MAX, (width - LEFT - RIGHT) / max(1, steps))
        self.right = LEFT + self.cell * steps
        self._parts: list[str] = []

    def add(self, part: str) -> None:
        """Add an element of SVG."""
        self._parts.append(part)

    def text(self, x: float, y: float, words: str, kind: str = "ink", anchor: str = "") -> None:
        """Add a text in the color of a kind."""
        end = f' text-anchor="{anchor}"' if anchor else ""
        self.add(f'<text class="sr-{kind}" x="{x:g}" y="{y:g}"{end}>{safe(words)}</text>')

    def document(self, title: str, description: str) -> str:
        """Return the SVG document."""
        size = f'width="{self.width}" height="{self.y}" viewBox="0 0 {self.width} {self.y}"'
        font = 'font-family="system-ui, sans-serif" font-size="11" fill="#1c2128"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="sr-trace" {font}>',
                f"<title>{safe(title)}</title>",
                f"<desc>{safe(description)}</desc>",
                f"<style>{style()}</style>",
                f'<rect class="sr-paper" width="{self.width}" height="{self.y}" fill="#ffffff"/>',
                *self._parts,
                "</svg>\n",
            ]
        )
