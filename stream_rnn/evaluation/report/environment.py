"""The environment in which the pages are rendered: formatting, escaping and shortening.

Every text from a log is escaped, with control characters made visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import islice
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from stream_rnn.evaluation.report.figures import (
    format_difference,
    format_metric,
    interval,
    metric_name,
)
from stream_rnn.text import format_number, format_time, printable

SENTENCE_MAX = 600  # characters of any text
WITH_MS_BELOW = 60_000  # milliseconds that a log spans, below which its times show them


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first items of a list, and the number of all items."""

    items: tuple[Any, ...]
    total: int

    @property
    def is_shortened(self) -> bool:
        """Whether the list has more items."""
        return len(self.items) < self.total


def render_template(name: str, *, with_ms: bool, **values: Any) -> str:
    """Return a page as HTML.

    Args:
        name: Name of the template in this folder.
        with_ms: Whether times show their milliseconds.
        values: Values of the template.
    """
    here = files("stream_rnn.evaluation.report")
    environment = Environment(
        loader=FunctionLoader(lambda name: here.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_format_value,
    )
    environment.filters.update(
        printable=printable,
        interval=interval,
        format_time=partial(format_time, with_ms=with_ms),
        metric_name=metric_name,
        value=format_metric,
        difference=format_difference,
    )
    css = Markup(here.joinpath("report.css").read_text(encoding="utf-8"))  # noqa: S704  # ours
    return environment.get_template(name).render(css=css, **values)


def shorten(items: Sequence[Any], items_max: int) -> Excerpt:
    """Shorten a list to its first items."""
    return Excerpt(tuple(islice(items, items_max)), len(items))


def _format_value(value: Any) -> Any:
    """Format a value of the template; ``None`` and NaN become a dash."""
    if isinstance(value, Markup):
        return value
    if value is None or isinstance(value, float):
        return format_number(value)
    return f"{value:,}" if isinstance(value, int) else printable(str(value), SENTENCE_MAX)
