"""The picture of an unrolled network: one self-contained SVG, for light and dark backgrounds.

From top to bottom it shows x, the gates, the memory (h, for an LSTM also c) and the outputs, with
one column for each step.  Heat maps have seventeen colors with one path each, which keeps a picture
of thousands of units and steps small.  Every color is a CSS variable with a fallback, so that the
page around the picture may set it.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from stream_rnn.keys import describe_key, shorten
from stream_rnn.model.heads import AnyHead, Binary, Multiclass, Quantile
from stream_rnn.text import format_duration, format_time
from stream_rnn.trace.canvas import GAP, LEFT, Canvas, safe
from stream_rnn.trace.gates import gates_named
from stream_rnn.trace.palette import LEVELS, LINES, swatch
from stream_rnn.trace.unroll import (
    LAST,
    Between,
    Floats,
    Unrolled,
    flattened,
    most_varying,
    units_shape,
)

STEPS_MAX = 1000
UNITS_MAX = 128
COLUMNS_MAX = 64
HEADS_MAX = 12
WIDTH_MIN = 400
OUTPUT_HEIGHT = 56
TICK_WIDTH = 84
CHARACTER_WIDTH = 6.4


@dataclass(frozen=True, slots=True)
class _HeatMap:
    """A heat map of R rows and T steps, with values in [-1, 1] and labels beside some rows."""

    title: str
    notes: Sequence[str]
    values: Floats
    height_max: int
    left: dict[int, str]
    right: dict[int, str]

    @property
    def row_height(self) -> int:
        return max(2, min(13, self.height_max // max(1, len(self.values))))


def unrolled_svg(unrolled: Unrolled, width: int = 960, last: int = LAST) -> str:
    """Draw the last steps of an unrolled network.

    Args:
        unrolled: The unrolled network.
        width: Width in pixels.
        last: Number of steps to draw, at most ``STEPS_MAX``.

    Returns:
        The text of an SVG document.
    """
    count = min(len(unrolled.offsets), last, STEPS_MAX)
    steps = slice(len(unrolled.offsets) - count, None)
    canvas = Canvas(max(width, WIDTH_MIN), count)
    heats, limits = _make_heat_maps(unrolled, steps)
    heads = unrolled.model.spec.heads
    if len(heads) > HEADS_MAX:
        limits.append(f"{HEADS_MAX} of {len(heads)} heads are drawn")
    title, lines = _header_lines(unrolled, steps, limits)
    _draw_header(canvas, title, lines)
    if not count:
        return canvas.document(title, " ".join(lines))
    marks = _marks(unrolled, steps)
    _draw_legend(canvas, [incident for _, incident in marks])
    top = canvas.y
    for heat in heats:
        _draw_heat_map(canvas, heat)
    for number, head in enumerate(heads[:HEADS_MAX]):
        _draw_output(canvas, head, unrolled.outputs[head.name][steps], number)
        if (surprise := unrolled.surprises.get(head.name)) is not None:
            _draw_surprise(canvas, head, surprise[steps], number)
    _draw_marks(canvas, marks, top)
    _draw_axis(canvas, unrolled.steps[steps], unrolled.offsets[steps])
    return canvas.document(title, " ".join(lines))


# --- content -------------------------------------------------------------------------------------


def _header_lines(unrolled: Unrolled, steps: slice, limits: Sequence[str]) -> tuple[str, list[str]]:
    model, offsets, times = unrolled.model, unrolled.offsets[steps], unrolled.time_ms[steps]
    place = f"{unrolled.source}, partition {unrolled.partition}"
    named = f"model {model.name} {model.fingerprint[:16]}"
    kind = f"{model.cell.kind}, {' x '.join(map(str, units_shape(model)))} units"
    lines = [f"{place} · {named} · {kind}"]
    if not len(offsets):
        lines.append(f"no steps: none of the {unrolled.records:,} records of this key is valid")
        return shorten(describe_key(unrolled.key)), lines
    drawn = f"the last {len(offsets):,} of " if len(offsets) < unrolled.events else "all "
    lines.append(
        f"{drawn}{unrolled.events:,} steps since offset {unrolled.start:,}: "
        f"{format_time(times[0])} to {format_time(times[-1])} UTC"
    )
    if model.cell.kind == "none":
        limits = [*limits, "this network is memoryless, so it has no hidden state"]
    if limits:
        lines.append("; ".join(limits))
    return shorten(describe_key(unrolled.key)), lines


def _make_heat_maps(unrolled: Unrolled, steps: slice) -> tuple[list[_HeatMap], list[str]]:
    """Return the heat maps, and notes on the rows that they leave out."""
    limits: list[str] = []
    x = unrolled.x[steps]
    columns = most_varying(x, COLUMNS_MAX)
    if len(columns) < x.shape[1]:
        limits.append(f"the {len(columns)} of {x.shape[1]} columns of x that vary most")
    greatest = np.maximum(1, np.abs(x).max(axis=0, initial=0))[columns]
    names = {row: shorten(unrolled.columns[c], 16) for row, c in enumerate(columns.tolist())}
    scales = {row: f"±{v:.3g}" for row, v in enumerate(greatest.tolist()) if v > 1.005}
    rows = (x[:, columns] / greatest).T
    heats = [_HeatMap("x", (), rows, height_max=13 * COLUMNS_MAX, left=names, right=scales)]
    if not unrolled.memory:
        return heats, limits
    flat = {name: flattened(v[steps]) for name, v in unrolled.memory.items()}
    units = most_varying(flat["h"], UNITS_MAX)
    if len(units) < flat["h"].shape[1]:
        limits.append(f"the {len(units)} of {flat['h'].shape[1]} units that vary most")
    width = units_shape(unrolled.model)[-1]
    layers = (units // width).tolist()
    left = {layers.index(layer): f"layer {layer}" for layer in set(layers)}
    left = left if flat["h"].shape[1] > width else {}
    for name, full_name in gates_named(unrolled.model).items():
        values = flattened(unrolled.gates[name][steps])
        notes = (full_name,) if full_name == "candidate" else (full_name, "gate")
        heats.append(_HeatMap(name, notes, values[:, units].T, height_max=100, left=left, right={}))
    for name, values in flat.items():
        greatest_c = max(1.0, float(np.abs(values).max(initial=0)))
        notes = ("hidden state",) if name == "h" else ("cell state", f"±{greatest_c:.3g}")
        notes = (*notes, f"{len(units)} units")
        rows = (values[:, units] / greatest_c).T
        heats.append(_HeatMap(name, notes, rows, height_max=240, left=left, right={}))
    return heats, limits


def _marks(unrolled: Unrolled, steps: slice) -> list[tuple[int, Between]]:
    """Return the incidents between the drawn steps, each with the index of the step after it."""
    offsets = unrolled.offsets[steps]
    first = 0 if len(offsets) == unrolled.events else offsets[0]
    drawn = [incident for incident in unrolled.between if incident.offset >= first]
    return [(int(np.searchsorted(offsets, incident.offset)), incident) for incident in drawn]


# --- drawing -------------------------------------------------------------------------------------


def _draw_header(canvas: Canvas, title: str, lines: Iterable[str]) -> None:
    fits = int((canvas.width - 32) / CHARACTER_WIDTH)
    title = shorten(title, fits * 6 // 10)
    canvas.add(
        f'<text class="sr-ink" x="16" y="28" font-size="16" font-weight="600">{safe(title)}</text>'
    )
    canvas.y = 46
    for line in lines:
        for part in textwrap.wrap(line, fits):
            canvas.text(16, canvas.y, part, "dim")
            canvas.y += 15
    canvas.y += 6


def _draw_legend(canvas: Canvas, marks: Sequence[Between]) -> None:
    y, side = canvas.y, 9
    for level in range(-LEVELS, LEVELS + 1):
        x = LEFT + (level + LEVELS) * side
        if level:
            canvas.add(f'<path {swatch(level)} stroke-width="10" d="M{x} {y}h{side}"/>')
        else:
            canvas.add(f'<rect class="sr-zero" x="{x}" y="{y - 5}" width="{side}" height="10"/>')
    end = LEFT + (2 * LEVELS + 1) * side
    canvas.text(LEFT - 6, y + 4, "-1", "dim", "end")
    canvas.text(end + 6, y + 4, "+1", "dim")
    words = {
        "expired": "┆ memory expired",
        "forgotten": "│ key forgotten",
        "skipped": "▾ record skipped",
    }
    kinds = [text for kind, text in words.items() if any(mark.kind == kind for mark in marks)]
    canvas.text(end + 34, y + 4, " · ".join(kinds), "mark")
    canvas.y += 22


def _draw_heat_map(canvas: Canvas, heat: _HeatMap) -> None:
    rows, count = heat.values.shape
    top, height = canvas.y, rows * heat.row_height
    canvas.add(
        f'<rect class="sr-zero" x="{LEFT}" y="{top}" width="{canvas.cell * count:g}" '
        f'height="{height}" fill="#f1f3f5"/>'
    )
    canvas.add(
        f'<g transform="translate({LEFT} {top + heat.row_height / 2:g}) '
        f'scale({canvas.cell:.5g} {heat.row_height})" shape-rendering="crispEdges">'
    )
    for level, path in _paths(heat.values):
        canvas.add(f'<path {swatch(level)} d="{path}"/>')
    canvas.add("</g>")
    if heat.title:
        canvas.add(
            f'<text class="sr-ink" x="16" y="{top + 12}" font-size="13" font-weight="600">'
            f"{safe(heat.title)}</text>"
        )
    for number, note in enumerate(heat.notes):
        canvas.text(16, top + 26 + 13 * number, note, "dim")
    for row, words in heat.left.items():
        canvas.text(LEFT - 6, top + (row + 0.5) * heat.row_height + 4, words, "dim", "end")
    for row, words in heat.right.items():
        canvas.text(canvas.right + 6, top + (row + 0.5) * heat.row_height + 4, words, "dim")
    canvas.y += max(height, 14 + 13 * len(heat.notes)) + GAP


def _paths(values: Floats) -> list[tuple[int, str]]:
    """Return the path of the cells of each level, with one stroke for each run in a row."""
    levels = np.rint(np.nan_to_num(values) * LEVELS).clip(-LEVELS, LEVELS).astype(np.int64)
    strokes: dict[int, list[str]] = {}
    for row, cells in enumerate(levels):
        first = np.flatnonzero(np.diff(cells, prepend=LEVELS + 1))
        length = np.diff(np.append(first, len(cells)))
        for at, cell_count in zip(first.tolist(), length.tolist(), strict=True):
            if level := int(cells[at]):
                strokes.setdefault(level, []).append(f"M{at} {row}h{cell_count}")
    return [(level, "".join(strokes[level])) for level in sorted(strokes)]


_WITH_LABELS = (Multiclass, Quantile)


def _draw_output(canvas: Canvas, head: AnyHead, values: Floats, number: int) -> None:
    """Draw the outputs of a head as a line; for classes, one line for each of the likeliest."""
    top, is_share = canvas.y, head.kind in ("binary", "multiclass")
    columns = values if values.ndim > 1 else values[:, None]
    chosen = np.argsort(-columns.mean(axis=0), kind="stable")[: len(LINES)]
    low, high = (0.0, 1.0) if is_share else (float(columns.min()), float(columns.max()))
    names = [head.labels[i] for i in chosen.tolist()] if isinstance(head, _WITH_LABELS) else []
    unit = "time" if head.kind == "time_to_next" else "probability" if is_share else "value"
    frame = _Frame(low, high, max(OUTPUT_HEIGHT, 30 + 13 * len(names)), head.kind)
    _draw_frame(canvas, frame, shorten(head.name, 18), unit)
    for place, column in enumerate(chosen.tolist()):
        line = (place if names else number) % len(LINES)
        canvas.add(_polyline(canvas, frame.shares(columns[:, column]), top, frame.height, line))
        if names:
            canvas.text(16, top + 41 + 13 * place, shorten(names[place], 18), f"line{line}")
    canvas.y += frame.height + GAP


def _draw_surprise(canvas: Canvas, head: AnyHead, values: Floats, number: int) -> None:
    """Draw the surprise of a head as a line from 0, with a gap where an event has none."""
    top, known = canvas.y, values[np.isfinite(values)]
    unit = "nats" if isinstance(head, Binary | Multiclass) else "std. deviations"
    frame = _Frame(0.0, float(known.max(initial=0)), OUTPUT_HEIGHT, "surprise")
    _draw_frame(canvas, frame, "surprise", unit)
    shares = frame.shares(values)
    canvas.add(_polyline(canvas, shares, top, frame.height, number % len(LINES)))
    canvas.y += frame.height + GAP


@dataclass(frozen=True, slots=True)
class _Frame:
    """The range and the height of a drawn line."""

    low: float
    greatest: float
    height: int
    kind: str

    @property
    def high(self) -> float:
        return self.greatest if self.greatest > self.low else self.low + 1

    def shares(self, values: Floats) -> Floats:
        """Return values as shares of the range."""
        return np.asarray((values - self.low) / (self.high - self.low))


def _draw_frame(canvas: Canvas, frame: _Frame, name: str, unit: str) -> None:
    top = canvas.y
    for share in (0.0, 0.5, 1.0):
        y = top + frame.height * (1 - share)
        canvas.add(f'<path class="sr-grid" stroke="#d5dae0" d="M{LEFT} {y:g}H{canvas.right:g}"/>')
        if share != 0.5:
            end = frame.low + share * (frame.high - frame.low)
            shown = format_duration(end) if frame.kind == "time_to_next" else f"{end:.4g}"
            canvas.text(canvas.right + 6, y + 4, shown, "dim")
    canvas.add(f'<text class="sr-ink" x="16" y="{top + 12}" font-weight="600">{safe(name)}</text>')
    canvas.text(16, top + 26, unit, "dim")


def _polyline(canvas: Canvas, shares: Floats, top: int, height: int, line: int) -> str:
    """Return a line through the shares, with gaps where they are no numbers."""
    points = [
        ""
        if np.isnan(share)
        else f"{LEFT + (t + 0.5) * canvas.cell:.1f} {top + height * (1 - share):.1f}"
        for t, share in enumerate(shares.tolist())
    ]
    runs = [list(run) for is_drawn, run in groupby(points, key=bool) if is_drawn]
    path = "".join("M" + "L".join(run) + ("h0" if len(run) == 1 else "") for run in runs)
    return (
        f'<path class="sr-stroke{line}" d="{path}" fill="none" stroke="{LINES[line][0]}" '
        'stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round"/>'
    )


def _draw_marks(canvas: Canvas, marks: Iterable[tuple[int, Between]], top: int) -> None:
    bottom = canvas.y - GAP
    for step, incident in marks:
        x, title = LEFT + step * canvas.cell, f"<title>{safe(incident.text)}</title>"
        if incident.kind == "skipped":
            shape = f'd="M{x - 4:.1f} {top - 8}h8l-4 7z" stroke="none"'
            canvas.add(f'<path class="sr-mark" {shape} fill="#8a3ffc">{title}</path>')
            continue
        dashes = ' stroke-dasharray="2 3"' if incident.kind == "expired" else ""
        canvas.add(
            f'<path class="sr-cut" stroke="#8a3ffc" stroke-width="1.5"{dashes} '
            f'd="M{x:.1f} {top}V{bottom}">{title}</path>'
        )


def _draw_axis(canvas: Canvas, steps: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
    every = max(1, int(np.ceil(TICK_WIDTH / canvas.cell)))
    y = canvas.y
    canvas.text(16, y + 4, "steps", "dim")
    canvas.text(16, y + 18, "offset", "dim")
    for t in range(0, len(steps), every):
        x = LEFT + (t + 0.5) * canvas.cell
        canvas.add(f'<path class="sr-grid" stroke="#d5dae0" d="M{x:.1f} {y - GAP}v6"/>')
        canvas.text(round(x, 1), y + 4, f"{steps[t]:,}", "dim", "middle")
        canvas.text(round(x, 1), y + 18, f"{offsets[t]:,}", "dim", "middle")
    canvas.y = y + 32
