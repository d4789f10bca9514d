"""Tables and pages for the cells of a notebook: self-contained, without scripts, light or dark.

A table has no style of its own, so it looks like other tables of the notebook.  A page with charts
is shown in a frame, so that its style sheet and that of the notebook do not affect each other.
"""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from stream_rnn.text import format_number, printable

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
HEIGHT = 560


def text(value: object) -> str:
    """Return a value as escaped HTML, with control characters made visible."""
    return escape(printable(str(value)))


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    caption: str = "",
    texts: int | None = None,
) -> str:
    """Return a table as HTML; columns of numbers are aligned to the right.

    Args:
        header: Titles of the columns.
        rows: Cells of each row; ``None`` is written as a dash.
        caption: Caption of the table.
        texts: Number of columns before those of numbers; ``None`` decides by the cells.
    """
    is_number = [
        all(isinstance(row[i], int | float | None) for row in rows) if texts is None else i >= texts
        for i in range(len(header) if rows else 0)
    ]

    def row_of(tag: str, cells: Sequence[object]) -> str:
        styled = (
            f"<{tag}{' style=text-align:right' if right else ''}>{text(_format(cell))}</{tag}>"
            for cell, right in zip(cells, is_number or [False] * len(header), strict=True)
        )
        return f"<tr>{''.join(styled)}</tr>"

    title = f"<caption>{text(caption)}</caption>" if caption else ""
    body = "".join(row_of("td", row) for row in rows)
    return f"<table>{title}<thead>{row_of('th', header)}</thead><tbody>{body}</tbody></table>"


def page(title: str, body: str) -> str:
    """Return a page that looks like the report.

    Args:
        title: Title of the page, as text.
        body: Content of the page, as HTML.
    """
    css = files("stream_rnn.evaluation.report").joinpath("report.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{text(title)}</title><style>{css}</style></head><body>{body}</body></html>"
    )


def framed(whole_page: str, title: str, height: int = HEIGHT) -> str:
    """Return an HTML element that shows a page in a frame with its own styles and no scripts.

    Args:
        whole_page: The page, as HTML.
        title: Title of the frame, which screen readers read.
        height: Initial height in pixels; the frame scrolls and can be resized.
    """
    style = f"width:100%;height:{height}px;border:0;resize:vertical;overflow:auto"
    return f'<iframe sandbox srcdoc="{escape(whole_page)}" title="{text(title)}" style="{style}"></iframe>'


def _format(cell: object) -> object:
    return format_number(cell) if cell is None or isinstance(cell, float) else cell
