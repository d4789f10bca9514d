"""Small charts: from numbers to SVG as text.

A chart is 360 wide, so that its words can be read on a telephone too.  Colours are left to the
style sheet.  What is not finite is not drawn.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stream_rnn.evaluation.report.svg_marks import WIDTH, at, marker, path, svg, text, whisker
from stream_rnn.evaluation.result import Bin
from stream_rnn.metrics.figure import Figure
from stream_rnn.text import format_number, is_known, printable

HEIGHT = 244
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 38, 174  # where the curves are
COUNTS_TOP, COUNTS_BOTTOM = 182, 208  # where the bars of events are
LETTER = 5.6  # width of a letter at the size of labels
LABEL_LETTERS_MAX = 22
TICKS = 5
DRAWN_MAX = 1e100  # beyond, differences overflow

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A curve: its label, and a figure for each place on the x axis, ``None`` for a gap."""

    style: str
    label: str
    figures: Sequence[Figure | None]


def ticks(low: float, high: float, most: int = TICKS) -> list[float]:
    """Return round numbers within the limits, 1, 2 or 5 times a power of ten apart.

    Example:
        >>> ticks(0.68, 0.79), ticks(0, 100)
        ([0.7, 0.75], [0.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def limits(values: Iterable[float | None]) -> Limits | None:
    """Return limits with some room around all values; ``None`` if there is none to draw."""
    drawn = [value for value in values if value is not None and is_drawn(value)]
    if not drawn:
        return None
    low, high = min(drawn), max(drawn)
    room = (high - low) * 0.06
    if room <= max(abs(low), abs(high)) * 1e-6:
        room = max(abs(low), abs(high)) * 0.05 or 0.05
    return low - max(room, 1e-90), high + max(room, 1e-90)


def is_drawn(value: float) -> bool:
    """Tell whether a number has a place on an axis."""
    return math.isfinite(value) and abs(value) <= DRAWN_MAX


def group_chart(
    title: str,
    names: Sequence[str],
    series: Sequence[Series],
    events: Sequence[int],
    *,
    quantity: str,
    along: str,
    counted: str = "events",
    is_joined: bool = True,
) -> str:
    """Draw figures of groups: curves with bands of their intervals, and bars of their events.

    Args:
        title: of the chart.
        names: of the groups, in order.
        series: a figure of each group.
        events: how many each group has; empty for no bars.
        quantity: what the y axis measures.
        along: what the groups are.
        counted: what ``events`` counts.
        is_joined: whether the groups have an order that a curve may follow; else markers stand
            alone, each with its interval.
    """
    y_limits = limits(
        v for one in series for f in one.figures if f for v in (f.value, f.low, f.high)
    )
    description = f"{quantity} of {len(names)} groups by {along}; the same in figures beside it"
    if y_limits is None or not names:
        return svg(title, description, [_nothing()], HEIGHT)
    slot, is_joined = (RIGHT - LEFT) / len(names), is_joined and len(names) > 1
    parts = [*_y_axis(y_limits, quantity), *_x_names(names, slot, along)]
    bands: list[str] = []
    curves: list[str] = []
    for i, one in enumerate(series):
        aside = 0.0 if is_joined else (i - (len(series) - 1) / 2) * min(slot / 4, 9)
        xs = [LEFT + slot * (place + 0.5) + aside for place in range(len(names))]
        if is_joined:
            bands += _bands(one, xs, y_limits)
            curves += _curve(one, xs, y_limits)
        else:
            curves += _whiskers(one, xs, y_limits)
        curves += [
            marker(one.style, x, _down(figure.value, y_limits))
            for x, figure in zip(xs, one.figures, strict=True)
            if figure and is_drawn(figure.value)
        ]
    parts += [*bands, *curves, *_legend(series)]
    bars = [(LEFT + slot * (place + 0.5), count) for place, count in enumerate(events)]
    parts += _count_bars(bars, min(slot * 0.7, 18), counted)
    return svg(title, description, parts, HEIGHT)


def calibration_chart(
    title: str,
    bins: Sequence[tuple[str, str, Sequence[Bin]]],
    *,
    unit: str = "",
    is_share: bool = False,
) -> str:
    """Draw what came against what was predicted; on the diagonal the two are the same.

    Args:
        title: of the chart.
        bins: (style, label, bins) of each model; the bars are the events of the first.
        unit: of both axes.
        is_share: whether both axes go from 0 to 1.
    """
    drawn = [
        (style, label, [b for b in some if is_drawn(b.predicted) and is_drawn(b.observed)])
        for style, label, some in bins
    ]
    both = limits(v for _, _, some in drawn for b in some for v in (b.predicted, b.observed))
    description = "observed against predicted, by bins of predictions; the same in figures beside"
    if both is None:
        return svg(title, description, [_nothing()], HEIGHT)
    if is_share and both[0] >= -0.1 and both[1] <= 1.1:  # the room around them may go beyond
        both = (0.0, 1.0)
    in_unit = f" ({unit})" if unit else ""
    parts = [*_y_axis(both, f"observed{in_unit}"), *_x_axis(both, f"predicted{in_unit}")]
    parts.append(f'<path class="ideal" d="M{LEFT},{BOTTOM}L{RIGHT},{TOP}"/>')
    for style, _, some in drawn:
        points = [(_across(b.predicted, both), _down(b.observed, both)) for b in some]
        parts.append(path(f"curve {style}", points))
        parts += [marker(style, x, y) for x, y in points]
    parts += _legend([Series(style, label, ()) for style, label, _ in bins])
    bars = [(_across(b.predicted, both), b.events) for b in drawn[0][2]]
    parts += _count_bars(bars, 6, "events")
    return svg(title, description, parts, HEIGHT)


def interval_chart(title: str, rows: Sequence[Series], *, quantity: str) -> str:
    """Draw one figure a row, each with its interval and its number.

    Points and not bars: a bar has to begin at nought, where 0.73 and 0.77 look the same.

    Args:
        title: of the chart.
        rows: series with one figure each.
        quantity: what is measured.
    """
    figures = [row.figures[0] for row in rows]
    x_limits = limits(v for f in figures if f for v in (f.value, f.low, f.high))
    said = "; ".join(
        f"{r.label} {format_number(f.value if f else None)}"
        for r, f in zip(rows, figures, strict=True)
    )
    if x_limits is None:
        return svg(title, said, [_nothing()], 60)
    left, right, step = 92, 296, 26
    bottom = 10 + step * len(rows)
    parts = []
    for tick in ticks(*x_limits, 4):
        x = _scale(tick, x_limits, left, right)
        parts.append(f'<path class="grid" d="M{at(x)},6V{bottom}"/>')
        parts.append(text(x, bottom + 14, _tick_text(tick, x_limits), "middle"))
    for i, (row, figure) in enumerate(zip(rows, figures, strict=True)):
        y = 10 + step * (i + 0.5)
        parts.append(text(left - 8, y + 4, printable(row.label, 14), "end"))
        if not figure or not is_drawn(figure.value):
            continue
        if figure.low is not None and figure.high is not None:
            ends = [_scale(v, x_limits, left, right) for v in (figure.low, figure.high)]
            parts.append(whisker(row.style, [(ends[0], y), (ends[1], y)]))
        parts.append(marker(row.style, _scale(figure.value, x_limits, left, right), y))
        parts.append(text(WIDTH - 4, y + 4, format_number(figure.value), "end", "value"))
    parts.append(text((left + right) / 2, bottom + 28, printable(quantity, 50), "middle", "axis"))
    return svg(title, said, parts, bottom + 34)


def _nothing() -> str:
    return text(WIDTH / 2, 34, "nothing to draw", "middle")


def _scale(value: float, over: Limits, start: float, end: float) -> float:
    inside = min(max(value, over[0]), over[1])  # NaN was left out before
    return start + (inside - over[0]) / (over[1] - over[0]) * (end - start)


def _across(value: float, over: Limits) -> float:
    return _scale(value, over, LEFT, RIGHT)


def _down(value: float, over: Limits) -> float:
    return _scale(value, over, BOTTOM, TOP)


def _tick_text(tick: float, over: Limits) -> str:
    size = max(abs(over[0]), abs(over[1]))
    if size >= 1e6 or size < 1e-3:
        return f"{tick:.3g}"
    decimals = max(0, 1 - math.floor(math.log10(over[1] - over[0])))
    written = f"{tick:,.{min(decimals, 6)}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _y_axis(over: Limits, quantity: str) -> Iterator[str]:
    for tick in ticks(*over):
        y = _down(tick, over)
        yield f'<path class="grid" d="M{LEFT},{at(y)}H{RIGHT}"/>'
        yield text(LEFT - 6, y + 3.5, _tick_text(tick, over), "end")
    yield text(4, 27, printable(quantity, 50), "start", "axis")


def _x_axis(over: Limits, quantity: str) -> Iterator[str]:
    for tick in ticks(*over):
        yield text(_across(tick, over), COUNTS_BOTTOM + 13, _tick_text(tick, over), "middle")
    yield text((LEFT + RIGHT) / 2, HEIGHT - 5, printable(quantity, 50), "middle", "axis")


def _x_names(names: Sequence[str], slot: float, along: str) -> Iterator[str]:
    """Write as many names of groups as fit beside each other, evenly, the first always."""
    labels = [printable(name, LABEL_LETTERS_MAX) for name in names]
    every = math.ceil((max(map(len, labels)) * LETTER + 6) / slot)
    end = -1.0
    for place in range(0, len(labels), every):
        half = len(labels[place]) * LETTER / 2
        x = min(max(LEFT + slot * (place + 0.5), half + 2), WIDTH - half - 2)
        if x - half > end:  # those at the edges were moved inside
            yield text(x, COUNTS_BOTTOM + 13, labels[place], "middle")
            end = x + half
    yield text((LEFT + RIGHT) / 2, HEIGHT - 5, printable(along, 50), "middle", "axis")


def _count_bars(bars: Sequence[tuple[float, int]], width: float, counted: str) -> Iterator[str]:
    most = max((count for _, count in bars), default=0)
    if not most:
        return
    yield f'<path class="grid" d="M{LEFT},{COUNTS_BOTTOM}H{RIGHT}"/>'
    yield text(LEFT - 6, COUNTS_BOTTOM, counted, "end")
    for x, count in bars:
        high = count / most * (COUNTS_BOTTOM - COUNTS_TOP)
        box = f'x="{at(x - width / 2)}" y="{at(COUNTS_BOTTOM - high)}"'
        yield f'<rect class="events" {box} width="{at(width)}" height="{at(high)}"/>'


def _legend(series: Sequence[Series]) -> Iterator[str]:
    x = 4.0
    for one in series:
        yield path(f"curve {one.style}", [(x, 7), (x + 16, 7)])
        yield marker(one.style, x + 8, 7)
        yield text(x + 20, 10.5, one.label, "start")
        x += len(one.label) * LETTER + 34


def _runs(one: Series, is_good: Sequence[bool]) -> Iterator[list[int]]:
    """Yield places without a gap between them."""
    run: list[int] = []
    for place in range(len(one.figures) + 1):
        if place < len(one.figures) and is_good[place]:
            run.append(place)
        elif run:
            yield run
            run = []


def _curve(one: Series, xs: Sequence[float], over: Limits) -> Iterator[str]:
    values = [figure.value if figure else math.nan for figure in one.figures]
    for run in _runs(one, [is_drawn(value) for value in values]):
        yield path(f"curve {one.style}", [(xs[i], _down(values[i], over)) for i in run])


def _ends(one: Series) -> list[Limits | None]:
    """Return each figure's interval, ``None`` where it cannot be drawn."""
    found: list[Limits | None] = []
    for f in one.figures:
        if f is None or f.low is None or f.high is None or not is_drawn(f.value):
            found.append(None)
        else:
            is_interval = is_known(f.low) and is_known(f.high)
            found.append((f.low, f.high) if is_interval else None)
    return found


def _bands(one: Series, xs: Sequence[float], over: Limits) -> Iterator[str]:
    ends = _ends(one)
    for run in _runs(one, [end is not None for end in ends]):
        known = [(xs[i], end) for i in run if (end := ends[i]) is not None]
        upper = [(x, _down(high, over)) for x, (_, high) in known]
        lower = [(x, _down(low, over)) for x, (low, _) in reversed(known)]
        if len(known) == 1:  # a band without width would not be seen
            yield whisker(one.style, [*upper, *lower])
        else:
            yield path(f"band {one.style}", [*upper, *lower], "z")


def _whiskers(one: Series, xs: Sequence[float], over: Limits) -> Iterator[str]:
    for x, end in zip(xs, _ends(one), strict=True):
        if end is not None:
            yield whisker(one.style, [(x, _down(end[0], over)), (x, _down(end[1], over))])
