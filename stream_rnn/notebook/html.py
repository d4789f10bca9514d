"""Tables and pages in the cell of a notebook: self-contained, without script, on light and on dark.

A table has no style of its own, so it looks as the notebook's tables do.  A page with charts stands
in a frame: its style sheet reaches nothing outside of it, and that of the notebook nothing inside.
"""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from stream_rnn.text import printable

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
HEIGHT = 560


def text(value: object) -> str:
    """Return a value as HTML: every character of a log visible, and escaped."""
    return escape(printable(str(value)))


def table(header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    """Return a table as HTML; columns of numbers are aligned to the right."""
    is_number = [
        all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(header) if rows else 0)
    ]

    def row_of(tag: str, cells: Sequence[object]) -> str:
        styled = (
            f"<{tag}{' style=text-align:right' if right else ''}>{text(_written(cell))}</{tag}>"
            for cell, right in zip(cells, is_number or [False] * len(header), strict=True)
        )
        return f"<tr>{''.join(styled)}</tr>"

    title = f"<caption>{text(caption)}</caption>" if caption else ""
    body = "".join(row_of("td", row) for row in rows)
    return f"<table>{title}<thead>{row_of('th', header)}</thead><tbody>{body}</tbody></table>"


def page(title: str, body: str) -> str:
    """Return a page that looks like the report.

    Args:
        title: text.
        body: HTML.
    """
    css = files("stream_rnn.evaluation.report").joinpath("report.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{text(title)}</title><style>{css}</style></head><body>{body}</body></html>"
    )


def framed(whole_page: str, title: str, height: int = HEIGHT) -> str:
    """Return a page as one element that keeps its styles to itself and runs nothing.

    Args:
        whole_page: HTML.
        title: what it is, for people who hear the notebook.
        height: in pixels; the frame scrolls, and a person may drag its edge.
    """
    style = f"width:100%;height:{height}px;border:0;resize:vertical;overflow:auto"
    return f'<iframe sandbox srcdoc="{escape(whole_page)}" title="{text(title)}" style="{style}"></iframe>'


def _written(cell: object) -> object:
    return f"{cell:.6g}" if isinstance(cell, float) else cell
