"""Small charts: functions from numbers to SVG text.

A chart is 360 units wide, so that its labels are readable on a phone.  The style sheet gives the
colours.  Values that are not finite are not drawn.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stream_rnn.evaluation.report.svg_marks import (
    LETTER,
    WIDTH,
    at,
    marker,
    path,
    svg,
    text,
    whisker,
)
from stream_rnn.evaluation.result import Bin
from stream_rnn.metrics.figure import Figure
from stream_rnn.text import format_number, is_known, printable

HEIGHT = 244
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 38, 174  # area of the curves
COUNTS_TOP, COUNTS_BOTTOM = 182, 208  # area of the bars that count events
LABEL_LETTERS_MAX = 23
TICKS = 5
DRAWN_MAX = 1e100  # larger differences would overflow

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A curve: a style, a label, and a figure for each group; ``None`` leaves a gap."""

    style: str
    label: str
    figures: Sequence[Figure | None]


def ticks(low: float, high: float, ticks_max: int = TICKS) -> list[float]:
    """Return round numbers between the limits; their step is 1, 2 or 5 times a power of ten.

    Example:
        >>> ticks(0.68, 0.79), ticks(0, 100)
        ([0.7, 0.75], [0.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    """
    step_min = (high - low) / ticks_max
    power = 10.0 ** math.floor(math.log10(step_min))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= step_min * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def limits(values: Iterable[float | None]) -> Limits | None:
    """Return limits of an axis with a margin around all values; ``None`` if none can be drawn."""
    drawn = [value for value in values if value is not None and is_drawn(value)]
    if not drawn:
        return None
    low, high = min(drawn), max(drawn)
    margin = (high - low) * 0.06
    if margin <= max(abs(low), abs(high)) * 1e-6:
        margin = max(abs(low), abs(high)) * 0.05 or 0.05
    return low - max(margin, 1e-90), high + max(margin, 1e-90)


def is_drawn(value: float) -> bool:
    """Return whether a number can be drawn on an axis."""
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
    """Draw the figures of groups: curves with bands for intervals, and bars that count events.

    Args:
        title: Title of the chart.
        names: Names of the groups, in order.
        series: Curves, each with a figure for each group.
        events: Number of events in each group; empty for no bars.
        quantity: Label of the y axis.
        along: Label of the x axis.
        counted: Label of the bars.
        is_joined: Whether lines join the markers of a curve.  If false, each marker stands alone,
            with its interval.
    """
    y_limits = limits(
        v for curve in series for f in curve.figures if f for v in (f.value, f.low, f.high)
    )
    description = f"{quantity} of {len(names)} groups by {along}; a table has the same figures"
    if y_limits is None or not names:
        return svg(title, description, [_nothing()], HEIGHT)
    slot, is_joined = (RIGHT - LEFT) / len(names), is_joined and len(names) > 1
    parts = [*_y_axis(y_limits, quantity), *_x_names(names, slot, along)]
    bands: list[str] = []
    curves: list[str] = []
    for i, curve in enumerate(series):
        shift = 0.0 if is_joined else (i - (len(series) - 1) / 2) * min(slot / 4, 9)
        xs = [LEFT + slot * (group + 0.5) + shift for group in range(len(names))]
        if is_joined:
            bands += _bands(curve, xs, y_limits)
            curves += _lines(curve, xs, y_limits)
        else:
            curves += _whiskers(curve, xs, y_limits)
        curves += [
            marker(curve.style, x, _to_y(figure.value, y_limits))
            for x, figure in zip(xs, curve.figures, strict=True)
            if figure and is_drawn(figure.value)
        ]
    parts += [*bands, *curves, *_legend(series)]
    bars = [(LEFT + slot * (group + 0.5), count) for group, count in enumerate(events)]
    parts += _count_bars(bars, min(slot * 0.7, 18), counted)
    return svg(title, description, parts, HEIGHT)


def calibration_chart(
    title: str,
    bins: Sequence[tuple[str, str, Sequence[Bin]]],
    *,
    unit: str = "",
    is_share: bool = False,
    axes: tuple[str, str] = ("predicted", "observed"),
) -> str:
    """Draw observed against predicted values; on the diagonal both are equal.

    Args:
        title: Title of the chart.
        bins: Style, label and bins of each model; the bars count the events of the first.
        unit: Unit of both axes.
        is_share: Whether the values are shares, so that both axes go from 0 to 1.
        axes: Names of what is predicted and of what is observed.
    """
    drawn = [
        (style, label, [b for b in of_model if is_drawn(b.predicted) and is_drawn(b.observed)])
        for style, label, of_model in bins
    ]
    both = limits(
        v for _, _, of_model in drawn for b in of_model for v in (b.predicted, b.observed)
    )
    description = f"{axes[1]} against {axes[0]} values, in bins; a table has the same figures"
    if both is None:
        return svg(title, description, [_nothing()], HEIGHT)
    if is_share and both[0] >= -0.1 and both[1] <= 1.1:  # limits include a margin
        both = (0.0, 1.0)
    in_unit = f" ({unit})" if unit else ""
    parts = [*_y_axis(both, f"{axes[1]}{in_unit}"), *_x_axis(both, f"{axes[0]}{in_unit}")]
    parts.append(f'<path class="ideal" d="M{LEFT},{BOTTOM}L{RIGHT},{TOP}"/>')
    for style, _, of_model in drawn:
        points = [(_to_x(b.predicted, both), _to_y(b.observed, both)) for b in of_model]
        parts.append(path(f"curve {style}", points))
        parts += [marker(style, x, y) for x, y in points]
    parts += _legend([Series(style, label, ()) for style, label, _ in bins])
    bars = [(_to_x(b.predicted, both), b.events) for b in drawn[0][2]]
    parts += _count_bars(bars, 6, "events")
    return svg(title, description, parts, HEIGHT)


def interval_chart(title: str, rows: Sequence[Series], *, quantity: str) -> str:
    """Draw one figure per row, with its interval and its value.

    The marks are points, not bars: a bar has to begin at 0, which makes 0.73 and 0.77 look alike.

    Args:
        title: Title of the chart.
        rows: Series with one figure each.
        quantity: Label of the axis.
    """
    figures = [row.figures[0] for row in rows]
    x_limits = limits(v for f in figures if f for v in (f.value, f.low, f.high))
    description = "; ".join(
        f"{r.label} {format_number(f.value if f else None)}"
        for r, f in zip(rows, figures, strict=True)
    )
    if x_limits is None:
        return svg(title, description, [_nothing()], 60)
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
        number = format_number(figure.value)
        parts.append(text(WIDTH - 4, y + 4, number, "end", "value", room=WIDTH - right - 10))
    parts.append(text((left + right) / 2, bottom + 28, printable(quantity, 50), "middle", "axis"))
    return svg(title, description, parts, bottom + 34)


def _nothing() -> str:
    return text(WIDTH / 2, 34, "nothing to draw", "middle")


def _scale(value: float, axis: Limits, start: float, end: float) -> float:
    inside = min(max(value, axis[0]), axis[1])  # callers pass no NaN
    return start + (inside - axis[0]) / (axis[1] - axis[0]) * (end - start)


def _to_x(value: float, axis: Limits) -> float:
    return _scale(value, axis, LEFT, RIGHT)


def _to_y(value: float, axis: Limits) -> float:
    return _scale(value, axis, BOTTOM, TOP)


def _tick_text(tick: float, axis: Limits) -> str:
    size, span = max(abs(axis[0]), abs(axis[1])), math.floor(math.log10(axis[1] - axis[0]))
    if size >= 1e6 or size < 1e-3:
        digits = max(2, math.floor(math.log10(size)) - span + 2)
        mantissa, _, power = f"{tick:.{digits}g}".partition("e")
        return f"{mantissa}e{int(power)}" if power else mantissa
    number = f"{tick:,.{min(max(0, 1 - span), 6)}f}"
    return number.rstrip("0").rstrip(".") if "." in number else number


def _y_axis(axis: Limits, quantity: str) -> Iterator[str]:
    for tick in ticks(*axis):
        y = _to_y(tick, axis)
        yield f'<path class="grid" d="M{LEFT},{at(y)}H{RIGHT}"/>'
        yield text(LEFT - 6, y + 3.5, _tick_text(tick, axis), "end", room=LEFT - 7)
    yield text(4, 27, printable(quantity, 50), "start", "axis")


def _x_axis(axis: Limits, quantity: str) -> Iterator[str]:
    numbers = ticks(*axis)
    xs = [_to_x(number, axis) for number in numbers]
    room = min((after - before for before, after in pairwise(xs)), default=WIDTH / 2) - 6
    for tick, x in zip(numbers, xs, strict=True):
        label = _tick_text(tick, axis)
        half = min(len(label) * LETTER, room) / 2
        inside = min(x, WIDTH - half - 1)
        yield text(inside, COUNTS_BOTTOM + 13, label, "middle", room=room)
    yield text((LEFT + RIGHT) / 2, HEIGHT - 5, printable(quantity, 50), "middle", "axis")


def _x_names(names: Sequence[str], slot: float, along: str) -> Iterator[str]:
    """Yield as many group names as fit on the axis, at equal distances, beginning with the first."""
    labels = [printable(name, LABEL_LETTERS_MAX) for name in names]
    every = math.ceil((max(map(len, labels)) * LETTER + 6) / slot)
    end = -1.0
    for group in range(0, len(labels), every):
        half = len(labels[group]) * LETTER / 2
        x = min(max(LEFT + slot * (group + 0.5), half + 2), WIDTH - half - 2)
        if x - half > end:  # names at the edges are moved inside
            yield text(x, COUNTS_BOTTOM + 13, labels[group], "middle")
            end = x + half
    yield text((LEFT + RIGHT) / 2, HEIGHT - 5, printable(along, 50), "middle", "axis")


def _count_bars(bars: Sequence[tuple[float, int]], width: float, counted: str) -> Iterator[str]:
    count_max = max((count for _, count in bars), default=0)
    if not count_max:
        return
    yield f'<path class="grid" d="M{LEFT},{COUNTS_BOTTOM}H{RIGHT}"/>'
    yield text(LEFT - 6, COUNTS_BOTTOM, counted, "end")
    for x, count in bars:
        height = count / count_max * (COUNTS_BOTTOM - COUNTS_TOP)
        box = f'x="{at(x - width / 2)}" y="{at(COUNTS_BOTTOM - height)}"'
        yield f'<rect class="events" {box} width="{at(width)}" height="{at(height)}"/>'


def _legend(series: Sequence[Series]) -> Iterator[str]:
    """Yield the entries of the legend; curves with the same style and label share one."""
    x = 4.0
    for style, label in dict.fromkeys((curve.style, curve.label) for curve in series):
        yield path(f"curve {style}", [(x, 7), (x + 16, 7)])
        yield marker(style, x + 8, 7)
        yield text(x + 20, 10.5, label, "start")
        x += len(label) * LETTER + 34


def _runs(curve: Series, can_draw: Sequence[bool]) -> Iterator[list[int]]:
    """Yield the indices of consecutive figures that can be drawn."""
    run: list[int] = []
    for i in range(len(curve.figures) + 1):
        if i < len(curve.figures) and can_draw[i]:
            run.append(i)
        elif run:
            yield run
            run = []


def _lines(curve: Series, xs: Sequence[float], axis: Limits) -> Iterator[str]:
    values = [figure.value if figure else math.nan for figure in curve.figures]
    for run in _runs(curve, [is_drawn(value) for value in values]):
        yield path(f"curve {curve.style}", [(xs[i], _to_y(values[i], axis)) for i in run])


def _intervals(curve: Series) -> list[Limits | None]:
    """Return the interval of each figure; ``None`` if it cannot be drawn."""
    intervals: list[Limits | None] = []
    for f in curve.figures:
        if f is None or f.low is None or f.high is None or not is_drawn(f.value):
            intervals.append(None)
        else:
            is_interval = is_known(f.low) and is_known(f.high)
            intervals.append((f.low, f.high) if is_interval else None)
    return intervals


def _bands(curve: Series, xs: Sequence[float], axis: Limits) -> Iterator[str]:
    intervals = _intervals(curve)
    for run in _runs(curve, [interval is not None for interval in intervals]):
        known = [(xs[i], interval) for i in run if (interval := intervals[i]) is not None]
        upper = [(x, _to_y(high, axis)) for x, (_, high) in known]
        lower = [(x, _to_y(low, axis)) for x, (low, _) in reversed(known)]
        if len(known) == 1:  # a band without width would be invisible
            yield whisker(curve.style, [*upper, *lower])
        else:
            yield path(f"band {curve.style}", [*upper, *lower], "z")


def _whiskers(curve: Series, xs: Sequence[float], axis: Limits) -> Iterator[str]:
    for x, interval in zip(xs, _intervals(curve), strict=True):
        if interval is not None:
            ends = [(x, _to_y(end, axis)) for end in interval]
            yield whisker(curve.style, ends)
